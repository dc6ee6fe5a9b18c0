"""How what one bundle permits differs from what another does: each change is widening, narrowing or neither.

What cannot be compared counts as widening, whichever way it is read: a change is never shown as less than it may be.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from bottlegen.authority import Authority, Mount
from bottlegen.bundle import Bundle
from bottlegen.facts import AREAS, Area, Fact
from bottlegen.git_reach import changes as git_changes
from bottlegen.reach import Gain, Hosts, deciding, gains, names
from bottlegen.reach_text import gained, host_name, lost
from bottlegen.wording import shown

Kind = Literal["widens", "narrows", "other"]
KINDS: tuple[Kind, ...] = ("widens", "narrows", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change in words; `gain` has the requests of a change of routes, as data; `host` is the one it is of."""

    kind: Kind
    area: Area
    text: str
    gain: Gain | None = None
    host: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """`text` is a unified diff."""

    path: str
    text: str


def compare(before: Authority | None, after: Authority | None) -> tuple[Change, ...]:
    """Every change, what widens first, in the order of areas; None stands for a bottle that is not there.

    Empty exactly when both permit the same. Of a bottle that is new, or gone, only the routes are told.
    """
    old, new = _hosts(before), _hosts(after)
    changes = [*_presence(before, after), *_routes(old, new), *_inspection(old, new)]
    for widens, text in git_changes(before.remotes if before else (), after.remotes if after else ()):
        changes.append(Change(kind="widens" if widens else "narrows", area="git", text=text))
    if before and after:
        changes += [*_mount(before.mount, after.mount), *_facts(before, after)]
    return tuple(sorted(changes, key=lambda change: (KINDS.index(change.kind), AREAS.index(change.area))))


def verdict(changes: tuple[Change, ...]) -> Literal["widens", "narrows", "other", "none"]:
    """The gravest kind there is."""
    return min((change.kind for change in changes), key=KINDS.index, default="none")


def widened(changes: tuple[Change, ...]) -> frozenset[tuple[str, int]]:
    """The hosts (with port) of which a request is new, or no longer inspected."""
    return frozenset(change.host for change in changes if change.kind == "widens" and change.host)


def file_changes(before: Bundle | None, after: Bundle | None) -> tuple[FileChange, ...]:
    """The files that differ, each as a unified diff."""
    old, new = _texts(before), _texts(after)
    differ = (path for path in sorted({*old, *new}) if old.get(path) != new.get(path))
    return tuple(FileChange(path=path, text=_unified(path, old.get(path), new.get(path))) for path in differ)


def _texts(bundle: Bundle | None) -> dict[str, str]:
    files = bundle.files if bundle else {}
    return {path: file.data.decode("utf-8", "backslashreplace") for path, file in files.items()}


def _unified(path: str, old: str | None, new: str | None) -> str:
    lines = difflib.unified_diff(
        (old or "").splitlines(),
        (new or "").splitlines(),
        "/dev/null" if old is None else f"before/{path}",
        "/dev/null" if new is None else f"after/{path}",
        lineterm="",
    )
    return "\n".join(lines)


def _hosts(authority: Authority | None) -> Hosts:
    return {(entry.host, entry.port): entry for entry in authority.hosts} if authority else {}


def _presence(before: Authority | None, after: Authority | None) -> Iterator[Change]:
    if before is None and after:
        yield Change(kind="widens", area="agent", text=f"{shown(after.name)} is new")
    elif before and after is None:
        yield Change(kind="narrows", area="agent", text=f"{shown(before.name)} is gone")


def _routes(old: Hosts, new: Hosts) -> Iterator[Change]:
    for host, port in names(old, new):
        before, after = deciding(old, host, port), deciding(new, host, port)
        for gain in gains(host, port, before, after):
            yield Change(kind="widens", area="routes", text=gained(gain), gain=gain, host=(host, port))
        for loss in gains(host, port, after, before):
            yield Change(kind="narrows", area="routes", text=lost(loss), gain=loss, host=(host, port))


def _inspection(old: Hosts, new: Hosts) -> Iterator[Change]:
    for host, port in names(old, new):
        before, after = deciding(old, host, port), deciding(new, host, port)
        if before is None or after is None or before.inspected == after.inspected:
            continue
        where = host_name(host, port)
        if after.inspected:
            yield Change(kind="narrows", area="inspection", text=f"traffic of {where} is now inspected")
        else:
            text = f"traffic of {where} is no longer inspected"
            yield Change(kind="widens", area="inspection", text=text, host=(host, port))


def _mount(before: Mount | None, after: Mount | None) -> Iterator[Change]:
    if before == after:
        return
    old, new = _mount_text(before), _mount_text(after)
    more, less = _mount_grows(before, after), _mount_grows(after, before)
    text = f"{old} -> {new}"
    if more:
        yield Change(kind="widens", area="workspace", text=text)
    if less:
        yield Change(kind="narrows", area="workspace", text=text)


def _mount_text(mount: Mount | None) -> str:
    if mount is None:
        return "none"
    closed = f", read-only {', '.join(map(shown, sorted(mount.read_only)))}" if mount.read_only else ""
    return f"{shown(mount.source)}{closed}"


def _mount_grows(before: Mount | None, after: Mount | None) -> bool:
    """Whether some path can be read, or be written, that could not: a folder has names that no list knows."""
    if after is None:
        return False
    if before is None or not _below(after.source, before.source):
        return True
    closed = [_join(after.source, path) for path in after.read_only]
    opened = (_join(before.source, path) for path in before.read_only)
    return any(_opens(path, after.source, closed) for path in opened)


def _opens(path: str, source: str, closed: list[str]) -> bool:
    """Whether something below `path`, which was read-only, can be written below `source`."""
    if _below(source, path):
        return True
    return _below(path, source) and not any(_below(path, other) for other in closed)


def _join(folder: str, path: str) -> str:
    return str(PurePosixPath(folder) / path)


def _below(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(PurePosixPath(folder))


def _facts(before: Authority, after: Authority) -> Iterator[Change]:
    old, new = _by_name(before), _by_name(after)
    if before.name != after.name:
        yield Change(kind="other", area="agent", text=f"name {shown(before.name)} -> {shown(after.name)}")
    for key in sorted({*old, *new}):
        was, now = old.get(key), new.get(key)
        if was != now and (present := now or was):
            yield Change(kind=_kind(was, now), area=present.area, text=_fact_text(present.name, was, now))


def _by_name(authority: Authority) -> Mapping[tuple[str, str], Fact]:
    return {(fact.area, fact.name): fact for fact in authority.facts}


def _kind(was: Fact | None, now: Fact | None) -> Kind:
    guarded = (was and was.guarded) or (now and now.guarded)
    if guarded:
        return "widens"
    if (was and was.restricts) or (now and now.restricts):
        return "widens" if was else "narrows"
    if was and now and was.rank is not None and now.rank is not None:
        return "widens" if now.rank > was.rank else "narrows"
    return "other"


def _fact_text(name: str, was: Fact | None, now: Fact | None) -> str:
    if was is None and now:
        return f"{name}: new, {now.value}"
    if now is None and was:
        return f"{name}: gone, was {was.value}"
    return f"{name}: {was.value if was else ''} -> {now.value if now else ''}"
