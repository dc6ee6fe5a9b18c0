"""A diff as a page for a terminal, for a pull request, and for programs: the same changes in the same order."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from bottlegen.diff import KINDS, Change, FileChange, Kind, verdict
from bottlegen.picture import Picture
from bottlegen.picture_mermaid import mermaid
from bottlegen.reach import OTHER

FORMAT = 1
"""Counts changes of the JSON form; docs/diff.md describes it."""

_HEADS: dict[Kind, str] = {"widens": "WIDENS", "narrows": "narrows", "other": "other"}
MAX_MARKDOWN = 60_000
"""A comment on GitHub holds 65,536 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a diff: where it is from, and its bundle's hash; empty for a bottle that is not there."""

    label: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything that a page shows; `files` empty when they are not asked for, `drawn` is what comes after.

    `alike` when also the bytes of both bundles are the same.
    """

    name: str
    before: Side
    after: Side
    changes: tuple[Change, ...]
    files: tuple[FileChange, ...] = ()
    drawn: Picture | None = None
    alike: bool = True


def summary(page: Page) -> str:
    """One line: how many changes of each kind."""
    if not page.changes:
        return f"{page.name}: permits the same" + ("" if page.alike else ", in other bytes")
    counts = {kind: sum(change.kind == kind for change in page.changes) for kind in KINDS}
    words = {"widens": "WIDENS", "narrows": "narrows", "other": "other"}
    return f"{page.name}: " + ", ".join(f"{counts[kind]} {words[kind]}" for kind in KINDS if counts[kind])


def terminal(page: Page) -> str:
    lines = [summary(page), f"  before  {page.before.label}", f"  after   {page.after.label}"]
    for kind, changes in _by_kind(page.changes):
        lines += ["", _HEADS[kind]]
        lines += _by_area(changes)
    for file in page.files:
        lines += ["", *map(_printable, file.text.splitlines())]
    return "\n".join(lines) + "\n"


def _by_area(changes: Sequence[Change]) -> Iterator[str]:
    width = max(len(change.area) for change in changes)
    area = ""
    for change in changes:
        yield f"  {change.area if change.area != area else '':{width}}  {_printable(change.text)}"
        area = change.area


def markdown(page: Page, limit: int = MAX_MARKDOWN) -> str:
    """What widens is in sight, the rest folds; what is beyond `limit` letters is left out, what widens last."""
    lines = [f"### {code(summary(page))}", "", f"{code(page.before.label)} → {code(page.after.label)}"]
    room = limit - len("\n".join(lines))
    for kind, changes in _by_kind(page.changes):
        rows = _fitting([f"- {change.area}: {code(change.text)}" for change in changes], room)
        if kind == "widens":
            lines += ["", "**WIDENS**", "", *rows]
        else:
            lines += ["", *_folded(f"{_HEADS[kind]} ({len(changes)})", rows)]
        room -= sum(len(row) + 1 for row in rows) + 100  # what stands around them
    for title, inside in _appendices(page):
        folded = ["", *_folded(title, inside)]
        length = sum(len(line) + 1 for line in folded)
        if length < room:
            room -= length
            lines += folded
    return "\n".join(lines) + "\n"


def _fitting(rows: list[str], room: int) -> list[str]:
    """The first rows, as many as fit, and how many there are beside them."""
    ends = accumulate(len(row) + 1 for row in rows)
    count = sum(end < room - 1000 for end in ends)  # leaves a line's worth to what follows
    more = len(rows) - count
    return rows if not more else [*rows[:count], f"- and {more} more, which do not fit here: see `bottlegen diff`"]


def _appendices(page: Page) -> Iterator[tuple[str, list[str]]]:
    if page.drawn:
        yield "the bottle as a picture", ["```mermaid", *mermaid(page.drawn).splitlines(), "```"]
    if page.files:
        yield f"files ({len(page.files)})", list(_files(page.files))


def _folded(title: str, lines: list[str]) -> list[str]:
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>"]


def _files(files: tuple[FileChange, ...]) -> Iterator[str]:
    for file in files:
        fence = "`" * max(3, _longest_run(file.text) + 1)
        yield from (f"{fence}diff", *map(_printable, file.text.splitlines()), fence)


def code(text: str) -> str:
    """Text that a profile may have chosen, as text: no markup and no mention comes out of it."""
    text = _printable(text)
    fence = "`" * (_longest_run(text) + 1)
    blank = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{blank}{text}{blank}{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _printable(line: str) -> str:
    """Files of a bundle that somebody altered may hold what moves a cursor."""
    return "".join(c if c.isprintable() or c == "\t" else f"\\u{ord(c):04x}" for c in line)


def document(page: Page) -> str:
    """The diff as JSON."""
    return json.dumps(
        {
            "format": FORMAT,
            "profile": page.name,
            "verdict": verdict(page.changes),
            "before": {"source": page.before.label, "hash": page.before.hash or None},
            "after": {"source": page.after.label, "hash": page.after.hash or None},
            "counts": {kind: sum(change.kind == kind for change in page.changes) for kind in KINDS},
            "changes": [_change(change) for change in page.changes],
            "files": [{"path": file.path, "diff": file.text} for file in page.files],
        },
        indent=2,
    )


def _change(change: Change) -> dict[str, object]:
    entry: dict[str, object] = {"kind": change.kind, "area": change.area, "text": change.text}
    gain = change.gain
    if gain:
        credential = gain.credential
        entry["requests"] = {
            "host": gain.host,
            "port": gain.port,
            "methods": sorted(gain.methods - {OTHER}),
            "other_methods": OTHER in gain.methods,
            "paths": [str(path) for path in gain.paths],
            "ambiguous_paths": gain.ambiguous,
            "credential": {
                "token_ref": credential.token_ref,
                "header": credential.header,
                "scheme": credential.scheme,
            }
            if credential
            else None,
        }
    return entry


def _by_kind(changes: Sequence[Change]) -> Iterator[tuple[Kind, list[Change]]]:
    for kind in KINDS:
        if chosen := [change for change in changes if change.kind == kind]:
            yield kind, chosen
