"""How what an agent may do with git remotes differs between two bundles: each change widens or narrows, in words."""

from collections.abc import Iterator, Sequence

from bottlegen.path_sets import Union
from bottlegen.paths import PathPattern
from bottlegen.plan import GitRemote
from bottlegen.wording import shown


def changes(before: Sequence[GitRemote], after: Sequence[GitRemote]) -> Iterator[tuple[bool, str]]:
    """Whether it widens, and the change; a remote is known by its name, and one that leads elsewhere is another."""
    old, new = ({remote.name: remote for remote in remotes} for remotes in (before, after))
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if was and now and _place(was) == _place(now):
            yield from _between(was, now)
            continue
        if was:
            yield False, f"{shown(name)} is gone: {_whole(was)}"
        if now:
            yield True, f"{shown(name)} is new: {_whole(now)}"


def access(remote: GitRemote) -> str:
    """With what a remote is asked."""
    return f"with {remote.credential}" if remote.credential else "without a credential"


def writable(remote: GitRemote) -> tuple[str, ...]:
    return (*remote.push, *remote.tags)


def readable(remote: GitRemote) -> tuple[str, ...]:
    """What may be pushed may be read, since the gate has to compare it."""
    return (*remote.fetch, *remote.push, *remote.tags)


def _place(remote: GitRemote) -> tuple[object, ...]:
    return remote.url, remote.credential, remote.username, remote.known_hosts


def _whole(remote: GitRemote) -> str:
    writes = ", ".join(writable(remote)) or "nothing"
    ways = [word for word, allowed in (("force", remote.force), ("delete", remote.delete)) if allowed]
    ways += [] if remote.secret_scan else ["no scan for secrets"]
    more = f" ({', '.join(ways)})" if ways else ""
    return f"{remote.url} {access(remote)}: read {', '.join(remote.fetch)}; push {writes}{more}"


def _between(was: GitRemote, now: GitRemote) -> Iterator[tuple[bool, str]]:
    where = f"{shown(now.name)} ({now.url})"
    for verb, ways in (("push", writable), ("read", readable)):
        for pattern in _gained(ways(was), ways(now)):
            yield True, f"{where}: may now {verb} {pattern} {access(now)}"
        for pattern in _gained(ways(now), ways(was)):
            yield False, f"{where}: may no longer {verb} {pattern}"
    for what, less, more in (
        ("force-push", was.force, now.force),
        ("delete refs", was.delete, now.delete),
        ("push without a scan for secrets", not was.secret_scan, not now.secret_scan),
    ):
        if less != more:
            yield more, f"{where}: may {'now' if more else 'no longer'} {what}"
    if was.max_size != now.max_size:
        yield now.max_size > was.max_size, f"{where}: bytes of a push {was.max_size} -> {now.max_size}"


def _gained(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """The patterns of `after` that cover a ref which none of `before` does."""
    union = Union(map(_pattern, before))
    return [text for text in dict.fromkeys(after) if union.uncovered(_pattern(text)) is not None]


def _pattern(text: str) -> PathPattern:
    return PathPattern.parse(f"/{text}")
