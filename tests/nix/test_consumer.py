"""Another flake with ours as input: `lib.mkBundle` with and without a pinned hash, the overlay, the home module."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bottlegen import bundle, nar
from bottlegen.lock import parse, render
from bottlegen.pins import load as load_pins
from bottlegen.pins import pinned, shipped_lock
from bottlegen.pipeline import build, load_profile
from runtime import tree
from tests.nix.conftest import Nix

HERE = Path(__file__).parent / "consumer"
DEV = build(load_profile(str(HERE / "dev.toml")), load_pins())

Consumer = Callable[..., Path]


@pytest.fixture
def consumer(own_nix: Nix, tmp_path: Path) -> Consumer:
    """Makes the project's folder, pinned to `pin`."""

    def make(pin: str = DEV.hash) -> Path:
        folder = tmp_path / "consumer"
        if not folder.exists():
            shutil.copytree(HERE, folder)
        text = (HERE / "flake.nix").read_text()
        for name, value in {"stub": own_nix.stub, "flake": own_nix.flake, "hash": pin}.items():
            text = text.replace(f"@{name}@", str(value))
        (folder / "flake.nix").write_text(text)
        return folder

    return make


def test_a_bundle_of_its_own(own_nix: Nix, consumer: Consumer) -> None:
    path = own_nix.build(".#plain", cwd=consumer())
    assert (bundle.read(path).hash, own_nix.ok("hash", "path", str(path))) == (DEV.hash, DEV.hash)


def test_a_pinned_bundle_lies_where_hash_nix_says(own_nix: Nix, consumer: Consumer) -> None:
    path = own_nix.build(".#pinned", cwd=consumer())
    assert str(path) == nar.store_path(DEV.digest, "dev", store=str(own_nix.store))
    assert bundle.read(path).hash == DEV.hash


def test_a_wrong_pin_is_told_the_right_one(own_nix: Nix, consumer: Consumer) -> None:
    done = own_nix.run("build", ".#pinned", "--no-link", cwd=consumer(nar.sri(bytes(32))))
    assert done.returncode != 0
    assert "hash mismatch" in done.stderr
    assert DEV.hash in done.stderr


def test_a_pin_left_behind_is_noticed_by_a_rebuild_alone(own_nix: Nix, consumer: Consumer) -> None:
    """Nix's own way with fixed outputs, and the reason why a hash is not the default."""
    folder = consumer()
    before = own_nix.build(".#pinned", cwd=folder)
    profile = folder / "dev.toml"
    profile.write_text(profile.read_text().replace("GET", "POST"))
    assert own_nix.build(".#pinned", cwd=folder) == before
    again = own_nix.run("build", ".#pinned", "--no-link", "--rebuild", cwd=folder)
    assert (again.returncode != 0, "hash mismatch" in again.stderr) == (True, True)
    changed = build(load_profile(str(profile)), load_pins())
    assert bundle.read(own_nix.build(".#plain", cwd=folder)).hash == changed.hash != DEV.hash


def test_a_profile_that_extends_another(own_nix: Nix, consumer: Consumer) -> None:
    folder = consumer()
    path = own_nix.build(".#site", cwd=folder)
    expected = build(load_profile(str(folder / "team" / "web" / "site.yaml")), load_pins())
    assert bundle.read(path).hash == expected.hash
    refused = own_nix.run("build", ".#misnamed", "--no-link", cwd=folder)
    assert "profile 'web/site.yaml' makes a bundle of its own name, not 'other'" in refused.stderr


def test_a_lock_of_its_own_counts(own_nix: Nix, consumer: Consumer) -> None:
    folder = consumer()
    digest = load_pins().base.partition("@")[2]
    lock = render(shipped_lock()).replace(digest, f"sha256:{'f' * 64}")
    (folder / "bottlegen.lock").write_text(lock)
    pins = pinned(parse("bottlegen.lock", lock.encode()))
    for output, profile in (("locked", folder / "dev.toml"), ("sitelocked", folder / "team" / "web" / "site.yaml")):
        expected = build(load_profile(str(profile)), pins)
        assert bundle.read(own_nix.build(f".#{output}", cwd=folder)).hash == expected.hash
        assert expected.hash != build(load_profile(str(profile)), load_pins()).hash


def test_a_generator_that_writes_the_time_is_caught_by_a_rebuild(own_nix: Nix, consumer: Consumer) -> None:
    folder = consumer()
    own_nix.build(".#clock", cwd=folder)
    again = own_nix.run("build", ".#clock", "--no-link", "--rebuild", cwd=folder)
    assert (again.returncode != 0, "may not be deterministic" in again.stderr) == (True, True)


def test_a_bundle_that_names_the_store_is_refused(own_nix: Nix, consumer: Consumer) -> None:
    done = own_nix.run("build", ".#leak", "--no-link", cwd=consumer())
    assert (done.returncode != 0, "is not allowed to refer to" in done.stderr) == (True, True)


@pytest.mark.parametrize(
    ("bottle", "made", "kind", "name"),
    [
        ("rooted", "root", "directory", "agent-root"),
        ("imaged", "image", "archive", "images/agent.tar"),
        ("siteRooted", "root", "directory", "agent-root"),
    ],
)
def test_a_rootfs_that_nix_builds(
    own_nix: Nix, consumer: Consumer, tmp_path: Path, bottle: str, made: str, kind: str, name: str
) -> None:
    """The bundle is that of a profile which declares the hash that Nix has for what it built."""
    folder = consumer()
    found = bundle.read(own_nix.build(f".#{bottle}", cwd=folder))
    rootfs = found.manifest.rootfs
    assert rootfs is not None
    root = own_nix.build(f".#{made}", cwd=folder)
    narhash = own_nix.ok("hash", "path", str(root))
    assert (rootfs.kind, rootfs.name, rootfs.hash) == (kind, name, narhash)
    assert nar.sri(tree.digest(root)) == narhash
    extended = "team/web/site.yaml" if bottle == "siteRooted" else "dev.toml"
    profile = tmp_path / f"{found.manifest.name}.toml"
    profile.write_text(f'extends = "consumer/{extended}"\n[rootfs]\n{kind} = "{name}"\nhash = "{narhash}"\n')
    assert build(load_profile(str(profile)), load_pins()).hash == found.hash


def test_a_rootfs_of_no_kind_is_refused(own_nix: Nix, consumer: Consumer) -> None:
    done = own_nix.run("build", ".#rootless", "--no-link", cwd=consumer())
    assert "rootfs wants 'from' and one of 'directory' and 'archive'" in done.stderr


def test_the_home_module_makes_what_up_accepts(own_nix: Nix, consumer: Consumer, tmp_path: Path) -> None:
    folder = consumer()
    home = own_nix.build(".#home", cwd=folder)
    assert (home / "bottlegen" / "host.toml").read_text() == '[secrets.MY_TOKEN]\nenv = "OTHER_TOKEN"\n\n'
    command = own_nix.build(".#overlaid", cwd=folder) / "bin" / "bottlegen"
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    done = subprocess.run(
        [str(command), "up", "--profile", str(home / "bottlegen" / "profiles" / "dev.toml")],
        cwd=workspace,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path / "user"),
            "XDG_CONFIG_HOME": str(home),
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # The bundle was found, whole and what the profile builds: only the engine is missing.
    assert (done.returncode, "no docker engine here" in done.stderr) == (16, True), done.stderr
