"""The `graph` task: a bottle as a picture, as SVG for people or as mermaid for Markdown pages."""

import sys
from collections.abc import Callable
from pathlib import Path

from bottlegen.errors import UsageError
from bottlegen.picture import Picture, picture
from bottlegen.picture_mermaid import mermaid
from bottlegen.picture_svg import svg
from bottlegen.wording import shown as quoted
from runtime.build import place_of
from runtime.sides import as_it_is, given

_FORMATS: dict[str, Callable[[Picture], str]] = {"svg": svg, "mermaid": mermaid}


def draw(profile: str, bundle: str, *, form: str, out: str, cwd: Path) -> None:
    """Print the picture of a profile or of a bundle's folder, or write it to the file `out`."""
    if form not in _FORMATS:
        raise UsageError(f"no format {quoted(form)}", fix=f"--format {', '.join(_FORMATS)}")
    if profile and bundle:
        raise UsageError("--profile and --bundle contradict each other", fix="give one of them")
    drawn = (given(bundle, cwd) if bundle else as_it_is(place_of(profile, cwd))).authority
    assert drawn is not None  # what was asked for is there
    text = _FORMATS[form](picture(drawn))
    if not out:
        sys.stdout.write(text)
        return
    try:
        (cwd / out).write_text(text, encoding="utf-8", newline="\n")
    except OSError as e:
        raise UsageError(f"cannot write {quoted(out)}: {e.strerror}", fix="--out FILE in a folder that is there") from e
