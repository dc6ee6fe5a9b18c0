"""The `review` task, for CI: are all bundles current, what does the change let agents do, and was a widening meant?"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bottlegen.diff import compare, verdict, widened
from bottlegen.diff_text import MAX_MARKDOWN, Page, Side, code, markdown, summary
from bottlegen.errors import BundleError, HostError, PlanError, ProfileError
from bottlegen.locate import LOCK_NAME, SUFFIXES, Place, places, project_profiles
from bottlegen.picture import picture
from runtime.build import stale
from runtime.forge import ChangeRequest, change_request
from runtime.revision import Revision, revision
from runtime.sides import Made, as_it_is, as_it_was

WIDENING = 3
_SMALLEST = 3000
"""Letters below which a page says too little: further profiles have a line each."""

_LINES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRequest:
    """What `review` was asked for; empty means not given."""

    against: str
    label: str
    trailer: str
    out: str
    post: bool


def review(request: ReviewRequest, cwd: Path) -> int:
    """Print the pages of all profiles; 0, 3 when something widens that nobody said was meant, 13 for stale bundles."""
    folder = project_profiles(cwd)
    asked = change_request(os.environ)
    past = revision(folder.resolve(), request.against or (asked.base if asked else ""))
    now = {place.name: place for place in places(folder)}
    old = stale(now.values())
    pages = [page for place in _all(folder, now, past) if (page := _page(place, past, there=place.name in now)).changes]
    wide = any(verdict(page.changes) == "widens" for page in pages)
    said = _meant(request, asked, past) if wide else ""
    text = "\n".join(_text(pages, len(old), wide=wide, said=said, past=past)) + "\n"
    sys.stdout.write(text)
    _hand_over(text, request, asked, cwd)
    if old:
        raise BundleError(old)
    return WIDENING if wide and not said else 0


def _all(folder: Path, now: dict[str, Place], past: Revision) -> list[Place]:
    """Every profile that is there or was."""
    inside = folder.resolve().relative_to(past.root.resolve())
    gone = (Path(name) for name in past.names(inside.as_posix()))
    then = {
        path.stem: Place(
            name=path.stem,
            profile=folder / path,
            bundle=folder.parent / "bundles" / path.stem,
            lock=folder.parent / LOCK_NAME,
        )
        for path in gone
        if path.suffix in SUFFIXES
    }
    return [place for _, place in sorted({**then, **now}.items())]


def _page(place: Place, past: Revision, *, there: bool) -> Page:
    before = _before(past, place)
    after = as_it_is(place) if there else Made(label="nothing", made=None)
    old, new = before.authority, after.authority
    changes = compare(old, new)
    return Page(
        name=place.name,
        before=Side(label=before.label, hash=""),
        after=Side(label=after.label, hash=""),
        changes=changes,
        drawn=picture(new, widened(changes)) if new and changes else None,
    )


def _before(past: Revision, place: Place) -> Made:
    """What does not build counts as nothing: all that comes after it is new."""
    try:
        return as_it_was(past, place)
    except (ProfileError, PlanError):
        return Made(label=f"nothing that builds at {past.label}", made=None)


def _meant(request: ReviewRequest, asked: ChangeRequest | None, past: Revision) -> str:
    """Who said that a widening is meant, or nothing."""
    if request.label and asked and request.label in asked.labels:
        return f"label {request.label}"
    if request.trailer and (commit := past.with_trailer(request.trailer)):
        return f"trailer {request.trailer} of commit {commit[:12]}"
    return ""


def _text(pages: list[Page], old: int, *, wide: bool, said: str, past: Revision) -> Iterator[str]:
    """The comment. Widening profiles come first; those for which there is no room have a line each."""
    yield "## What this change lets agents do\n"
    if not pages:
        yield f"Every profile permits the same as at {code(past.label)}.\n"
    if wide:
        yield f"**It widens.** {f'Meant, says {code(said)}.' if said else 'Nobody said that this is meant.'}\n"
    if old:
        yield f"**Bundles that are not what their profiles build: {old}.** Run `bottlegen build`, review and commit.\n"
    ordered = sorted(pages, key=lambda page: verdict(page.changes) != "widens")
    room = max(_SMALLEST, (MAX_MARKDOWN - 1000) // max(1, len(pages)))
    whole = MAX_MARKDOWN // room
    yield from (markdown(page, room) for page in ordered[:whole])
    yield from (f"- {code(summary(page))}" for page in ordered[whole : whole + _LINES])
    if len(ordered) > whole + _LINES:
        yield f"- and {len(ordered) - whole - _LINES} more"


def _hand_over(text: str, request: ReviewRequest, asked: ChangeRequest | None, cwd: Path) -> None:
    """To whoever wants it. A comment that is refused, as on a fork's pull request, is a warning: the status decides."""
    summary_file = os.environ.get("GITHUB_STEP_SUMMARY", "")
    try:
        if request.out:
            (cwd / request.out).write_text(text, encoding="utf-8")
        if summary_file:
            with Path(summary_file).open("a", encoding="utf-8") as file:
                file.write(text)
    except OSError as e:
        raise HostError(f"cannot write '{e.filename}': {e.strerror}", fix="--out FILE in a folder that is there") from e
    if not request.post:
        return
    if asked is None:
        raise HostError("no pull or merge request to comment on", fix="leave out --post, or run it in a job of one")
    try:
        asked.post(text)
    except HostError as e:
        print(f"warning: {e}".replace("warning: error: ", "warning: "), file=sys.stderr)
