"""The gate's copies of its remotes: bare repositories on scratch, made equal to the remote before each use."""

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from settings import LOCKS_VARIABLE, SINCE_VARIABLE, Remote, Settings
from upstream import Route, refs, run

_SLACK = 64 << 20


def make(settings: Settings) -> None:
    """Empty mirrors of every remote, on scratch that is empty or was this gate's before."""
    for remote in settings.remotes:
        path = settings.mirror(remote)
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "init", "--quiet", "--bare", str(path)], check=True)
        # The hook measures and explains; this bounds what one push can put on the disk before the hook is asked.
        limit = ["git", "-C", str(path), "config", "receive.maxInputSize", str(most(remote))]
        subprocess.run(limit, check=True)


def most(remote: Remote) -> int:
    """Bytes of a push that are taken in at all."""
    return 2 * remote.max_size + _SLACK


@contextmanager
def locked(settings: Settings, remote: Remote) -> Iterator[None]:
    """Alone with this mirror; given back at the end."""
    handle = hold(settings, remote)
    try:
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)


def hold(settings: Settings, remote: Remote) -> int:
    """Alone with this mirror until this connection ends: git's processes share the open lock with this one, so that
    nothing comes between the remote's yes and the mirror's own update."""
    handle = int(os.environ[LOCKS_VARIABLE].split(",")[settings.remotes.index(remote)])
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def sync(settings: Settings, remote: Remote) -> None:
    """Make the mirror equal to the remote, in the refs that it may hold; Unreachable when that cannot be asked."""
    asked = float(os.environ[SINCE_VARIABLE])
    stamp = settings.scratch / f"{remote.name}.synced"
    with locked(settings, remote):
        if stamp.exists() and float(stamp.read_text()) > asked:
            return  # while this one waited, another has asked
        began = time.monotonic()
        url = Route(settings, remote).url
        theirs, head = refs(run(settings, remote, ["ls-remote", "--symref", url]).splitlines())
        wanted = {ref: value for ref, value in theirs.items() if remote.mirrors(ref)}
        ours = _ours(settings, remote)
        _drop(settings, remote, ours.keys() - wanted.keys())
        if changed := [ref for ref, value in wanted.items() if ours.get(ref) != value]:
            fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--stdin", url]
            run(settings, remote, fetch, "".join(f"+{ref}:{ref}\n" for ref in changed))
        if head in wanted and (settings.mirror(remote) / "HEAD").read_text() != f"ref: {head}\n":
            _git(settings, remote, ["symbolic-ref", "HEAD", head])
        stamp.write_text(str(began))


def _ours(settings: Settings, remote: Remote) -> dict[str, str]:
    lines = _git(settings, remote, ["for-each-ref", "--format=%(refname) %(objectname)"]).splitlines()
    return dict(line.split(" ", 1) for line in lines)


def _drop(settings: Settings, remote: Remote, gone: set[str]) -> None:
    """First, so that a branch that became a folder of branches is out of the way."""
    if gone:
        _git(settings, remote, ["update-ref", "--stdin"], "".join(f"delete {ref}\n" for ref in sorted(gone)))


def _git(settings: Settings, remote: Remote, argv: list[str], given: str = "") -> str:
    done = subprocess.run(
        ["git", *argv], cwd=settings.mirror(remote), input=given, capture_output=True, text=True, check=True
    )
    return done.stdout
