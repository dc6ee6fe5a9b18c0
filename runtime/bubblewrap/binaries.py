"""Programs of a bundle from their pinned archives, unpacked once per content into the cache, and used offline after."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from bottlegen.bundle import Bundle
from bottlegen.errors import RuntimeFailure
from bottlegen.manifest import ArtifactSpec
from runtime.artifacts import ArtifactStore
from runtime.base import Progress
from runtime.extract import members
from runtime.machine import own_platform


class Binaries:
    """`folder` is where unpacked programs are, each below a name that is the hash of what it was made from."""

    def __init__(self, folder: Path, store: ArtifactStore) -> None:
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
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder, prefix=".new-") as made:
                new = Path(made) / "whole"
                for folder in (new, new / "agent", new / "agent" / "bin"):
                    folder.mkdir()
                    folder.chmod(0o755)  # the agent may be another user than the one whose umask this is
                for artifact in artifacts:
                    self._extract(artifact, new, progress)
                _rename(new, target)
        except OSError as e:
            raise RuntimeFailure(
                f"cannot unpack into '{self._folder}': {e.strerror or e}", fix="check space and permissions"
            ) from e

    def _extract(self, artifact: ArtifactSpec, new: Path, progress: Progress) -> None:
        with progress.step(f"download {artifact.filename}") as step:
            archive = self._store.fetch(artifact, step)
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


def _rename(new: Path, target: Path) -> None:
    try:
        new.rename(target)
    except OSError:
        if not target.is_dir():  # another start was quicker, with the same content
            raise
