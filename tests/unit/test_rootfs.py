"""What a runtime is given is the tree that was declared, whatever lies, or happens, where the original is."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bottlegen import nar
from bottlegen.errors import RuntimeFailure
from bottlegen.manifest import Manifest
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime import rootfs, tree
from runtime.rootfs import RootfsStore, places
from tests.unit.archives import layer, oci, raise_rights, save


class Told:
    """A progress that remembers its steps: one is made whenever bytes are read."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    @contextmanager
    def step(self, title: str) -> Iterator["Told"]:
        self.steps.append(title)
        yield self

    def note(self, text: str) -> None:
        self.steps.append(text)

    def advance(self, done: int, total: int) -> None:
        assert done <= total


def manifest_of(kind: str, name: str, digest: bytes) -> Manifest:
    text = f'[agent_provider]\ntemplate = "shell"\n[rootfs]\n{kind} = "{name}"\nhash = "{nar.sri(digest)}"\n'
    return build(load_profile("dev.toml", lambda _: text.encode()), load_pins()).manifest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "sh").write_text("shell")
    raise_rights(root / "bin" / "sh")
    (root / "out").symlink_to("/etc")
    return root


@pytest.fixture
def manifest(root: Path) -> Manifest:
    return manifest_of("directory", "root", tree.digest(root))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RootfsStore:
    monkeypatch.setattr(rootfs, "_SETTLED", 0)  # or each test would wait until its files are old
    return RootfsStore(tmp_path / "cache")


def have(store: RootfsStore, manifest: Manifest, *found_at: Path) -> tuple[Path, list[str]]:
    told = Told()
    made = store.have(manifest, found_at, told)
    assert made is not None
    return made, told.steps


def test_a_tree_is_read_once(store: RootfsStore, manifest: Manifest, root: Path) -> None:
    made, steps = have(store, manifest, root)
    assert (tree.digest(made), steps) == (tree.digest(root), ["verify rootfs root"])
    assert (made / "bin" / "sh").stat().st_mode & 0o7777 == 0o755
    assert have(store, manifest, root) == (made, [])
    assert have(store, manifest, root / "gone", root) == (made, [])


def test_what_is_not_the_declared_one_is_refused(store: RootfsStore, manifest: Manifest, root: Path) -> None:
    declared = tree.digest(root)
    (root / "bin" / "sh").write_text("other")
    with pytest.raises(RuntimeFailure) as caught:
        have(store, manifest, root)
    (problem,) = caught.value.problems
    found = nar.sri(tree.digest(root))
    assert problem.what == (
        f"the rootfs at '{root}' is not the one that was declared:\n  declared {nar.sri(declared)}\n  found    {found}"
    )
    assert (problem.where and problem.where.field, f"bottlegen hash --path '{root}'" in problem.fix) == (
        "rootfs.hash", True
    )  # fmt: skip
    assert [path.name for path in store._folder.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("how", ["bytes", "mode", "new", "swapped"])
def test_a_change_after_the_first_start_is_noticed(
    store: RootfsStore, manifest: Manifest, root: Path, how: str
) -> None:
    """The agent of another bottle may write there, and set the times of files as it likes."""
    made, _ = have(store, manifest, root)
    shell = root / "bin" / "sh"
    times = shell.stat()
    if how == "bytes":
        shell.write_text("SHELL")
        os.utime(shell, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif how == "mode":
        shell.chmod(0o644)
    elif how == "new":
        (root / "new").touch()
    else:
        root.rename(root.with_name("away"))
        root.symlink_to(root.parent)
    with pytest.raises(RuntimeFailure, match="is not the one that was declared"):
        have(store, manifest, root)
    assert (made / "bin" / "sh").read_text() == "shell"


def test_one_that_was_changed_and_changed_back_is_read_again(
    store: RootfsStore, manifest: Manifest, root: Path
) -> None:
    made, _ = have(store, manifest, root)
    (root / "bin" / "sh").write_text("other")
    (root / "bin" / "sh").write_text("shell")
    assert have(store, manifest, root) == (made, ["verify rootfs root"])
    assert have(store, manifest, root) == (made, [])


def test_what_changed_a_moment_ago_is_not_remembered(
    manifest: Manifest, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two changes in one tick of the clock have one time: the second could pass for the first."""
    store = RootfsStore(tmp_path / "cache")
    have(store, manifest, root)
    assert have(store, manifest, root)[1] == ["verify rootfs root"]
    monkeypatch.setattr(rootfs, "_SETTLED", time.time_ns() - tree.fingerprint(root).newest - 1)  # type: ignore[union-attr]
    assert have(store, manifest, root)[1] == ["verify rootfs root"]
    assert have(store, manifest, root)[1] == []


@pytest.mark.parametrize("how", ["bytes", "gone", "more", "record"])
def test_a_copy_that_was_damaged_is_made_again(store: RootfsStore, manifest: Manifest, root: Path, how: str) -> None:
    made, _ = have(store, manifest, root)
    if how == "bytes":
        (made / "bin" / "sh").write_text("other")
    elif how == "gone":
        (made / "bin" / "sh").unlink()
    elif how == "more":
        (made / "planted").touch()
    else:
        (made.parent / "record.json").write_text("[")
    again, steps = have(store, manifest, root)
    assert (again, steps) == (made, ["verify rootfs root"])
    assert tree.digest(made) == tree.digest(root)
    assert {path.name for path in made.parent.iterdir()} == {"tree", "record.json"}


def test_the_copy_is_enough_when_the_original_is_gone(store: RootfsStore, manifest: Manifest, root: Path) -> None:
    made, _ = have(store, manifest, root)
    gone = root.with_name("gone")
    assert have(store, manifest, gone) == (made, [])
    (made / "planted").touch()
    with pytest.raises(RuntimeFailure, match=r"'root' is not on this host\n  looked for '.*gone'") as caught:
        have(store, manifest, gone)
    assert caught.value.problems[0].fix.endswith('host.toml:\n[rootfs]\n"root" = "/…"')


@pytest.mark.parametrize("make", [save, oci])
def test_an_archive_is_hashed_as_a_file_and_unpacked(store: RootfsStore, tmp_path: Path, make: object) -> None:
    archive = make(tmp_path / "image.tar", [layer(("bin/sh!", b"shell"))])  # type: ignore[operator]
    manifest = manifest_of("archive", "images/image.tar", tree.digest(archive))
    made, steps = have(store, manifest, archive)
    assert ((made / "bin" / "sh").read_text(), steps) == (
        "shell", ["verify rootfs images/image.tar", "unpack images/image.tar"]
    )  # fmt: skip
    assert {path.name for path in made.parent.iterdir()} == {"tree", "record.json"}
    with archive.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(RuntimeFailure, match="is not the one that was declared"):
        have(store, manifest, archive)


def test_one_kind_does_not_pass_for_the_other(store: RootfsStore, root: Path, tmp_path: Path) -> None:
    archive = save(tmp_path / "image.tar", [layer(("bin/sh", b"x"))])
    for kind, path in (("archive", root), ("directory", archive)):
        other = "directory" if kind == "archive" else "archive"
        with pytest.raises(RuntimeFailure, match=f"is declared as {kind}, and is {other}") as caught:
            have(store, manifest_of(kind, "x", tree.digest(path)), path)
        assert caught.value.problems[0].fix == f'rootfs.{other} = "x"'


def test_an_archive_that_is_none_leaves_nothing(store: RootfsStore, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("text")
    manifest = manifest_of("archive", "a.tar", tree.digest(tmp_path / "a.tar"))
    with pytest.raises(RuntimeFailure, match=r"'a.tar' is no image archive"):
        have(store, manifest, tmp_path / "a.tar")
    assert [path for path in store._folder.rglob("*") if not path.is_dir()] == []


def test_where_it_may_lie(root: Path, tmp_path: Path) -> None:
    digest = tree.digest(root)
    manifest = manifest_of("directory", "images/agent-root", digest)
    project, store_path = Path("/project"), Path(nar.store_path(digest, "agent-root", "/nix/store"))
    assert places(manifest, project, {}) == (project / "images/agent-root", store_path)
    assert places(manifest, project, {"other": "/x", "images/agent-root": "/srv/root"}) == (Path("/srv/root"),)
    bare = build(load_profile("a.toml", lambda _: b'[agent_provider]\ntemplate = "shell"\n'), load_pins()).manifest
    assert places(bare, project, {}) == ()
    assert RootfsStore(tmp_path).have(bare, (), Told()) is None


def test_what_nix_has_closed_is_not_looked_through(
    store: RootfsStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link such as `result` leads to it. Whether it is closed is looked at each time."""
    monkeypatch.setattr(rootfs, "STORE", tmp_path / "nix" / "store")
    monkeypatch.setattr(rootfs, "_store_entry", lambda path: path if "store" in path.parts else None)
    entry = tmp_path / "nix" / "store" / "0-root"
    entry.mkdir(parents=True)
    (entry / "f").touch()
    (tmp_path / "result").symlink_to(entry)
    manifest = manifest_of("directory", "result", tree.digest(entry))
    (entry / "f").chmod(0o444)
    entry.chmod(0o555)
    os.utime(entry, (1, 1))
    try:
        have(store, manifest, tmp_path / "result")
        monkeypatch.setattr(tree, "fingerprint", _only(tree.fingerprint, store._folder))
        assert have(store, manifest, tmp_path / "result")[1] == []
        entry.chmod(0o755)
        with pytest.raises(AssertionError, match="looked at"):
            have(store, manifest, tmp_path / "result")
    finally:
        entry.chmod(0o755)


def _only(fingerprint: object, folder: Path) -> object:
    def look(path: Path) -> object:
        assert path.is_relative_to(folder), f"looked at {path}"
        return fingerprint(path)  # type: ignore[operator]

    return look
