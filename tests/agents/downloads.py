"""The real agents on this machine: the pinned archives that images are built from, and their programs on disk."""

import os
import platform
import shutil
from pathlib import Path

from bottlegen import bundle
from runtime.artifacts import ArtifactStore
from runtime.extract import members

ROOT = Path(__file__).parents[2]
PLATFORM = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}.get(platform.machine(), "")


class _Quiet:
    def note(self, text: str) -> None: ...

    def advance(self, done: int, total: int) -> None: ...


def cache_folder() -> Path:
    """Where archives are kept between runs. Ask before a test's own environment hides it."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "bottlegen" / "artifacts"


def unpack_agent(name: str, cache: Path, target: Path) -> None:
    """Unpack the agent programs of a committed bundle, laid out as in its image: agent/bin belongs on PATH."""
    image = bundle.read(ROOT / "bundles" / name).manifest.services["agent"].image
    store = ArtifactStore(cache, os.environ)
    for artifact in image.artifacts:
        if artifact.platform == PLATFORM:
            for member in members(store.fetch(artifact, _Quiet()), artifact.members):
                path = target / member.path
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as program:
                    shutil.copyfileobj(member.stream, program)
                path.chmod(0o755 if member.executable else 0o644)
