"""A tree is hashed as Nix does it, and its copy is what was hashed and nothing besides."""

import os
import stat
import time
from pathlib import Path

import pytest

from bottlegen import nar
from bottlegen.errors import RuntimeFailure
from runtime import tree
from runtime.state import _remove_tree
from tests.unit.archives import raise_rights


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "run").write_bytes(b"#!" + bytes(2_000_003))
    raise_rights(root / "bin" / "run")
    (root / "closed").write_bytes(b"")
    (root / "closed").chmod(0o600)
    (root / "odd\nname \udcff").symlink_to("/nowhere/at all/")
    (root / "empty").mkdir(mode=0o700)
    return root


EXPECTED: nar.Tree = {
    b"bin": {b"run": nar.Regular(b"#!" + bytes(2_000_003), executable=True)},
    b"closed": nar.Regular(b""),
    b"odd\nname \xff": nar.Symlink(b"/nowhere/at all/"),
    b"empty": {},
}


def test_the_hash_is_that_of_the_archive(root: Path) -> None:
    told: list[tuple[int, int]] = []
    assert tree.digest(root, tell=lambda done, total: told.append((done, total))) == nar.tree_digest(EXPECTED)
    assert told[-1] == (2_000_005, 2_000_005)
    assert tree.digest(root / "closed") == nar.tree_digest(nar.Regular(b""))


def test_a_copy_has_what_the_archive_has_and_no_more(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    before = os.umask(0o077)
    try:
        digest = tree.digest(root, copy=copy)
    finally:
        os.umask(before)
    assert tree.digest(copy) == digest == nar.tree_digest(EXPECTED)
    modes = {path.name: oct(stat.S_IMODE(path.lstat().st_mode)) for path in copy.rglob("*") if not path.is_symlink()}
    assert modes == {"bin": "0o755", "run": "0o755", "closed": "0o644", "empty": "0o755"}
    file = tmp_path / "file"
    assert tree.digest(root / "bin" / "run", copy=file) == nar.tree_digest(EXPECTED[b"bin"][b"run"])  # type: ignore[index]
    assert file.read_bytes()[:3] == b"#!\0"


def test_what_no_archive_can_hold_is_refused(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(RuntimeFailure, match=r"pipe' is a named pipe, which no Nix archive can hold") as caught:
        tree.digest(root)
    assert caught.value.problems[0].fix.startswith(f"rm '{root}/pipe'")


@pytest.mark.parametrize("by", ["grows", "shrinks", "becomes a link", "becomes a pipe", "goes"])
def test_a_file_that_changes_while_it_is_read_is_noticed(root: Path, by: str) -> None:
    def change(done: int, total: int) -> None:
        victim = root / "closed"
        if victim.is_file() and not victim.is_symlink() and victim.stat().st_size == 0:
            if by == "grows":
                victim.write_text("more")
                return
            victim.unlink()
            if by == "becomes a link":
                victim.symlink_to("bin/run")
            elif by == "becomes a pipe":
                os.mkfifo(victim)
        if by == "shrinks":
            os.truncate(root / "bin" / "run", 5)

    with pytest.raises(RuntimeFailure, match=r"changed while it was read|cannot read"):
        tree.digest(root, tell=change)


def test_a_tree_without_end_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    here = os.open(tmp_path / "root", os.O_RDONLY)
    for _ in range(tree.DEEPEST + 50):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        with pytest.raises(RuntimeFailure, match="nested too deeply"):
            tree.digest(tmp_path / "root", copy=tmp_path / "copy")
    finally:
        _remove_tree(tmp_path / "root")


CHANGES = {
    "bytes of the same length": lambda root: (root / "bin" / "run").write_bytes(b"##" + bytes(2_000_003)),
    "execute bit": lambda root: (root / "closed").chmod(0o700),
    "new file": lambda root: (root / "empty" / "new").touch(),
    "removed": lambda root: (root / "closed").unlink(),
    "renamed": lambda root: (root / "closed").rename(root / "other"),
    "link elsewhere": lambda root: ((root / "bin" / "run").unlink(), (root / "bin" / "run").symlink_to("x")),
    "a file in its place": lambda root: ((root / "n").write_bytes(b""), (root / "n").replace(root / "closed")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_fingerprint_sees_each_change_though_its_time_was_set_back(root: Path, name: str) -> None:
    before = tree.fingerprint(root)
    times = {path: path.lstat().st_mtime_ns for path in (root, *root.rglob("*"))}
    assert tree.fingerprint(root) == before
    assert before is not None
    time.sleep(0.02)  # a tick of the clock that the kernel stamps changes with
    CHANGES[name](root)
    for path, changed in times.items():
        if os.path.lexists(path):
            os.utime(path, ns=(changed, changed), follow_symlinks=False)
    after = tree.fingerprint(root)
    assert after is not None
    assert (after.text != before.text, after.newest > before.newest) == (True, True)


def test_no_fingerprint_of_what_is_not_there(tmp_path: Path) -> None:
    assert tree.fingerprint(tmp_path / "nowhere") is None
    (tmp_path / "loop").symlink_to("loop")
    assert tree.fingerprint(tmp_path / "loop") is not None
