"""The `diff` task: what a change of a profile lets the agent do, both sides built by this bottlegen."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bottlegen.authority import authority, enforces_its_routes
from bottlegen.bundle import MANIFEST, Bundle, read
from bottlegen.diff import compare, file_changes, verdict
from bottlegen.diff_text import Page, Side, document, markdown, terminal
from bottlegen.errors import BundleError, UsageError
from bottlegen.locate import SUFFIXES, Place, locate
from bottlegen.pins import Pins
from bottlegen.pins import project as project_pins
from bottlegen.pipeline import build, load_profile
from bottlegen.wording import shown as quoted
from runtime.build import build_place, pins_of, place_of, shown
from runtime.revision import Revision, revision

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Built:
    side: Side
    bundle: Bundle | None


def show_diff(request: DiffRequest, cwd: Path) -> int:
    """Print the page; the exit status."""
    _refuse(request)
    if request.before:
        before, after = _given(request.before, cwd), _given(request.after, cwd)
    else:
        place = place_of(request.profile, cwd)
        before = _at(revision(place.profile.resolve().parent, request.against), place)
        after = _built(shown(place.profile), build_place(place))
    old, new = (authority(built.bundle) if built.bundle else None for built in (before, after))
    name = after.bundle.manifest.name if after.bundle else ""
    page = Page(
        name=name,
        before=before.side,
        after=after.side,
        changes=compare(old, new),
        files=file_changes(before.bundle, after.bundle) if request.files else (),
    )
    _show(_FORMATS[request.format](page), coloured=request.format == "terminal")
    if verdict(page.changes) == "widens" and request.fail_on == "widen":
        return WIDENING
    return DIFFERENT if page.changes else 0


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


def _built(label: str, bundle: Bundle) -> _Built:
    return _Built(side=Side(label=label, hash=bundle.hash), bundle=bundle)


def _given(asked: str, cwd: Path) -> _Built:
    """A folder with a bundle as it is; everything else is a profile, by name or path, built now."""
    folder = cwd / asked
    if (folder / MANIFEST).is_file():
        return _built(shown(folder), _sound(read(folder), shown(folder)))
    place = locate(asked, cwd)
    return _built(shown(place.profile), build_place(place))


def _sound(bundle: Bundle, label: str) -> Bundle:
    """`bundle`, whose routes can be believed: what enforces them is made of them."""
    authority(bundle)  # refuses files that cannot be understood
    if not enforces_its_routes(bundle):
        raise BundleError(
            f"the sidecar's config in '{label}' is not what this bottlegen makes of its routes.json",
            fix="bottlegen build, or compare profiles: --profile NAME --against REVISION",
        )
    return bundle


def _at(past: Revision, place: Place) -> _Built:
    """The profile of that place as it was, in whichever form it was written then."""
    path = place.profile.resolve()
    try:
        inside = path.relative_to(past.root.resolve())
    except ValueError:
        raise UsageError(f"'{path}' is outside of '{past.root}'", fix="compare: --from A --to B") from None
    spellings = (inside, *(inside.with_suffix(suffix) for suffix in SUFFIXES))
    then = next((name for name in spellings if past.holds(name.as_posix())), None)
    label = f"{inside.as_posix()} at {past.label}"
    if then is None:
        return _Built(side=Side(label=f"nothing: no {label}", hash=""), bundle=None)
    return _built(label, build(load_profile(then.as_posix(), past.read), _pins_then(past, place)))


def _pins_then(past: Revision, place: Place) -> Pins:
    """The lock as it was: an agent or image that was moved since is part of the difference."""
    folder, root = place.lock.parent.resolve(), past.root.resolve()
    if not folder.is_relative_to(root):
        return pins_of(place)  # of a folder around the repository: it has no history here

    def read(path: str) -> bytes:
        if not past.holds(path):
            raise FileNotFoundError(path)
        return past.read(path)

    return project_pins((folder.relative_to(root) / place.lock.name).as_posix(), read)


def _show(text: str, *, coloured: bool) -> None:
    if coloured and sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        for head, colour in (("WIDENS", "1;31"), ("narrows", "32"), ("other", "36")):
            text = text.replace(f"\n{head}\n", f"\n\x1b[{colour}m{head}\x1b[0m\n")
    sys.stdout.write(text)
