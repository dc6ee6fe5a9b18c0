"""The flake with the nixpkgs that flake.lock names, as users build it: the same hashes as anywhere."""

import json
import subprocess
from pathlib import Path

import pytest

from bottlegen import bundle

ROOT = Path(__file__).parents[2]
NAMES = tuple(sorted(path.stem for path in (ROOT / "profiles").iterdir()))


def nix(*arguments: str) -> str:
    command = ["nix", "--extra-experimental-features", "nix-command flakes", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_flake_check() -> None:
    nix("flake", "check", "-L")


@pytest.mark.parametrize("name", NAMES)
def test_bundles(name: str) -> None:
    for again in ((), ("--rebuild",)):
        [found] = json.loads(nix("build", f".#bundle-{name}", "--no-link", "--json", *again))
        assert bundle.read(Path(found["outputs"]["out"])).hash == bundle.read(ROOT / "bundles" / name).hash


def test_the_shell_has_what_the_tasks_need() -> None:
    nix("develop", "-c", "invoke", "build", "--check")
