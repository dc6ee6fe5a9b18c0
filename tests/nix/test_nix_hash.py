"""Our hash is the one that Nix prints: for random trees, the shipped bundles, base-32 and store paths."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bottlegen import bundle, nar
from bottlegen.errors import RuntimeFailure
from runtime import tree as disk
from tests.contract import small_root
from tests.unit.archives import image_archive

ROOT = Path(__file__).parents[2]
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)
FILES = st.builds(nar.Regular, st.binary(max_size=40), st.booleans())
LINKS = st.builds(nar.Symlink, st.binary(min_size=1, max_size=20).filter(lambda target: b"\0" not in target))
TREES = st.recursive(
    st.dictionaries(NAMES.map(str.encode), FILES | LINKS, max_size=4),
    lambda inner: st.dictionaries(NAMES.map(str.encode), FILES | inner, max_size=4),
    max_leaves=8,
)


def nix(*arguments: str) -> str:
    command = ["nix", "--extra-experimental-features", "nix-command", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def write_tree(tree: nar.Tree, here: bytes) -> None:
    Path(here.decode()).mkdir()
    for name, node in tree.items():
        path = Path((here + b"/" + name).decode())
        if isinstance(node, nar.Regular):
            path.write_bytes(node.data)
            path.chmod(0o755 if node.executable else 0o644)
        elif isinstance(node, nar.Symlink):
            Path(path).symlink_to(node.target.decode(errors="surrogateescape"))
        elif not isinstance(node, nar.Streamed):
            write_tree(node, here + b"/" + name)


# 40 examples: each runs nix once, about 30 ms.
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_random_trees(tmp_path_factory, tree):
    here = tmp_path_factory.mktemp("tree") / "root"
    write_tree(tree, str(here).encode())
    copy = here.with_name("copy")
    assert nix("hash", "path", str(here)) == nar.sri(nar.tree_digest(tree)) == nar.sri(disk.digest(here, copy=copy))
    assert disk.digest(copy) == nar.tree_digest(tree)


def test_a_root_for_agents(tmp_path):
    """With absolute links, a setuid file, a closed one, an empty folder; and an archive, which is one file."""
    root = small_root.make(tmp_path / "root")
    archive = image_archive(tmp_path / "image.tar.gz", root)
    for path in (root, archive):
        printed = subprocess.run(
            [sys.executable, "-m", "runtime.cli", "hash", "--path", str(path)],
            cwd=ROOT, check=True, capture_output=True, text=True, timeout=60,
        ).stdout  # fmt: skip
        assert printed == nix("hash", "path", str(path)) + "\n"


def test_a_device_is_refused_by_both(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    os.mkfifo(root / "pipe")
    with pytest.raises(subprocess.CalledProcessError):
        nix("hash", "path", str(root))
    with pytest.raises(RuntimeFailure):
        disk.digest(root)


def test_shipped_bundles():
    found = sorted(path.parent for path in (ROOT / "bundles").glob("*/manifest.json"))
    assert found, "bundles/ holds no bundle"
    for directory in found:
        assert nix("hash", "path", str(directory)) == bundle.read(directory).hash, directory.name


@pytest.mark.parametrize("data", [bytes(32), bytes(range(32)), b"\xff" * 32])
def test_base32(data):
    assert nix("hash", "to-base32", "--type", "sha256", nar.sri(data)) == nar.base32(data)


# A store that keeps nothing, and the path that a real one would use.
@pytest.mark.parametrize("name", ["dev", "a.b_c+d-1"])
def test_store_paths(name):
    for directory in sorted((ROOT / "bundles").iterdir()):
        expected = nix("store", "add-path", "--dry-run", "--store", "dummy://", "--name", name, str(directory))
        assert nar.store_path(bundle.read(directory).digest, name) == expected


def test_stock_nix_prints_what_hash_prints():
    """The commands of docs/nix.md, "Checking a hash by hand"."""
    directory = ROOT / "bundles" / "codex"
    printed = subprocess.run(
        [sys.executable, "-m", "runtime.cli", "hash", "--profile", "codex", "--nix"],
        cwd=ROOT, check=True, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip
    base32 = subprocess.run(
        ["nix-hash", "--type", "sha256", "--base32", str(directory)],
        check=True, capture_output=True, text=True, timeout=60,
    ).stdout.strip()  # fmt: skip
    path = nix("store", "add-path", "--dry-run", "--store", "dummy://", "--name", "codex", str(directory))
    assert printed == f"sri     {nix('hash', 'path', str(directory))}\nbase32  sha256:{base32}\npath    {path}\n"
