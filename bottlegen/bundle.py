"""A bundle: a plain directory of canonical files named by its Nix archive hash, written whole or not at all.

The hash covers names, bytes and execute bits of every file, manifest.json included, and is never inside.
Other mode bits do not survive git or a Nix store, so the mode that a file has in use stands in the manifest.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from bottlegen import nar
from bottlegen.errors import BundleError, Problem, Where
from bottlegen.plan import RenderedFile
from bottlegen.render import canonical_json

if TYPE_CHECKING:
    from pydantic import ValidationError

    from bottlegen.manifest import Manifest

MANIFEST = "manifest.json"
MAX_FILE = 128 * 1024 * 1024
"""The largest profile, a mebibyte of routes, makes an Envoy config of 80 MiB; what is larger is not read."""

_MAX_FILES = 2000


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in memory. `files` holds every file by path, the manifest's own bytes included."""

    files: Mapping[str, RenderedFile]

    @cached_property
    def manifest(self) -> "Manifest":
        """What the manifest's bytes say; who only builds does not pay for the models that read it."""
        from bottlegen.manifest import Manifest

        return Manifest.model_validate_json(self.data(MANIFEST))

    @cached_property
    def digest(self) -> bytes:
        """The 32 bytes that `nix hash path` would print for the directory."""
        return tree_digest(self.files)

    @property
    def hash(self) -> str:
        return nar.sri(self.digest)

    @property
    def short_hash(self) -> str:
        return nar.short(self.digest)

    def data(self, path: str) -> bytes:
        return self.files[path].data

    def below(self, folder: str) -> tuple[RenderedFile, ...]:
        """The files under `folder/`, sorted by path."""
        return tuple(self.files[path] for path in sorted(self.files) if path.startswith(f"{folder}/"))


def tree_digest(files: Mapping[str, RenderedFile]) -> bytes:
    regulars = {path: nar.Regular(file.data, bool(file.mode & 0o100)) for path, file in files.items()}
    return nar.tree_digest(nar.plant(regulars))


def assemble(manifest: Mapping[str, object], files: Iterable[RenderedFile]) -> Bundle:
    """Join the files and the manifest, the document of a Manifest, that lists them: its `files` is filled in here."""
    by_path: dict[str, RenderedFile] = {}
    for file in files:
        if file.path == MANIFEST or by_path.setdefault(file.path, file) != file:
            raise ValueError(f"two different files '{file.path}'")
    listed = [
        (path, f"{file.mode:03o}", hashlib.sha256(file.data).hexdigest()) for path, file in sorted(by_path.items())
    ]
    by_path[MANIFEST] = RenderedFile(path=MANIFEST, data=canonical_json({**manifest, "files": listed}))
    return Bundle(MappingProxyType(by_path))


def write(bundle: Bundle, directory: Path) -> bool:
    """Put the bundle whole at `directory`, by renames; False when an equal one is there already.

    Only a bundle, an empty folder or nothing is replaced: BundleError for anything else.
    """
    try:
        if differences(bundle, directory) == ():
            return False
        directory.parent.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(directory)
        _write_beside(bundle, directory)
    except OSError as e:
        raise BundleError(
            f"cannot write bundle '{directory}': {e.strerror or e}", fix="check space and permissions"
        ) from e
    return True


def _refuse_foreign(directory: Path) -> None:
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise BundleError(f"'{directory}' is not a directory", fix=f"rm '{directory}'")
    if directory.is_dir() and any(directory.iterdir()) and not (directory / MANIFEST).is_file():
        raise BundleError(
            f"'{directory}' holds something that is no bundle",
            fix="choose another place with --out, or move it away",
        )


def _write_beside(bundle: Bundle, directory: Path) -> None:
    partial = directory.with_name(f".{directory.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for path, file in bundle.files.items():
            _write_file(partial / path, file)
        _swap(bundle, partial, directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_file(path: Path, file: RenderedFile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.data)
    path.chmod(0o755 if file.mode & 0o100 else 0o644 if file.mode & 0o044 else 0o600)


def _swap(bundle: Bundle, partial: Path, directory: Path) -> None:
    """Move what is there aside and `partial` in its place; on failure what was there comes back."""
    old = directory.with_name(f".{directory.name}.old-{os.getpid()}")
    shutil.rmtree(old, ignore_errors=True)
    with suppress(FileNotFoundError):
        directory.rename(old)
    try:
        partial.rename(directory)
    except OSError:
        # Somebody who builds the same profile may have been quicker: what counts is what is there now.
        if differences(bundle, directory):
            if old.exists() and not directory.exists():
                old.rename(directory)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def differences(bundle: Bundle, directory: Path) -> tuple[str, ...]:
    """How `directory` differs from the bundle, one short line a path (`+` only built, `-` only there, `~` changed)."""
    there = _files_below(directory) if directory.is_dir() and not directory.is_symlink() else {}
    lines = []
    for path in sorted(there.keys() | bundle.files.keys()):
        if path not in there:
            lines.append(f"+ {path}")
        elif path not in bundle.files:
            lines.append(f"- {path}")
        elif not _same(there[path], bundle.files[path]):
            lines.append(f"~ {path}")
    return tuple(lines)


def _same(path: Path, file: RenderedFile) -> bool:
    try:
        info = path.lstat()
        return (
            stat.S_ISREG(info.st_mode)
            and bool(info.st_mode & 0o100) == bool(file.mode & 0o100)
            and info.st_size == len(file.data)
            and path.read_bytes() == file.data
        )
    except OSError:
        return False


def _files_below(directory: Path) -> dict[str, Path]:
    """Everything below that is not a plain folder with content; an empty or closed folder counts as an entry."""
    found: dict[str, Path] = {}
    closed: list[OSError] = []
    for folder, folders, names in os.walk(directory, onerror=closed.append):
        here = Path(folder)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in (*names, *links):
            found[(here / name).relative_to(directory).as_posix()] = here / name
        if not folders and not names and here != directory:
            found[here.relative_to(directory).as_posix()] = here
        if len(found) > _MAX_FILES:
            break
    for error in closed:
        found[Path(error.filename).relative_to(directory).as_posix()] = Path(error.filename)
    return found


def read(directory: Path) -> Bundle:
    """Read and verify; BundleError lists every missing, added, altered or unreadable file at once."""
    manifest = _read_manifest(directory)
    there = _files_below(directory)
    listed = {path: (mode, digest) for path, mode, digest in manifest.files}
    problems = [
        _problem(directory, path, "is not listed in the manifest")
        for path in sorted(there.keys() - listed.keys() - {MANIFEST})
    ]
    files: dict[str, RenderedFile] = {}
    for path, (mode, digest) in listed.items():
        file = _read_listed(there.get(path), path, int(mode, 8), digest)
        if isinstance(file, RenderedFile):
            files[path] = file
        else:
            problems.append(_problem(directory, path, file))
    if problems:
        fix = "bottlegen build, then review the diff"
        raise BundleError([*problems, Problem(what="the bundle is altered", fix=fix)])
    files[MANIFEST] = RenderedFile(path=MANIFEST, data=canonical_json(manifest.model_dump(mode="json")))
    return Bundle(MappingProxyType(files))


_LONGEST_SHOWN = 300


def _problem(directory: Path, path: str, trouble: str) -> Problem:
    # A name that somebody planted may hold what would move the reader's cursor, or no text at all.
    shown = path if path.isprintable() else ascii(path)[1:-1]
    shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"
    return Problem(what=f"file '{shown}' {trouble}", where=Where(file=f"{directory}/{shown}"))


def _read_manifest(directory: Path) -> "Manifest":
    """The manifest, proven canonical: its bytes are those that we would write for it."""
    from pydantic import ValidationError

    from bottlegen.manifest import Manifest

    path = directory / MANIFEST
    trouble: str | None
    try:
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode) or info.st_mode & 0o100:
            raise ValueError("not a plain file without execute bit")
        data = _bounded(path)
        manifest = Manifest.model_validate_json(data)
        trouble = _uncanonical(manifest, data)
    except (FileNotFoundError, NotADirectoryError) as e:
        raise BundleError(f"no bundle at '{directory}'", fix="bottlegen build") from e
    except ValidationError as e:
        trouble = _first(e)
    except (OSError, ValueError) as e:
        trouble = str(e)
    else:
        if not trouble:
            return manifest
    raise BundleError(
        Problem(what=f"unreadable manifest: {trouble}", where=Where(file=str(path)), fix="bottlegen build")
    )


def _first(error: "ValidationError") -> str:
    first = error.errors()[0]
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))


def _uncanonical(manifest: "Manifest", data: bytes) -> str:
    paths = [path for path, _, _ in manifest.files]
    if paths != sorted(set(paths)) or MANIFEST in paths:
        return "its files are not sorted, each once and without itself"
    return "" if canonical_json(manifest.model_dump(mode="json")) == data else "not in canonical form"


def _read_listed(path: Path | None, name: str, mode: int, digest: str) -> RenderedFile | str:
    if path is None:
        return "is missing"
    try:
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode):
            return "is not a plain file"
        if bool(info.st_mode & 0o100) != bool(mode & 0o100):
            return "has another execute bit than the manifest says"
        data = _bounded(path)
    except (OSError, ValueError) as e:
        return f"cannot be read: {e}"
    if hashlib.sha256(data).hexdigest() != digest:
        return "has other bytes than the manifest says"
    return RenderedFile(path=name, data=data, mode=mode)


def _bounded(path: Path) -> bytes:
    with path.open("rb") as stream:
        data = stream.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ValueError(f"larger than {MAX_FILE} bytes")
    return data
