"""The archive hash against values that Nix gave (tests/data/nar.json; tests/nix asks Nix itself)."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlegen import nar

CASES = json.loads((Path(__file__).parents[1] / "data" / "nar.json").read_text())["cases"]


def node_of(entry: dict[str, object]) -> nar.Regular | nar.Symlink:
    if entry["type"] == "symlink":
        return nar.Symlink(str(entry["target"]).encode())
    if "content" in entry:
        assert entry["content"] == "bytes(range(256)) repeated 4096 times"
        return nar.Regular(bytes(range(256)) * 4096)
    return nar.Regular(base64.b64decode(str(entry["content_base64"])), bool(entry["executable"]))


def tree_of(entries: list[dict[str, object]]) -> nar.Tree:
    root: dict[bytes, nar.Node] = {}
    for entry in entries:
        *folders, name = str(entry["path"]).encode().split(b"/")
        here = root
        for folder in folders:
            here = here.setdefault(folder, {})  # type: ignore[assignment]
        here[name] = node_of(entry)
    return root


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_vectors(case):
    assert nar.sri(nar.tree_digest(tree_of(case["entries"]))) == case["nar_sha256_sri"]


def test_the_vectors_are_all_there():
    assert {"executable bit", "symlink relative", "byte order of names", "one mebibyte"} <= {c["name"] for c in CASES}


@pytest.mark.parametrize(
    ("base", "other"),
    [
        ({"a": nar.Regular(b"x")}, {"a": nar.Regular(b"y")}),
        ({"a": nar.Regular(b"x")}, {"b": nar.Regular(b"x")}),
        ({"a": nar.Regular(b"x")}, {"a": nar.Regular(b"x", executable=True)}),
        ({"a": nar.Regular(b"x")}, {"a/a": nar.Regular(b"x")}),
        ({"a": nar.Regular(b"x")}, {"a": nar.Regular(b"x\0")}),
        ({"a/b": nar.Regular(b"x")}, {"a/b": nar.Regular(b"x"), "a/c": nar.Regular(b"")}),
    ],
)
def test_each_difference_counts(base, other):
    assert nar.tree_digest(nar.plant(base)) != nar.tree_digest(nar.plant(other))


@given(st.permutations(["a", "a.b", "a-b", "A", "é", "z/x", "z/y", "z-x"]))
def test_the_order_of_files_does_not_count(order):
    trees = [nar.plant({path: nar.Regular(path.encode()) for path in paths}) for paths in (order, sorted(order))]
    assert nar.tree_digest(trees[0]) == nar.tree_digest(trees[1])


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b", "a")])
def test_a_file_is_no_folder(paths):
    with pytest.raises(ValueError, match="a"):
        nar.plant({path: nar.Regular(b"") for path in paths})


def test_base32_as_nix_prints_it():
    # nix-hash --type sha256 --to-base32 of the digest of the empty string, and a store path's 20 bytes.
    empty = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert nar.base32(empty) == "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"
    assert nar.base32(b"") == ""
    assert nar.base32(b"\x01") == "01"
    assert nar.base32(b"\xff") == "7z"


@given(st.binary(max_size=40))
def test_base32_keeps_every_bit(data):
    number = 0
    for letter in nar.base32(data):
        number = number * 32 + nar.BASE32.index(letter)
    assert number.to_bytes(len(data), "little") == data


def test_short_is_the_length_of_a_store_path_s_hash():
    assert len(nar.short(bytes(range(32)))) == 32
    assert nar.short(bytes(range(32))) == nar.base32(bytes(range(20)))


def test_store_path_as_nix_gives_it():
    # nix store add-path --dry-run --store dummy:// --name NAME, the folder's only file `a` holding "hi" and a line end.
    digest = nar.tree_digest({b"a": nar.Regular(b"hi\n")})
    assert nar.store_path(digest, "codex") == "/nix/store/5xd3hffzlzqp9jqwv8250x9xg37rnykp-codex"
    assert nar.store_path(digest, "codex", store="/elsewhere") != nar.store_path(digest, "codex")
    assert nar.store_path(digest, "other")[11:43] != nar.store_path(digest, "codex")[11:43]
