"""The `diff` task: what a change of a profile lets the agent do, both sides built by this bottlegen."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bottlegen.diff import compare, file_changes, verdict, widened
from bottlegen.diff_text import Page, Side, document, markdown, terminal
from bottlegen.errors import UsageError
from bottlegen.picture import picture
from bottlegen.wording import shown as quoted
from runtime.build import place_of
from runtime.revision import revision
from runtime.sides import Made, as_it_is, as_it_was, given

DIFFERENT, WIDENING = 2, 3
"""Exit statuses beside 0, which means that both permit the same."""

_FORMATS: dict[str, Callable[[Page], str]] = {
    "terminal": terminal,
    "markdown": markdown,
    "json": lambda page: document(page) + "\n",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRequest:
    """What `diff` was asked for; empty means not given."""

    profile: str
    against: str
    before: str
    after: str
    format: str
    files: bool
    fail_on: str


def show_diff(request: DiffRequest, cwd: Path) -> int:
    """Print the page; the exit status."""
    _refuse(request)
    before, after = _sides(request, cwd)
    old, new = before.authority, after.authority
    changes = compare(old, new)
    hashed = request.format == "json"  # else nobody waits for thousands of routes to be rendered
    page = Page(
        name=new.name if new else "",
        before=Side(label=before.label, hash=before.hash if hashed else ""),
        after=Side(label=after.label, hash=after.hash if hashed else ""),
        changes=changes,
        files=file_changes(before.bundle, after.bundle) if request.files else (),
        alike=bool(changes) or before.is_alike(after),
        drawn=picture(new, widened(changes)) if new and changes else None,
    )
    _show(_FORMATS[request.format](page), coloured=request.format == "terminal")
    if verdict(page.changes) == "widens" and request.fail_on == "widen":
        return WIDENING
    return DIFFERENT if page.changes else 0


def _sides(request: DiffRequest, cwd: Path) -> tuple[Made, Made]:
    if request.before:
        return given(request.before, cwd), given(request.after, cwd)
    place = place_of(request.profile, cwd)
    return as_it_was(revision(place.profile.resolve().parent, request.against), place), as_it_is(place)


def _refuse(request: DiffRequest) -> None:
    if request.format not in _FORMATS:
        raise UsageError(f"no format {quoted(request.format)}", fix=f"--format {', '.join(_FORMATS)}")
    if request.fail_on not in ("", "widen"):
        raise UsageError(f"cannot fail on {quoted(request.fail_on)}", fix="--fail-on widen")
    if bool(request.before) != bool(request.after):
        raise UsageError("--from and --to belong together", fix="--from A --to B, or --profile NAME --against REVISION")
    if request.before and (request.profile or request.against):
        raise UsageError(
            "--from and --to name both sides: --profile and --against have no place beside them",
            fix="--from A --to B, or --profile NAME --against REVISION",
        )


def _show(text: str, *, coloured: bool) -> None:
    if coloured and sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        for head, colour in (("WIDENS", "1;31"), ("narrows", "32"), ("other", "36")):
            text = text.replace(f"\n{head}\n", f"\n\x1b[{colour}m{head}\x1b[0m\n")
    sys.stdout.write(text)
