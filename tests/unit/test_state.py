"""What bottles keep on this host is removed whole, whatever an agent made of it, and nothing else is."""

import os
from pathlib import Path

import pytest

from bottlegen.errors import HostError
from runtime.state import State


def test_purge_takes_what_an_agent_may_leave_and_follows_no_link(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    home = state.make_home("b", (os.getuid(), os.getgid()))
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "file").write_text("mine")
    (home / "link").symlink_to(outside)
    os.mkfifo(home / "pipe")
    (home / "closed/inner").mkdir(parents=True)
    (home / "closed/inner/link").symlink_to(outside / "file")
    (home / "closed").chmod(0)
    _nest(home, 2000)  # twice the depth of Python's stack
    assert state.purge("b")
    assert not state.bottle("b").exists()
    assert (outside / "file").read_text() == "mine"
    assert outside.stat().st_mode & 0o777 == 0o755
    assert not state.purge("b")


def _nest(folder: Path, depth: int) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_what_a_killed_start_was_writing_goes_with_its_run(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    (state.bottle("b") / ".bundle.partial-1" / "agent").mkdir(parents=True)
    (state.bottle("b") / "bundle").mkdir()
    for name in ("certificates.json", ".certificates.json.new", "observe"):
        (state.bottle("b") / name).touch()
    (state.bottle("c") / "home").mkdir(parents=True)
    (state.home("c") / "mine").touch()
    for name in ("b", "c"):
        state.forget_run(name)
    assert not state.bottle("b").exists()
    assert (state.home("c") / "mine").exists()


def test_a_home_that_cannot_be_made_is_told_with_what_stands_in_its_way(tmp_path: Path) -> None:
    owner = (os.getuid(), os.getgid())
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="Not a directory") as caught:
        State(tmp_path / "file" / "bottlegen").make_home("b", owner)
    assert caught.value.problems[0].fix.startswith(f"ls -ld '{tmp_path}/file' ")
    state = State(tmp_path / "state")
    state.bottle("b").mkdir(parents=True)
    state.home("b").touch()
    with pytest.raises(HostError, match="File exists") as caught:
        state.make_home("b", owner)
    assert caught.value.problems[0].fix == f"bottlegen down --purge, or rm -r '{state.home('b')}'"


def test_what_the_start_of_another_is_about_to_use_stays(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.make_home("b", (os.getuid(), os.getgid()))
    state.forget_run("b")
    assert not state.bottle("b").exists()
    assert state.bottle("c").parent.is_dir()
