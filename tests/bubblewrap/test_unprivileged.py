"""The contract and the walls again, for a user without any right: only where the tests themselves run as root."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from bottlegen.bundle import Bundle
from runtime.artifacts import ArtifactStore
from runtime.bubblewrap import tools
from runtime.bubblewrap.binaries import Binaries
from runtime.progress import make_progress
from tests.contract.bottle import CACHE, ENV

ROOT = Path(__file__).parents[2]
USER = 64321
"""No account need exist, and none is likely to."""

SUITE = ("tests/contract/test_contract.py", "tests/bubblewrap/test_isolation.py")


@pytest.fixture
def users_folder() -> Iterator[Path]:
    """A folder that is this user's, below folders that all may pass."""
    with tempfile.TemporaryDirectory(prefix="bottlegen-user-", dir="/tmp") as name:
        os.chown(name, USER, USER)
        yield Path(name)


def as_user(argv: Iterable[str], folder: Path, seen: Iterable[Path], **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the user. What it needs of folders that are closed to it, such as root's home, is put where it
    was, in a mount namespace of its own."""
    places = {path: closed for path in sorted({path.resolve() for path in seen}) if (closed := _closed(path))}
    mounts = [part for closed in set(places.values()) for part in ("--perms", "0755", "--tmpfs", str(closed))]
    for path, closed in places.items():
        between = [parent for parent in reversed(path.parents) if parent.is_relative_to(closed) and parent != closed]
        mounts += [part for parent in between for part in ("--perms", "0755", "--dir", str(parent))]
        mounts += ["--bind", str(path), str(path)]
    command = [
        str(tools.find(ENV).bwrap), "--dev-bind", "/", "/", *mounts, "--cap-add", "ALL", "--chdir", str(ROOT), "--",
        "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
        *argv,
    ]  # fmt: skip
    whole = {"PATH": os.environ["PATH"], "HOME": str(folder), **env}
    return subprocess.run(command, env=whole, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def _closed(path: Path) -> Path | None:
    """The uppermost folder on the way to `path` that others may not pass."""
    return next((part for part in reversed(path.parents) if not part.stat().st_mode & 0o001), None)


def test_the_contract_and_the_walls_hold_without_root(users_folder: Path, bundle: Bundle) -> None:
    programs = Binaries(CACHE / "programs", lambda: ArtifactStore(CACHE / "artifacts", ENV))
    for service in bundle.manifest.services:
        programs.have(bundle, service, make_progress())
    cache = users_folder / "cache" / "bottlegen"
    cache.mkdir(parents=True)
    (cache / "programs").symlink_to(CACHE / "programs")
    seen = (Path(sys.base_prefix), Path(sys.prefix), ROOT, CACHE / "programs")
    done = as_user(
        [
            sys.executable, "-m", "pytest", *SUITE, "-k", "not docker and not pretend", "-q", "-p", "no:cacheprovider",
            f"--basetemp={users_folder}/pytest",
        ],
        users_folder, seen, XDG_CACHE_HOME=str(users_folder / "cache"), BOTTLEGEN_REQUIRE="namespaces",
    )  # fmt: skip
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout
    assert passed
    assert int(passed[1]) >= 30


if os.geteuid() != 0:  # a user's own run of the suite is this already
    del test_the_contract_and_the_walls_hold_without_root
