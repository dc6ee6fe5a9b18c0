"""A verified tree as the tar that an engine imports: streamed, in one order, with no owner or time of this host."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from bottlegen.plan import MATERIAL
from runtime.rootfs_view import NAMES, OWN, TRUST, Part, parts

_CHUNK = 1 << 20
_HERE = "/usr/libexec/bottle"
"""What starts the agent lies there; see bottlegen/images/rootfs/."""

_FOLDERS = (
    "/dev", "/home", "/home/agent", "/opt/agent", "/opt/bottle", "/proc", "/run", MATERIAL, "/sys", "/tmp", "/var/tmp",  # noqa: S108
    "/workspace", _HERE,
)  # fmt: skip
"""With what they are in, where that is not among the parts: a folder may come once."""
_SHARED = frozenset({"/tmp", "/var/tmp"})  # noqa: S108 - paths inside the bottle
_LINKS = {
    "/etc/passwd": f"{MATERIAL}/passwd",
    "/etc/group": f"{MATERIAL}/group",
    **dict.fromkeys(TRUST, f"{MATERIAL}/ca-bundle.crt"),
}
_NSSWITCH = b"passwd: files\ngroup: files\nhosts: files dns\n"
"""Names of hosts come from the file that the engine writes, whatever the tree's C library would ask first."""


def archive(tree: Path) -> Iterator[bytes]:
    """The tar's bytes; the tree's own files, and in their places those that are the bottle's."""
    for part in parts(tree, OWN | {_HERE}):
        yield from _part(part)
    for path in _FOLDERS:
        yield _head(path, tarfile.DIRTYPE, 0o1777 if path in _SHARED else 0o755)
    for path, target in sorted(_LINKS.items()):
        yield _head(path, tarfile.SYMTYPE, 0o777, target=target)
    for path in sorted({*NAMES} - _LINKS.keys()):
        yield from _file(path, _NSSWITCH if path.endswith("nsswitch.conf") else b"")
    yield bytes(2 * tarfile.BLOCKSIZE)


def _part(part: Part) -> Iterator[bytes]:
    if part.target:
        yield _head(part.path, tarfile.SYMTYPE, 0o777, target=part.target)
    elif part.source is None:
        yield _head(part.path, tarfile.DIRTYPE, 0o755)
    else:
        yield from _whole(part.path, part.source)


def _whole(path: str, source: Path) -> Iterator[bytes]:
    if source.is_symlink():
        yield _head(path, tarfile.SYMTYPE, 0o777, target=os.readlink(source))  # noqa: PTH115 - as it was written
    elif source.is_dir():
        yield _head(path, tarfile.DIRTYPE, 0o755)
        for entry in sorted(source.iterdir()):
            yield from _whole(f"{path}/{entry.name}", entry)
    else:
        with source.open("rb") as file:
            info = os.fstat(file.fileno())
            yield _head(path, tarfile.REGTYPE, 0o755 if info.st_mode & 0o100 else 0o644, size=info.st_size)
            while chunk := file.read(_CHUNK):
                yield chunk
            yield _padding(info.st_size)


def _file(path: str, data: bytes) -> Iterator[bytes]:
    yield _head(path, tarfile.REGTYPE, 0o644, size=len(data))
    yield data + _padding(len(data))


def _head(path: str, kind: bytes, mode: int, *, size: int = 0, target: str = "") -> bytes:
    info = tarfile.TarInfo(path.lstrip("/"))
    info.type, info.mode, info.size, info.linkname = kind, mode, size, target
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
