"""The last user of a workspace takes its guard files back, whatever the runtimes, and nobody begins while one ends."""

import fcntl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from bottlegen.errors import HostError
from runtime import workspace_users
from runtime.base import LaunchSpec
from runtime.workspace import GUARD, remove_guards
from runtime.workspace_users import WorkspaceUsers, of_workspace


@dataclass
class _Spec:
    """As much of a start as is looked at."""

    bottle: str
    workspace: Path | None
    session: str = "s"

    @property
    def made(self) -> LaunchSpec:
        return cast("LaunchSpec", self)


@pytest.fixture
def users(tmp_path: Path) -> WorkspaceUsers:
    return WorkspaceUsers(tmp_path / "state")


@pytest.fixture
def guard(tmp_path: Path) -> Path:
    git = tmp_path / "work" / ".git"
    git.mkdir(parents=True)
    (git / "commondir").write_bytes(GUARD)
    return git / "commondir"


def _end(users: WorkspaceUsers, runtime: str, bottle: str, session: str = "") -> None:
    users.end(runtime, bottle, session, made=set, others=set)


@pytest.mark.parametrize("runtime", ["docker", "bubblewrap"])
def test_the_last_one_takes_it_back(users: WorkspaceUsers, guard: Path, runtime: str) -> None:
    work = guard.parents[1]
    users.begin("docker", _Spec("one", work).made)
    users.begin(runtime, _Spec("two", work).made)
    users.begin("docker", _Spec("elsewhere", work.parent / "other").made)
    users.begin("docker", _Spec("nowhere", None).made)
    _end(users, "docker", "one")
    assert guard.exists()
    _end(users, runtime, "two")
    assert not guard.exists()
    _end(users, "docker", "elsewhere")
    assert users._every() == []


def test_a_bottle_is_of_one_runtime_and_one_session(users: WorkspaceUsers, guard: Path) -> None:
    users.begin("docker", _Spec("one", guard.parents[1], "winner").made)
    for runtime, bottle, session in (("bubblewrap", "one", ""), ("docker", "on", ""), ("docker", "one", "loser")):
        users.end(runtime, bottle, session, made=lambda: of_workspace(str(guard.parents[1])), others=set)
        assert guard.exists()
    _end(users, "docker", "one", "winner")
    assert not guard.exists()


def test_what_the_runtime_itself_knows_counts(users: WorkspaceUsers, guard: Path) -> None:
    """Without any state directory: as other users and machines of the same engine are known."""
    users.end("docker", "one", "", made=lambda: {str(guard)}, others=lambda: {str(guard)})
    assert guard.exists()
    users.end("docker", "one", "", made=lambda: {str(guard)}, others=set)
    assert not guard.exists()


def test_what_is_no_guard_stays(users: WorkspaceUsers, guard: Path) -> None:
    guard.write_bytes(b"../mine\n")
    users.begin("docker", _Spec("one", guard.parents[1]).made)
    _end(users, "docker", "one")
    assert guard.read_bytes() == b"../mine\n"


def test_a_bottle_that_was_removed_by_hand(users: WorkspaceUsers, guard: Path) -> None:
    users.begin("docker", _Spec("one", guard.parents[1]).made)
    users.forget("docker", "one", "", there=lambda: True, others=set)
    assert guard.exists()
    users.forget("docker", "one", "", there=lambda: False, others=set)
    assert not guard.exists()
    assert users._every() == []


def test_a_use_half_written_is_nobodys_workspace(users: WorkspaceUsers, guard: Path) -> None:
    users.begin("docker", _Spec("one", guard.parents[1]).made)
    (users._folder / "docker.two.s").write_bytes(b"")
    _end(users, "docker", "one")
    assert not guard.exists()
    _end(users, "docker", "two")
    assert users._every() == []


def test_nobody_begins_while_one_ends(users: WorkspaceUsers, guard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other comes when it has just been looked who needs the guard: it waits, and makes one of its own."""
    work, waits, said = guard.parents[1], threading.Event(), list[str]()
    flock = fcntl.flock

    def notes(handle: int, how: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            waits.set()
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", notes)

    def second() -> None:
        users.begin("docker", _Spec("two", work).made)
        said.append("there" if guard.exists() else "gone")
        waits.set()

    thread = threading.Thread(target=second)

    def removing(found: list[Path]) -> None:
        thread.start()
        assert waits.wait(30)
        assert said == []
        remove_guards(found)

    monkeypatch.setattr(workspace_users, "remove_guards", removing)
    users.begin("docker", _Spec("one", work).made)
    _end(users, "docker", "one")
    thread.join(30)
    assert said == ["gone"]


def test_a_state_directory_that_takes_nothing(guard: Path) -> None:
    with pytest.raises(HostError, match="cannot write down in '/proc/1/none/workspaces' who uses"):
        WorkspaceUsers(Path("/proc/1/none")).begin("docker", _Spec("one", guard.parents[1]).made)
