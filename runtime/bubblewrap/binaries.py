"""Programs of a bundle from their pinned archives, unpacked once per content into the cache, and used offline after."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bottlegen.bundle import Bundle
from bottlegen.errors import RuntimeFailure
from bottlegen.manifest import ArtifactSpec
from bottlegen.plan import RenderedFile
from runtime.base import Progress
from runtime.extract import members
from runtime.machine import for_platform, own_platform, platforms

if TYPE_CHECKING:
    from runtime.artifacts import ArtifactStore

_NEW = ".new-"
_PROGRAMS = "agent"
_Artifacts = tuple[ArtifactSpec, ...]
_Files = tuple[RenderedFile, ...]


class Binaries:
    """`folder` is where unpacked programs are, each below a name that is the hash of what it was made from.

    `store` is asked for when something is missing, and not before: the library for downloads takes a while to load."""

    def __init__(self, folder: Path, store: Callable[[], ArtifactStore]) -> None:
        self._folder = folder
        self._store = store

    def have(self, bundle: Bundle, service: str, progress: Progress) -> Path:
        """The folder that holds the service's programs under the paths that the manifest gives them."""
        target = self.place(bundle, service)
        if not target.is_dir():
            self._unpack(pinned(bundle, service), _own_files(bundle, service), target, progress)
        return target

    def place(self, bundle: Bundle, service: str) -> Path:
        """The same folder, which may be missing."""
        return self._folder / _name(pinned(bundle, service), _own_files(bundle, service))

    def _unpack(self, artifacts: _Artifacts, files: _Files, target: Path, progress: Progress) -> None:
        from runtime.locking import locked

        store = self._store()
        archives = store.fetch_all(artifacts, progress)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with locked(self._folder):
                self._sweep()
                if target.is_dir():  # another start was quicker, with the same content
                    return
                with tempfile.TemporaryDirectory(dir=self._folder, prefix=_NEW) as made:
                    new = Path(made) / "whole"
                    for folder in (new, new / "agent", new / "agent" / "bin"):
                        folder.mkdir()
                        folder.chmod(0o755)  # the agent may be another user than the one whose umask this is
                    for artifact in artifacts:
                        _extract(artifact, archives[artifact.integrity], new, progress)
                    for file in files:
                        with _new_file(new, file.path, executable=bool(file.mode & 0o100)) as out:
                            out.write(file.data)
                    new.rename(target)
        except OSError as e:
            raise RuntimeFailure(
                f"cannot unpack into '{self._folder}': {e.strerror or e}", fix="check space and permissions"
            ) from e

    def _sweep(self) -> None:
        """Remove what a killed start had begun: whoever holds the lock is the only one that unpacks."""
        for left in self._folder.glob(f"{_NEW}*"):
            shutil.rmtree(left)


def _extract(artifact: ArtifactSpec, archive: Path, new: Path, progress: Progress) -> None:
    with progress.step(f"unpack {artifact.filename}"):
        for member in members(archive, artifact.members, artifact.layout):
            with _new_file(new, member.path, executable=member.executable) as out:
                shutil.copyfileobj(member.stream, out, 1 << 20)


def pinned(bundle: Bundle, service: str) -> tuple[ArtifactSpec, ...]:
    """The downloads of a service for this machine; RuntimeFailure when it has only those of others."""
    machine = own_platform()
    every = bundle.manifest.services[service].image.artifacts
    found = for_platform(every, machine)
    if found is None:
        raise RuntimeFailure(
            f"service '{service}' has no artifacts for {machine}", fix=f"use a machine of {platforms(every)}"
        )
    return found


def _own_files(bundle: Bundle, service: str) -> _Files:
    """The files of the bundle's image context that lie among the programs, under their paths there: the agent's below
    one folder, a sidecar's all but what makes an image."""
    declared = bundle.manifest.services[service]
    context = f"{declared.image.context}/"
    found = bundle.below(declared.image.context if declared.listening else f"{context}{_PROGRAMS}")
    files = [replace(file, path=file.path.removeprefix(context)) for file in found]
    return tuple(file for file in files if not (declared.listening and file.path.endswith((".sh", "Dockerfile"))))


def _name(artifacts: _Artifacts, files: _Files) -> str:
    digest = hashlib.sha256()
    for artifact in sorted(artifacts, key=lambda artifact: (artifact.filename, artifact.integrity)):
        digest.update(f"{artifact.integrity}\0{sorted(artifact.members.items())}\0".encode())
        digest.update(artifact.layout.encode() if artifact.layout != "plain" else b"")
    for file in files:
        digest.update(f"{file.path}\0{file.mode:o}\0{len(file.data)}\0".encode() + file.data)
    return digest.hexdigest()


@contextmanager
def _new_file(root: Path, path: str, *, executable: bool) -> Iterator[IO[bytes]]:
    target = root / path
    _make_folders(root, target.parent)
    with target.open("xb") as out:
        yield out
    target.chmod(0o755 if executable else 0o644)


def _make_folders(root: Path, folder: Path) -> None:
    for part in reversed([folder, *folder.parents]):
        if part.is_relative_to(root) and not part.exists():
            part.mkdir()
            part.chmod(0o755)
