"""The flake, built by a real Nix with a stub of nixpkgs: our expressions hold, and bundles keep their hash."""

import json
import subprocess
from pathlib import Path

import pytest

from bottlegen import bundle
from tests.nix.conftest import Nix

ROOT = Path(__file__).parents[2]
NAMES = tuple(sorted(path.stem for path in (ROOT / "profiles").iterdir()))
FILES = sorted([ROOT / "flake.nix", *(ROOT / "nix").glob("*.nix"), *(ROOT / "tests" / "nix").glob("*/*.nix")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_parses(path: Path) -> None:
    subprocess.run(["nix-instantiate", "--parse", str(path)], check=True, capture_output=True, timeout=30)


@pytest.mark.slow
def test_flake_check(own_nix: Nix) -> None:
    done = own_nix.run("flake", "check", "-L", *own_nix.with_stub())
    assert done.returncode == 0, done.stderr
    built = {path.name.partition("-")[2] for path in own_nix.store.glob("*-check-*") if path.suffix != ".drv"}
    assert built == {"check-lint", "check-negative", "check-tests", *(f"check-bundle-{name}" for name in NAMES)}


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_has_the_hash_of_the_committed_one(own_nix: Nix, name: str) -> None:
    committed = bundle.read(ROOT / "bundles" / name)
    path = own_nix.build(f".#bundle-{name}", *own_nix.with_stub())
    assert own_nix.ok("hash", "path", str(path)) == committed.hash
    assert bundle.read(path).hash == committed.hash
    info = json.loads(own_nix.ok("path-info", "--json", str(path)))
    [entry] = info if isinstance(info, list) else info.values()
    assert (entry["narHash"], entry["references"]) == (committed.hash, [])
    own_nix.build(f".#bundle-{name}", "--rebuild", *own_nix.with_stub())


def test_run(own_nix: Nix, tmp_path: Path) -> None:
    arguments = ("run", f"path:{own_nix.flake}", *own_nix.with_stub(), "--")
    shipped = bundle.read(ROOT / "bundles" / "codex").hash
    assert own_nix.ok(*arguments, "hash", "--profile", "codex", cwd=tmp_path) == shipped
    assert own_nix.run(*arguments, "hash", "--profile", "codx", cwd=tmp_path).returncode == 10


def test_develop(own_nix: Nix) -> None:
    listed = own_nix.ok("develop", *own_nix.with_stub(), "-c", "invoke", "--list")
    assert {"build", "lint", "up", "verify"} <= set(listed.split())


def test_fmt(own_nix: Nix, tmp_path: Path) -> None:
    """What it formats with is the stub's for Nix files, and ruff itself for Python."""
    flake = own_nix.copy_of_flake(tmp_path / "flake")
    nix_file, python_file = flake / "nix" / "shell.nix", flake / "runtime" / "locking.py"
    wanted = nix_file.read_text(), python_file.read_text()
    nix_file.write_text(wanted[0].replace("\n", "  \n"))
    python_file.write_text(wanted[1].replace(" = ", "="))
    own_nix.ok("fmt", *own_nix.with_stub(), cwd=flake)
    assert (nix_file.read_text(), python_file.read_text()) == wanted


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("bundles/shell/routes.json", "/zen", "/zed"),
        ("profiles/shell.toml", "/zen", "/zed"),
    ],
)
def test_the_check_catches_a_bundle_that_is_not_the_profile_s(
    own_nix: Nix, tmp_path: Path, path: str, before: str, after: str
) -> None:
    flake = own_nix.copy_of_flake(tmp_path / "flake")
    text = (flake / path).read_text()
    assert before in text
    (flake / path).write_text(text.replace(before, after))
    system = own_nix.ok("eval", "--impure", "--raw", "--expr", "builtins.currentSystem")
    done = own_nix.run("build", f".#checks.{system}.bundle-shell", "--no-link", "-L", *own_nix.with_stub(), cwd=flake)
    assert done.returncode != 0
    assert "manifest says" in done.stderr or "committed: sha256-" in done.stderr


def test_an_edited_page_builds_nothing_anew(own_nix: Nix, tmp_path: Path) -> None:
    flake = own_nix.copy_of_flake(tmp_path / "flake")
    before = own_nix.build(".#default", *own_nix.with_stub())
    (flake / "README.md").write_text("other\n")
    assert own_nix.build(".#default", *own_nix.with_stub(), cwd=flake) == before
    (flake / "bottlegen" / "__init__.py").write_text('"""Other."""\n__version__ = "9"\n')
    assert own_nix.build(".#default", *own_nix.with_stub(), cwd=flake) != before
