"""What a start makes and reads in a git directory, when an agent had that directory before."""

import os
from pathlib import Path

import pytest

from bottlegen.errors import RuntimeFailure
from bottlegen.manifest import WorkspaceSpec
from runtime import workspace
from runtime.workspace import binds

SPEC = WorkspaceSpec(mode="bind", source=".", path="/workspace", read_only=[])


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("runtime.workspace.led_into", lambda folder: ())  # asks the git command
    git = tmp_path / "work/.git"
    git.mkdir(parents=True)
    (git / "config").write_text("")
    return git


def test_planted_links_are_not_written_through(git: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("of this host")
    for name in ("commondir", "hooks"):
        (git / f".{name}.{os.getpid()}").symlink_to(victim)
    binds(git.parent, SPEC)
    assert victim.read_text() == "of this host"
    assert (git / "commondir").read_bytes() == b".\n"
    assert (git / "hooks").is_dir()


@pytest.mark.parametrize("name", ["config", "config.worktree", "hooks", "commondir"])
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe"])
def test_what_is_no_plain_part_of_git_is_refused(git: Path, name: str, kind: str, tmp_path: Path) -> None:
    (git / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(git / name)  # reading it would never end
    else:
        (git / name).symlink_to(tmp_path if kind == "link" else tmp_path / "nothing")
    with pytest.raises(RuntimeFailure, match=rf"{name}' is not the (file|folder) that git has there"):
        binds(git.parent, SPEC)


def test_guards_are_found_without_a_record_and_only_they_are_taken(tmp_path: Path) -> None:
    """As after a start that was killed between making them and naming them."""
    module = tmp_path / ".git" / "modules" / "a" / "b"
    module.mkdir(parents=True)
    for folder in (tmp_path / ".git", module):
        (folder / "HEAD").touch()
    (tmp_path / ".git" / "commondir").write_bytes(workspace.GUARD)
    (module / "commondir").write_bytes(b"../mine\n")
    found = workspace.guards(tmp_path)
    assert found == [tmp_path / ".git" / "commondir", module / "commondir"]
    workspace.remove_guards(found)
    assert [path.exists() for path in found] == [False, True]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".git").symlink_to(tmp_path / ".git")
    assert workspace.guards(tmp_path / "other") == workspace.guards(tmp_path / "none") == []
