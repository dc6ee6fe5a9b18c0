"""Members of an archive as files of an image context: only what the manifest names, never outside of its target."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from bottlegen.errors import RuntimeFailure
from bottlegen.plan import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One regular file of an archive. `stream` is readable until the next member is asked for."""

    path: str
    executable: bool
    size: int
    stream: IO[bytes]


def members(archive: Path, wanted: Mapping[str, str], layout: Layout = "plain") -> Iterator[Member]:
    """The wanted files under their context paths. RuntimeFailure for links, escapes, and names that are not there."""
    found: set[str] = set()
    with _opened(archive) as entries:
        for name, executable, size, stream in entries:
            key, target = _target(_name(name, layout), wanted)
            if key is None:
                continue
            if stream is None:
                raise RuntimeFailure(f"'{name}' in '{archive.name}' is no regular file", fix="pin another release")
            found.add(key)
            member = Member(path=target, executable=executable, size=size, stream=stream)
            yield _unpacked(name, member) if layout == "gzipped" else member
    if missing := sorted(wanted.keys() - found):
        raise RuntimeFailure(
            f"'{archive.name}' does not contain '{missing[0]}'",
            fix="correct the members of this pin in bottlegen's pins",
        )


def _name(entry: str, layout: Layout) -> str:
    """What an entry is called as a file: bottlegen.plan.Layout."""
    if layout == "gzipped":
        return entry.removesuffix(".gz")
    if layout == "plain":
        return entry
    top, _, rest = entry.partition("/")
    kind, _, below = rest.partition("/")
    if not top.endswith(".data"):
        return f"lib/{entry}"
    return f"lib/{below}" if kind in ("purelib", "platlib") else rest


def _unpacked(entry: str, member: Member) -> Member:
    """Its own bytes. Such an archive tells no modes: what begins like a program is one."""
    data = member.stream.read()
    if entry.endswith(".gz"):
        data = gzip.decompress(data)
    executable = data.startswith((b"\x7fELF", b"#!"))
    return Member(path=member.path, executable=executable, size=len(data), stream=io.BytesIO(data))


def _target(name: str, wanted: Mapping[str, str]) -> tuple[str | None, str]:
    if name in wanted:
        return name, wanted[name]
    for folder, target in wanted.items():
        if folder.endswith("/") and name.startswith(folder) and not name.endswith("/"):
            rest = PurePosixPath(name[len(folder) :])
            if ".." in rest.parts or rest.is_absolute():
                raise RuntimeFailure(f"the archive member '{name}' points outside", fix="pin another release")
            return folder, str(PurePosixPath(target) / rest)
    return None, ""


_Entry = tuple[str, bool, int, IO[bytes] | None]


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Entry]]:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                yield _zip_entries(zipped)
        else:
            with tarfile.open(archive, "r|gz") as tarred:
                yield _tar_entries(tarred)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as e:
        raise RuntimeFailure(f"cannot unpack '{archive}': {e}", fix=f"rm '{archive}'") from e


def _zip_entries(archive: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in archive.infolist():
        mode = info.external_attr >> 16  # the upper half holds st_mode when made on Unix
        link = mode & 0o170000 == 0o120000
        if not info.is_dir():
            with archive.open(info) as stream:
                yield info.filename, bool(mode & 0o111), info.file_size, None if link else stream


def _tar_entries(archive: tarfile.TarFile) -> Iterator[_Entry]:
    for info in archive:
        if not info.isdir():
            stream = archive.extractfile(info) if info.isreg() else None
            yield info.name, bool(info.mode & 0o111), info.size, stream
