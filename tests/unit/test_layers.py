"""An image archive becomes the tree that an engine would make of it, and no entry leaves that tree."""

import tarfile
from pathlib import Path

import pytest

from bottlegen.errors import RuntimeFailure
from runtime.layers import resolve, unpack
from tests.unit.archives import layer, oci, save

BASE = layer(
    ("./", None), ("./usr/", None), ("./usr/bin", None), ("./usr/bin/sh!", b"shell"), ("bin", b"->usr/bin"),
    ("etc/motd", b"old"), ("etc/keep", b"kept"), ("data/a", b"1"), ("data/b", b"2"), ("up", b"->../../../../up"),
    ("abs", b"->/data"), ("dev/null", tarfile.CHRTYPE), ("pipe", tarfile.FIFOTYPE), ("raised", (b"x", 0o6711)),
    ("hard", b"=>usr/bin/sh"),
)  # fmt: skip


def seen(root: Path) -> dict[str, str]:
    """Every entry: a link's target, a file's bytes and whether it can be run, and nothing of a folder."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_text() + (" x" if path.stat().st_mode & 0o100 else "")
    return found


def unpacked(archive: Path, folder: Path) -> Path:
    unpack(archive, folder / "made", "linux/amd64", folder)
    assert {path.name for path in folder.iterdir()} == {"made", archive.name}
    return folder / "made"


WHOLE = {
    "usr/bin/sh": "shell x", "bin": "-> usr/bin", "etc/motd": "old", "etc/keep": "kept", "data/a": "1", "data/b": "2",
    "up": "-> ../../../../up", "abs": "-> /data", "raised": "x x", "hard": "shell x",
}  # fmt: skip


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "oci.tar"])
def test_one_layer(tmp_path: Path, name: str) -> None:
    archive = (oci if name == "oci.tar" else save)(tmp_path / name, [BASE])
    root = unpacked(archive, tmp_path)
    assert seen(root) == WHOLE
    assert (root / "raised").stat().st_mode & 0o7777 == 0o755
    assert (root / "etc").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize(
    ("above", "changes"),
    [
        ([("etc/motd", b"new")], {"etc/motd": "new"}),
        ([("etc/.wh.motd", b"")], {"etc/motd": None}),
        ([("data/.wh..wh..opq", b"")], {"data/a": None, "data/b": None}),
        ([("data/c", b"three"), ("data/.wh..wh..opq", b"")], {"data/a": None, "data/b": None, "data/c": "three"}),
        ([(".wh.data", b""), ("data/c", b"three")], {"data/a": None, "data/b": None, "data/c": "three"}),
        ([("data", b"file")], {"data/a": None, "data/b": None, "data": "file"}),
        ([("bin/more!", b"m")], {"usr/bin/more": "m x"}),
        ([("bin", None), ("bin/own", b"o")], {"bin": None, "bin/own": "o"}),
        ([("abs/c", b"three")], {"data/c": "three"}),
        ([("up/c", b"c")], {"up": None, "up/c": "c"}),
        ([("run", b"->/new/run"), ("run/x", b"x")], {"run": "-> /new/run", "new/run/x": "x"}),
        ([("etc/motd/below", b"x")], {"etc/motd": None, "etc/motd/below": "x"}),
        ([("/etc/motd", b"absolute")], {"etc/motd": "absolute"}),
        ([("abs/.wh.a", b"")], {"data/a": None}),
        ([("hard", b"=>./etc/keep")], {"hard": "kept"}),
        ([("nowhere/.wh.x", b""), (".wh.never", b"")], {}),
    ],
)
def test_a_layer_above(tmp_path: Path, above: list[tuple[str, bytes]], changes: dict[str, str | None]) -> None:
    root = unpacked(save(tmp_path / "a.tar", [BASE, layer(*above)]), tmp_path)
    assert seen(root) == {name: text for name, text in (WHOLE | changes).items() if text is not None}
    assert not (tmp_path.parent / "up").exists()


@pytest.mark.parametrize(
    ("above", "what"),
    [
        ([("d/" * 300 + "f", b"")], "nested too deeply"),
        ([("../out", b"")], "the entry '../out' points outside"),
        ([("a/../../out", b"")], "the entry 'a/../../out' points outside"),
        ([("h", b"=>../../etc/shadow")], "points outside"),
        ([("h", b"=>etc/nothing")], "is a link to 'etc/nothing', which is not there"),
        ([("h", b"=>etc")], "is a link to 'etc', which is not there"),
        ([(".wh...", b"")], "removes what is not in its folder"),
        ([("etc/.wh..", b"")], "removes what is not in its folder"),
        ([("etc/.wh.", b"")], "removes what is not in its folder"),
    ],
)
def test_no_entry_leaves_the_tree(tmp_path: Path, above: list[tuple[str, bytes]], what: str) -> None:
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "file").write_text("mine")
    archive = save(tmp_path / "a.tar", [BASE, layer(*above)])
    with pytest.raises(RuntimeFailure, match=what):
        unpack(archive, tmp_path / "made", "linux/amd64", tmp_path)
    assert (beside / "file").read_text() == "mine"
    assert not (tmp_path / "out").exists()


def test_a_link_is_written_through_inside_of_the_tree_alone(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    tricks = [
        ("away", f"->{victim}".encode()), ("away/planted", b"x"), ("file", f"->{victim}/f".encode()), ("file", b"y"),
        ("loop", b"->loop"), ("loop/x", b"z"),
    ]  # fmt: skip
    unpack(save(tmp_path / "a.tar", [BASE, layer(*tricks)]), tmp_path / "made", "linux/amd64", tmp_path)
    assert list(victim.iterdir()) == []
    assert (tmp_path / "made" / "loop" / "x").read_text() == "z"
    assert (tmp_path / "made" / "file").read_text() == "y"


def test_the_image_of_this_platform(tmp_path: Path) -> None:
    one = oci(tmp_path / "one.tar", [BASE], ["linux/arm64"])
    unpack(one, tmp_path / "made", "linux/amd64", tmp_path)
    two = oci(tmp_path / "two.tar", [BASE], ["linux/arm64", "linux/amd64", "unknown/unknown"])
    unpack(two, tmp_path / "also", "linux/amd64", tmp_path)
    assert seen(tmp_path / "also") == WHOLE
    with pytest.raises(RuntimeFailure, match="it holds 0 images for linux/riscv64"):
        unpack(two, tmp_path / "none", "linux/riscv64", tmp_path)


def test_a_layer_that_is_a_link_to_another(tmp_path: Path) -> None:
    """`docker save` before 25 writes equal layers once."""
    files = [("1/layer.tar", BASE), ("2/layer.tar", b"->../1/layer.tar")]
    manifest = b'[{"Layers": ["1/layer.tar", "2/layer.tar"]}]'
    (tmp_path / "a.tar").write_bytes(layer(*files, ("manifest.json", manifest)))
    assert seen(unpacked(tmp_path / "a.tar", tmp_path)) == WHOLE


def _wrong(name: str, folder: Path) -> Path:
    path = folder / "wrong.tar"
    makers = {
        "text": lambda: path.write_text("no archive"),
        "empty": lambda: path.write_bytes(b""),
        "plain": lambda: path.write_bytes(BASE),
        "cut": lambda: path.write_bytes(save(folder / "a.tar.gz", [BASE * 9]).read_bytes()[:-200]),
        "layer": lambda: save(path, [BASE], Layers=["gone/layer.tar"]),
        "json": lambda: path.write_bytes(layer(("manifest.json", b"{"))),
        "shape": lambda: path.write_bytes(layer(("manifest.json", b'[{"Config": 1}]'))),
        "many": lambda: path.write_bytes(layer(("manifest.json", b"[{}, {}]"))),
        "zstd": lambda: save(path, [b"\x28\xb5\x2f\xfd rest"]),
    }
    makers[name]()
    return path


@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("text", "'wrong.tar' is no image archive", "docker save"),
        ("empty", "neither manifest.json nor index.json is in it|is no image archive", "docker save"),
        ("plain", "neither manifest.json nor index.json is in it", "docker save"),
        ("cut", "is no image archive", "docker save"),
        ("layer", "its layer 'gone/layer.tar' is not in it", "docker save"),
        ("json", "is no image archive", "docker save"),
        ("shape", "is no image archive", "docker save"),
        ("many", "it holds 2 images", "save one image alone"),
        ("zstd", "a layer is packed with zstd", "dest-compress-format gzip"),
    ],
)
def test_what_is_no_image_is_an_error(tmp_path: Path, name: str, what: str, fix: str) -> None:
    with pytest.raises(RuntimeFailure, match=what) as caught:
        unpack(_wrong(name, tmp_path), tmp_path / "made", "linux/amd64", tmp_path)
    assert fix in caught.value.problems[0].fix


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a", "a"), ("/a/./b", "a/b"), ("rel", "a/b"), ("abs", "a"), ("abs/b", "a/b"), ("up", ""), ("up/a/..", ""),
        ("over", "a/b"), ("loop", None), ("nowhere", None), ("file/x", None), ("", ""),
    ],
)  # fmt: skip
def test_a_link_is_followed_as_who_lives_there_would(tmp_path: Path, name: str, found: str | None) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "file").touch()
    links = {"rel": "a/b", "abs": "/a", "up": "../../../..", "over": "up/abs/../rel", "loop": "loop"}
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    assert resolve(tmp_path, name) == found
