"""Where an agent's machine takes its root from: the bundle's rootfs, what this host names, or Docker's agent image."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bottlegen.errors import Problem, RuntimeFailure, Where
from bottlegen.manifest import Manifest
from bottlegen.wording import shown
from runtime.artifacts import ArtifactStore
from runtime.base import LaunchSpec, Progress

_AGENT = "agent"
_NEEDED = {"/bin/sh": ("bin/sh",), "python3": ("usr/local/bin/python3", "usr/bin/python3", "bin/python3")}
"""The engine asks the one whether a machine is up; our first process is a program of the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """`image` as the engine takes it, a folder or an archive. `bare` when the agent's programs are not in it."""

    image: str
    bare: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """`rootfs` is host.toml's, empty for none; `cache` keeps archives, each named by the image it was saved from."""

    env: Mapping[str, str]
    cache: Path
    ca_file: Path | None
    rootfs: str

    def problems(self, manifest: Manifest | None = None) -> list[Problem]:
        """Why there is no root for a machine here, told before anything is made; without a manifest, for any bundle."""
        if manifest and manifest.rootfs:
            return []  # the start finds and verifies it
        if self.rootfs:
            path = Path(self.rootfs).expanduser()
            if path.is_dir() or (path.is_file() and path.name.endswith((".tar", ".tar.gz", ".tgz"))):
                return []
            what = f"{shown(self.rootfs)} is neither a folder nor a .tar, .tar.gz or .tgz"
            where = Where(file="host.toml", field="smolmachines.rootfs")
            return [Problem(what=what, where=where, fix="name an unpacked root or an image archive")]
        from runtime.docker.engine import connect

        try:
            connect(self.env).api.close()
        except RuntimeFailure as e:
            return [
                Problem(
                    what=f"a microVM needs a root file system, and there is none: {e.problems[0].what}",
                    fix="[smolmachines] rootfs in host.toml: an unpacked Debian-like root, or an image archive, with\n"
                    "  bash ca-certificates curl git procps python3, as docs/host.md shows\n"
                    "or start a docker engine: the agent's image is built with it",
                )
            ]
        return []

    def have(self, spec: LaunchSpec, progress: Progress) -> Root:
        """The root of this bottle's machine, made if it has to be."""
        if spec.rootfs:
            return _bare(spec.rootfs)
        if self.rootfs:
            return _bare(Path(self.rootfs).expanduser().resolve())
        return Root(image=str(self._saved(spec, progress)), bare=False)

    def _saved(self, spec: LaunchSpec, progress: Progress) -> Path:
        from runtime.docker.build import Images as Built
        from runtime.docker.engine import connect, translated

        engine = connect(self.env)
        try:
            store = ArtifactStore(self.cache / "artifacts", self.env, self.ca_file)
            built = Built(engine, store, self.env, self.ca_file)
            tag = built.have_one(spec, _AGENT, progress)
            archive = self.cache / "machines" / f"{tag.rpartition(':')[2]}.tar"
            if not archive.is_file():
                with progress.step("save the agent image for microVMs"), translated("save the agent image"):
                    _write(archive, engine.api.get_image(tag))
        finally:
            engine.api.close()
        return archive


def _bare(root: Path) -> Root:
    """A root without agents; RuntimeFailure when it lacks what the engine and a first process start with."""
    lacking = [
        name
        for name, places in _NEEDED.items()
        if root.is_dir() and not any(os.path.lexists(root / place) for place in places)
    ]
    if lacking:
        raise RuntimeFailure(
            f"'{root}' cannot be a microVM's root: it has no {' and no '.join(lacking)}",
            fix="install them there, or --runtime docker",
        )
    return Root(image=str(root), bare=True)


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    """Whole or not at all: the name says what is in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as new:
        try:
            for chunk in chunks:
                new.write(chunk)
            Path(new.name).rename(path)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise
