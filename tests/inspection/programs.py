"""The pipelock that tests run: the real one where this machine has it, and a stand-in of ours that is held to the same.

`python -m tests.inspection.programs` has Go build the real one into the cache, as the first start of a bottle would.
"""

import functools
import os
import sys
import tarfile
from pathlib import Path

from bottlegen.errors import BottlegenError
from bottlegen.manifest import ArtifactSpec
from bottlegen.pins import load as load_pins
from runtime.artifacts import ArtifactStore
from runtime.go_program import host_platform, on_path
from runtime.progress import make_progress

# Read before the fixtures hide it: what Go built is kept for all runs.
_STORE = ArtifactStore(
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bottlegen" / "artifacts", dict(os.environ)
)
STAND_IN = Path(__file__).parents[1] / "pretend" / "pipelock.py"


def _pinned() -> ArtifactSpec:
    artifact = next(each for each in load_pins().artifacts("pipelock") if each.platform == host_platform())
    return ArtifactSpec(
        platform=artifact.platform, source=artifact.source, package=artifact.package, version=artifact.version,
        filename=artifact.filename, integrity=artifact.integrity, members=dict(artifact.members),
    )  # fmt: skip


def place() -> Path:
    """The folder of the cache where the real one lies, once it was built."""
    return _STORE.path(_pinned()).parent


def _built() -> Path:
    return place() / f"pipelock-{_pinned().version}.tgz"


@functools.cache
def why_not_real() -> str:
    """Why the real pipelock cannot be run here; empty when it can."""
    spec = _pinned()
    if os.environ.get("BOTTLEGEN_PIPELOCK") == "stand-in":
        return "BOTTLEGEN_PIPELOCK asks for the stand-in alone"
    if on_path(spec, os.environ) or _built().is_file():
        return ""
    return f"no pipelock {spec.version} on PATH, nor built before: python -m tests.inspection.programs has Go build it"


def real(folder: Path) -> Path:
    """The real one as a program in `folder`."""
    program = folder / "pipelock"
    if found := on_path(_pinned(), os.environ):
        program.symlink_to(found)
    else:
        with tarfile.open(_built()) as tar:
            tar.extractall(folder, filter="data")
    return program


def stand_in(folder: Path) -> Path:
    """The stand-in as a program in `folder`."""
    program = folder / "pipelock"
    program.write_bytes(STAND_IN.read_bytes())
    program.chmod(0o755)
    return program


def main() -> None:
    """Status 1, and why, when it cannot be had."""
    try:
        with make_progress().step("pipelock") as step:
            print(_STORE.fetch(_pinned(), step))
    except BottlegenError as e:
        sys.exit("\n".join(problem.what for problem in e.problems))


if __name__ == "__main__":
    main()
