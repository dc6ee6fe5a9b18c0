"""Programs of a bundle from their pinned archives, unpacked once per content into the cache, and used offline after."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bottlegen.bundle import Bundle
from bottlegen.errors import RuntimeFailure
from bottlegen.manifest import ArtifactSpec
from runtime.base import Progress
from runtime.extract import members
from runtime.machine import own_platform

if TYPE_CHECKING:
    from runtime.artifacts import ArtifactStore

_NEW = ".new-"


class Binaries:
    """`folder` is where unpacked programs are, each below a name that is the hash of what it was made from.

    `store` is asked for when something is missing, and not before: the library for downloads takes a while to load."""

    def __init__(self, folder: Path, store: Callable[[], ArtifactStore]) -> None:
        self._folder = folder
        self._store = store

    def have(self, bundle: Bundle, service: str, progress: Progress) -> Path:
        """The folder that holds the service's programs under the paths that the manifest gives them."""
        artifacts = pinned(bundle, service)
        target = self._folder / _name(artifacts)
        if not target.is_dir():
            self._unpack(artifacts, target, progress)
        return target

    def _unpack(self, artifacts: tuple[ArtifactSpec, ...], target: Path, progress: Progress) -> None:
        from runtime.locking import locked

        store = self._store()
        archives = [(artifact, _fetch(store, artifact, progress)) for artifact in artifacts]
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
                    for artifact, archive in archives:
                        _extract(artifact, archive, new, progress)
                    new.rename(target)
        except OSError as e:
            raise RuntimeFailure(
                f"cannot unpack into '{self._folder}': {e.strerror or e}", fix="check space and permissions"
            ) from e

    def _sweep(self) -> None:
        """Remove what a killed start had begun: whoever holds the lock is the only one that unpacks."""
        for left in self._folder.glob(f"{_NEW}*"):
            shutil.rmtree(left)


def _fetch(store: ArtifactStore, artifact: ArtifactSpec, progress: Progress) -> Path:
    with progress.step(f"download {artifact.filename}") as step:
        return store.fetch(artifact, step)


def _extract(artifact: ArtifactSpec, archive: Path, new: Path, progress: Progress) -> None:
    with progress.step(f"unpack {artifact.filename}"):
        for member in members(archive, artifact.members):
            path = new / member.path
            _make_folders(new, path.parent)
            with path.open("xb") as out:
                shutil.copyfileobj(member.stream, out, 1 << 20)
            path.chmod(0o755 if member.executable else 0o644)


def pinned(bundle: Bundle, service: str) -> tuple[ArtifactSpec, ...]:
    """The downloads of a service for this machine; RuntimeFailure when it has only those of others."""
    machine = own_platform()
    every = bundle.manifest.services[service].image.artifacts
    found = tuple(artifact for artifact in every if artifact.platform == machine)
    if every and not found:
        there = ", ".join(sorted({artifact.platform for artifact in every}))
        raise RuntimeFailure(f"service '{service}' has no artifacts for {machine}", fix=f"use a machine of {there}")
    return found


def _name(artifacts: tuple[ArtifactSpec, ...]) -> str:
    digest = hashlib.sha256()
    for artifact in sorted(artifacts, key=lambda artifact: artifact.filename):
        digest.update(f"{artifact.integrity}\0{sorted(artifact.members.items())}\0".encode())
    return digest.hexdigest()


def _make_folders(root: Path, folder: Path) -> None:
    for part in reversed([folder, *folder.parents]):
        if part.is_relative_to(root) and not part.exists():
            part.mkdir()
            part.chmod(0o755)
