"""`up`, `refresh` and `down` killed at each of their steps, and what they made killed under them: closed, clear, clean.

Each time: one error of the family or none, one `down` leaves nothing and a second finds nothing, no file of the
workspace is harmed, and no credential is left anywhere.
"""

import hashlib
import itertools
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.docker import naming
from tests import live
from tests.contract import traces
from tests.contract.arena import Arena, arena  # noqa: F401 - a fixture
from tests.faults.tally import Tally, tally  # noqa: F401 - a fixture
from tests.faults.tracing import KILLED, Run, Told, run

_SEED = 20261122
_RANDOM_KILLS = 8
_AT_ONCE = 3
_FAILED = range(10, 20)
"""Exit codes of the family of errors."""


class Range:
    """An arena in which many bottles come and go at once, none of which may leave anything."""

    def __init__(self, arena: Arena, folder: Path, count: Tally) -> None:  # noqa: F811
        self.arena, self.count = arena, count
        self.tasks = folder / "tasks"
        self.tasks.mkdir()
        self._numbers = itertools.count()
        arena.make_repository()
        (arena.workspace / "mine.txt").write_text("mine\n")
        self.before = digest(arena.workspace)
        self.workspaces = folder / "workspaces"
        self.workspaces.mkdir()

    def name(self) -> str:
        """Of a bottle to be, with a workspace of its own."""
        name = f"k{next(self._numbers)}"
        subprocess.run(["cp", "-a", self.arena.workspace, self.workspaces / name], check=True)
        return name

    def task(self, *argv: str, name: str) -> Run:
        words = {
            "up": ("up", "--profile", "codex", "--detach", "--name", name, "--", "sleep", "600"),
        }.get(argv[0], (*argv, "--name", name))  # fmt: skip
        own = (
            str(self.workspaces / name) if word == str(self.arena.workspace) else word
            for word in self.arena.command(*words)[3:]
        )
        return Run(argv=tuple(own), env=self.arena.env, folder=self.tasks)

    def up(self) -> str:
        """A bottle that is up; its name."""
        name = self.name()
        done = run(self.task("up", name=name))
        assert done.status == 0, done.errors
        return name

    def down(self, name: str, why: str) -> None:
        """One `down` leaves nothing; a second finds nothing but the agent's home."""
        done = run(self.task("down", name=name))
        assert (done.status, done.errors) == (0, ""), why
        left = self.left(name)
        self.count.left(left)
        assert left == [], why
        again = run(self.task("down", "--purge", name=name))
        assert (again.status, again.errors, "was not up" in again.out) == (0, "", True), why
        self.arena.names.discard(self.arena.bottle(name))

    def left(self, name: str) -> list[str]:
        """Of one bottle: its parts, and its state but for the agent's home and the audit, which are kept on purpose."""
        bottle = self.arena.bottle(name)
        left = [str(path) for path in live.files(self.arena.state) if not {"home", "audit"} & {*path.parts}]
        return [part for part in (*self.arena.leftovers(), *left) if bottle in part]

    def victim(self, name: str, service: str) -> str:
        """A command that kills a service of the bottle, with all that holds it."""
        bottle = self.arena.bottle(name)
        if self.arena.engine:
            return f"docker kill {naming.container(bottle, service)} > /dev/null 2>&1"
        held = self.arena.state / "bottlegen" / "bubblewrap" / bottle / "services" / service / "running"
        pids = f"""$(grep -o '"pid": [0-9]*' {held} 2> /dev/null | grep -o '[0-9]*')"""
        # Its keeper writes its number down a moment after it was started.
        return f"for try in $(seq 100); do kill -9 {pids} 2> /dev/null && break; sleep 0.05; done"

    def end(self) -> None:
        """After all of it: nothing is left, the workspace is as it was, and no credential is anywhere."""
        assert self.arena.leftovers() == []
        for workspace in self.workspaces.iterdir():
            now = sorted(str(path.relative_to(workspace)) for path in workspace.rglob("*"))
            assert digest(workspace) == self.before, (workspace.name, now)
        needles = self.arena.secrets("codex")
        places = [*self.arena.places(), self.workspaces, self.tasks, Path(os.environ["XDG_CACHE_HOME"])]
        found = traces.found_on_host(self.arena.engine, places, needles, self.arena.began)
        self.count.leaked(found)
        assert found == []
        (self.tasks / "control").write_bytes(b"x" + needles[0])
        assert traces.found_on_host(None, places, needles, self.arena.began) == [f"state: {self.tasks / 'control'}"]


def digest(folder: Path) -> str:
    """Of every name, mode and content below `folder`."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        whole.update(f"{path.relative_to(folder)} {info.st_mode} {info.st_uid}\n".encode())
        whole.update(path.read_bytes() if path.is_file() else b"")
    return whole.hexdigest()


@pytest.fixture
def shooting(arena: Arena, tmp_path: Path, tally: Tally) -> Iterator[Range]:  # noqa: F811
    made = Range(arena, tmp_path, tally)
    yield made
    made.end()


def _each(work: Callable[[str], None], cases: Iterable[str]) -> None:
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        list(pool.map(work, cases))


def clear(told: Told, why: str) -> None:
    """It went well, or ended with one of our errors and nothing else."""
    assert "Traceback" not in told.errors, f"{why}\n{told.errors}"
    assert told.status == 0 or (told.status in _FAILED and "error: " in told.errors), f"{why}\n{told}"


def _steps(shooting: Range) -> dict[str, tuple[str, ...]]:
    """What the tasks come to when nothing happens to them: the control of all below, and the list of what to try."""
    name = shooting.name()
    found = {task: run(shooting.task(task, name=name)) for task in ("up", "refresh", "down")}
    assert {task: told.status for task, told in found.items()} == dict.fromkeys(found, 0), found
    return {task: told.steps for task, told in found.items()}


def test_killed_at_each_step(shooting: Range) -> None:
    steps = _steps(shooting)
    assert len(steps["up"]) >= 12, "the steps are wrapped where nobody looks them up"

    def up(step: str) -> None:
        name = shooting.name()
        told = run(shooting.task("up", name=name).but(at=step))
        assert told.status == KILLED, step
        shooting.count.ran("up killed at a step")
        shooting.down(name, f"up killed at {step}")

    def down(step: str) -> None:
        name = shooting.up()
        told = run(shooting.task("down", name=name).but(at=step))
        assert told.status == KILLED, step
        shooting.count.ran("down killed at a step")
        shooting.down(name, f"down killed at {step}")

    _each(up, steps["up"])
    _each(down, steps["down"])
    name = shooting.up()
    for step in steps["refresh"]:
        assert run(shooting.task("refresh", name=name).but(at=step)).status == KILLED
        shooting.count.ran("refresh killed at a step")
        again = run(shooting.task("refresh", name=name))
        assert again.status == 0, again.errors
    shooting.down(name, "refresh killed")


def test_killed_at_random_points(shooting: Range) -> None:
    chance = random.Random(_SEED)
    _steps(shooting)  # whatever has to be built or fetched is there from now on
    began = time.monotonic()
    name = shooting.up()
    whole = time.monotonic() - began
    shooting.down(name, "up")
    left = []

    def up(moment: str) -> None:
        name = shooting.name()
        told = run(shooting.task("up", name=name).but(ends_after=float(moment)))
        assert told.status in (KILLED, 0)
        left.append(bool(shooting.left(name)))
        shooting.count.ran("up killed at random")
        shooting.down(name, f"up killed after {moment} s")

    part = whole / _RANDOM_KILLS  # one in each, so that a machine of any speed is hit in the middle
    _each(up, [f"{part * (number + chance.random()):.2f}" for number in range(_RANDOM_KILLS)])
    assert sum(left) >= 2, "no kill fell into the start: the moments are wrong for this machine"


_UNDER: dict[str, dict[str, list[tuple[str, tuple[str, ...]]]]] = {
    "docker": {
        "up": [
            ("egress", ("Stream.send 1", "DockerRuntime.wait_ready 1", "APIClient.start 2", "up.write 1")),
            ("agent", ("APIClient.remove_volume 1", "up.write 1", "APIClient.exec_create 1", "Stream.send 3")),
        ],
        "refresh": [("egress", ("APIClient.exec_create 1", "Stream.send 1")), ("agent", ("APIClient.exec_create 2",))],
        "down": [("egress", ("APIClient.remove_container 1",)), ("agent", ("APIClient.remove_network 1",))],
    },
    "bubblewrap": {
        "up": [
            ("egress", ("launching.hold 2", "client.place 1", "BubblewrapRuntime.wait_ready 1", "client.place 2")),
            ("agent", ("client.place 2", "up.write 1", "client.place 3")),
        ],
        "refresh": [("egress", ("client.place 1",)), ("agent", ("client.place 2",))],
        "down": [("egress", ("records.end 1",)), ("agent", ("records.end 1",))],
    },
}  # fmt: skip
"""Which service is killed at which steps of which task: those at which it is there, or is about to be."""


def _under(runtime: str, task: str) -> Sequence[str]:
    return [f"{service}@{step}" for service, steps in _UNDER[runtime][task] for step in steps]


def test_services_killed_under_a_task(shooting: Range) -> None:
    """A start whose services die either fails and has undone itself, or gives a bottle that is closed and says so."""
    runtime = shooting.arena.runtime

    def up(case: str) -> None:
        service, _, step = case.partition("@")
        name = shooting.name()
        told = run(shooting.task("up", name=name).but(at=step, kills=(shooting.victim(name, service),)))
        clear(told, case)
        assert step in told.steps, case
        shooting.count.ran(f"{service} killed during up")
        if told.status == 0:
            assert _state(shooting, name) in ("broken", "stopped"), case
        else:
            assert shooting.left(name) == [], case
        shooting.down(name, case)

    def other(task: str) -> Callable[[str], None]:
        def during(case: str) -> None:
            service, _, step = case.partition("@")
            name = shooting.up()
            told = run(shooting.task(task, name=name).but(at=step, kills=(shooting.victim(name, service),)))
            clear(told, case)
            shooting.count.ran(f"{service} killed during {task}")
            shooting.down(name, case)

        return during

    _each(up, _under(runtime, "up"))
    _each(other("refresh"), _under(runtime, "refresh"))
    _each(other("down"), _under(runtime, "down"))


def _state(shooting: Range, name: str) -> str:
    import json

    told = run(Run(argv=("ps", "--json"), env=shooting.arena.env, folder=shooting.tasks))
    bottle = shooting.arena.bottle(name)
    return next((str(entry["state"]) for entry in json.loads(told.out) if entry["bottle"] == bottle), "")
