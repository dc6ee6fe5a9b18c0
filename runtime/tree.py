"""Trees of this host as Nix archives, read, hashed and copied in one pass: what was copied is what was hashed."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bottlegen import nar
from bottlegen.errors import RuntimeFailure

_CHUNK = 1 << 20
DEEPEST = 256
"""Folders within each other: more is nobody's tree, and could not be removed again by plain means."""

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

Tell = Callable[[int, int], None]
"""Told of bytes done, of how many."""


def digest(path: Path, *, copy: Path | None = None, tell: Tell | None = None) -> bytes:
    """SHA-256 of the Nix archive of `path`, a folder or a file, itself no link; with `copy` its content is put there.

    The copy has what the archive has and nothing else: no owner, no mode but the execute bit, no time, no attribute.
    RuntimeFailure for what cannot be read, and for what no Nix archive can hold.
    """
    reader = _Reader(tell)
    try:
        return nar.tree_digest(reader.node(path, copy, 0))
    except ValueError as e:
        raise RuntimeFailure(f"'{path}' changed while it was read", fix="try again, when nothing writes to it") from e
    except OSError as e:
        named = f" '{e.filename}'" if e.filename else ""
        fix = "check the path, its permissions, and the space where the cache is"
        raise RuntimeFailure(f"cannot read '{path}': {e.strerror or e}{named}", fix=fix) from e


class _Reader:
    def __init__(self, tell: Tell | None) -> None:
        self._tell = tell
        self._done = self._total = 0

    def node(self, path: Path, copy: Path | None, depth: int) -> nar.Node:
        info = path.lstat()
        kind = stat.S_IFMT(info.st_mode)
        if kind == stat.S_IFREG:
            self._total += info.st_size
            executable = bool(info.st_mode & 0o100)
            return nar.Streamed(info.st_size, lambda: self._bytes(path, copy, executable), executable)
        if kind == stat.S_IFLNK:
            target = os.readlink(os.fsencode(path))  # noqa: PTH115 - a Path drops the slash at the end of one
            if copy:
                os.symlink(target, os.fsencode(copy))  # noqa: PTH211 - as it was read
            return nar.Symlink(target)
        if kind != stat.S_IFDIR:
            raise RuntimeFailure(
                f"'{path}' is {_KINDS.get(kind, 'something')}, which no Nix archive can hold",
                fix=f"rm '{path}'\nthe bottle has a /dev of its own",
            )
        if depth > DEEPEST:
            what = f"'{path}' is nested too deeply: more than {DEEPEST} folders"
            raise RuntimeFailure(what, fix="use a tree that somebody made on purpose")
        if copy:
            make_folder(copy)
        return {
            os.fsencode(name): self.node(path / name, copy / name if copy else None, depth + 1)
            for name in os.listdir(path)  # noqa: PTH208 - names are enough, and no descriptor stays open on the way down
        }

    def _bytes(self, path: Path, copy: Path | None, executable: bool) -> Iterator[bytes]:
        # What was a file a moment ago may be a link or a pipe by now.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb", buffering=0) as source:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ValueError("no file any more")
            if copy is None:
                yield from self._chunks(source.read)
                return
            with copy.open("xb", buffering=0) as target:
                for chunk in self._chunks(source.read):
                    target.write(chunk)
                    yield chunk
                os.fchmod(target.fileno(), 0o755 if executable else 0o644)

    def _chunks(self, read: Callable[[int], bytes]) -> Iterator[bytes]:
        while chunk := read(_CHUNK):
            self._done += len(chunk)
            if self._tell:
                self._tell(self._done, self._total)
            yield chunk


def make_folder(path: Path) -> None:
    """A new folder that all may enter, whatever this process's umask: an agent may be another user."""
    path.mkdir()
    path.chmod(0o755)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What changes when anything of a tree does: of every entry its name, kind, size, number and times.

    `newest` is the last change of any of it, in nanoseconds since the epoch. The kernel alone sets that time (ctime):
    who may write to a file cannot set it back.
    """

    text: str
    newest: int


def fingerprint(path: Path) -> Fingerprint | None:
    """None for what is not there or cannot be looked at; the bytes of files are not read."""
    summed = hashlib.sha256()
    newest = 0
    waiting = [str(path)]
    try:
        summed.update(_looks(os.lstat(path)))
        newest = os.lstat(path).st_ctime_ns
        while waiting:
            folder = waiting.pop()
            if not stat.S_ISDIR(os.lstat(folder).st_mode):
                continue
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    info = entry.stat(follow_symlinks=False)
                    newest = max(newest, info.st_ctime_ns)
                    summed.update(os.fsencode(entry.path) + b"\0" + _looks(info))
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
    except OSError as e:
        if e.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP):
            return None
        raise
    return Fingerprint(text=summed.hexdigest(), newest=newest)


def _looks(info: os.stat_result) -> bytes:
    seen = (info.st_mode, info.st_size, info.st_dev, info.st_ino, info.st_mtime_ns, info.st_ctime_ns)
    return " ".join(map(str, seen)).encode() + b"\n"
