"""A Nix of the test run's own: store, state and settings below a temporary folder, no network or daemon."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# No substituters, or each first build waits for the network. No build users and no sandbox: a CI machine may be a
# container without either.
_SETTINGS = """
experimental-features = nix-command flakes
substituters =
build-users-group =
sandbox = false
max-jobs = 2
flake-registry =
warn-dirty = false
"""


@dataclass(frozen=True)
class Nix:
    """`flake` is the checkout's tracked files, as a flake sees them; `stub` stands where nixpkgs would."""

    folder: Path
    flake: Path
    stub: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def run(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "NIX_CONFIG": _SETTINGS,
            "NIX_REMOTE": "local",
            "NIX_STORE_DIR": str(self.store),
            **{f"NIX_{name}_DIR": str(self.folder / name.lower()) for name in ("STATE", "LOG", "CONF")},
        }
        return subprocess.run(
            ["nix", *arguments],
            cwd=cwd or self.flake,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def ok(self, *arguments: str, cwd: Path | None = None) -> str:
        done = self.run(*arguments, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def with_stub(self) -> tuple[str, ...]:
        return ("--override-input", "nixpkgs", f"path:{self.stub}", "--no-write-lock-file")

    def build(self, what: str, *options: str, cwd: Path | None = None) -> Path:
        """The store path of `what`, an attribute of the flake in `cwd` or of ours."""
        found = json.loads(self.ok("build", what, "--no-link", "--json", *options, cwd=cwd))
        return Path(found[0]["outputs"]["out"])

    def copy_of_flake(self, folder: Path) -> Path:
        """Another copy, to break something in."""
        return Path(shutil.copytree(self.flake, folder))


@pytest.fixture(scope="session")
def own_nix(tmp_path_factory: pytest.TempPathFactory) -> Nix:
    folder = tmp_path_factory.mktemp("nix").resolve()
    (folder / "home").mkdir()
    made = Nix(folder, folder / "flake", folder / "stub")
    tracked = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (made.flake / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, made.flake / name)
    shutil.copytree(ROOT / "tests" / "nix" / "stub", made.stub)
    (made.stub / "host.nix").write_text(
        f'{{ venv = "{sys.prefix}"; bash = "{shutil.which("bash")}"; path = "/usr/bin:/bin"; }}\n'
    )
    return made
