"""The flake with the nixpkgs that flake.lock names, as users build it: the same hashes as anywhere."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from bottlegen import bundle, nar
from runtime import layers, tree
from runtime.machine import own_platform

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


IMAGE = """
let
  pkgs = (builtins.getFlake "path:@root@").inputs.nixpkgs.legacyPackages.${builtins.currentSystem};
  root = pkgs.buildEnv { name = "root"; paths = [ pkgs.bashInteractive pkgs.coreutils ]; pathsToLink = [ "/bin" ]; };
in
pkgs.dockerTools.buildImage { name = "agent"; copyToRoot = root; }
"""


def test_an_image_of_dockertools_is_an_archive(tmp_path: Path) -> None:
    """Its hash is what Nix says of it, and a shell is where its own links lead."""
    expression = IMAGE.replace("@root@", str(ROOT))
    [found] = json.loads(nix("build", "--impure", "--no-link", "--json", "--expr", expression))
    archive = Path(found["outputs"]["out"])
    assert nar.sri(tree.digest(archive)) == nix("hash", "path", str(archive)).strip()
    layers.unpack(archive, tmp_path / "made", own_platform(), tmp_path)
    shell = layers.resolve(tmp_path / "made", "/bin/bash")
    assert shell is not None
    assert os.access(tmp_path / "made" / shell, os.X_OK)
