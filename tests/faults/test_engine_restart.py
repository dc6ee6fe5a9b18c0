"""The docker engine ended and begun again, under a bottle and under `up`: closed, clear, and `down` leaves nothing."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from runtime.docker import naming
from tests import live
from tests.contract.arena import ROOT, Arena, have_images
from tests.engine.bottle import LOCAL_BASE
from tests.faults.own_engine import OwnEngine, own_engine
from tests.faults.tally import Tally, tally  # noqa: F401 - a fixture
from tests.faults.test_kills import clear, digest
from tests.faults.tracing import Run, Told, run
from tests.pretend import PretendProvider
from tests.pretend.authority import TestAuthority

pytestmark = [pytest.mark.engine, pytest.mark.own_engine]

_UP = ("up", "--profile", "shell", "--detach", "--", "sleep", "600")
_ASK = ("curl", "-sS", "-o", "/dev/null", "-w", "%{http_connect}", "--max-time", "5", "https://not-allowed.test/")
_CLOSED = "000"
_SILENCE = 30
"""Seconds without a beat that end a sidecar's command (bottlegen/images/sidecar/entry.sh)."""


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    """With the images of the shell profile, which the engine that all tests share has or builds."""
    images = have_images("docker", ROOT / "bundles" / "shell")
    with own_engine() as made:
        made.load([LOCAL_BASE, *images])
        yield made


@pytest.fixture
def host(engine: OwnEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Host"]:
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    with engine.client() as client, PretendProvider(bind=("127.0.0.1", 0), authority=TestAuthority()) as provider:
        made = Host(engine, Arena(tmp_path, "docker", client, "", provider), tmp_path)
        try:
            yield made
        finally:
            if not engine.runs():
                engine.start()
            made.arena.down()


class Host:
    """An arena on the engine, and its one bottle."""

    def __init__(self, engine: OwnEngine, arena: Arena, folder: Path) -> None:
        self.engine, self.arena = engine, arena
        self.bottle = arena.bottle("shell")
        self.tasks = folder / "tasks"
        self.tasks.mkdir()
        arena.make_repository()
        (arena.workspace / "mine.txt").write_text("mine\n")
        self.before = digest(arena.workspace)

    def task(self, *argv: str) -> Run:
        own = (*argv, "--name", "shell") if argv[0] in ("attach", "refresh", "down", "logs") else argv
        return Run(argv=tuple(self.arena.command(*own)[3:]), env=self.arena.env, folder=self.tasks)

    def up(self) -> None:
        done = run(self.task(*_UP))
        assert done.status == 0, done.errors
        assert self.listed()["state"] == "running"

    def listed(self) -> Mapping[str, Any]:
        (entry,) = json.loads(run(self.task("ps", "--json")).out)
        assert entry["bottle"] == self.bottle
        return dict(entry)

    def containers(self) -> dict[str, dict[str, Any]]:
        """Of the bottle, by service."""
        with self.engine.client() as client:
            found = client.api.containers(all=True, filters=naming.selects(self.bottle))
            return {part["Labels"][naming.SERVICE]: client.api.inspect_container(part["Id"]) for part in found}

    def everything(self) -> dict[str, list[str]]:
        """That the engine has, whoever made it."""
        with self.engine.client() as client:
            return {
                "containers": [part["Id"] for part in client.api.containers(all=True)],
                "networks": sorted(part["Name"] for part in client.api.networks()),
                "volumes": [part["Name"] for part in client.api.volumes()["Volumes"] or ()],
            }

    def down(self) -> None:
        """One leaves nothing, a second finds nothing, and the workspace is as it was."""
        done = run(self.task("down"))
        assert (done.status, done.errors) == (0, "")
        assert self.everything() == {"containers": [], "networks": ["host", "none"], "volumes": []}
        again = run(self.task("down"))
        assert (again.status, "was not up" in again.out) == (0, True), again
        assert digest(self.arena.workspace) == self.before
        assert not [path for path in live.files(self.arena.state) if self.bottle in path.name and self.lost(path)]

    def lost(self, path: Path) -> bool:
        """Whether a file of the state directory is of those that go with a bottle."""
        return not {"home", "audit"} & {*path.relative_to(self.arena.state).parts}


class Agent:
    """What its network can do, asked past the engine: it need not run."""

    def __init__(self, host: Host) -> None:
        inspected = host.containers()["agent"]
        self._pid = str(inspected["State"]["Pid"])
        self._env = dict(line.split("=", 1) for line in inspected["Config"]["Env"])
        self._box = str(host.engine.box)

    def asks(self) -> str:
        command = [
            *("nsenter", "--target", self._box, "--net", "--mount", "--pid"),
            *("nsenter", "--target", self._pid, "--net", "--mount", *_ASK),
        ]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout or _CLOSED


def _one_error(told: Told, why: str) -> None:
    clear(told, why)
    assert told.status != 0, why
    # What a start could not undo is said before it, with the command that does.
    assert [line[:7] for line in told.errors.splitlines()].count("error: ") == 1, told.errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["restarted", "crashed"])
def test_an_engine_that_ends_and_begins_again(host: Host, tally: Tally, number: signal.Signals) -> None:  # noqa: F811
    host.up()
    began = {name: part["State"]["StartedAt"] for name, part in host.containers().items()}
    agent = Agent(host)
    assert agent.asks() == "403", "the control: a request is answered"
    host.engine.end(number)
    assert number == signal.SIGKILL or agent.asks() == _CLOSED
    calls = (("exec", "--name", "shell", "--", "true"), ("refresh",))
    for call in (*calls, ("attach",), ("down",)):
        _one_error(run(host.task(*call)), f"{call[0]} without an engine")
    host.engine.start()
    for _ in range(2):
        assert host.listed()["state"] in ("stopped", "broken")
        assert {name: part["State"]["StartedAt"] for name, part in host.containers().items()} == began
        assert not any(part["State"]["Running"] for part in host.containers().values())
        assert agent.asks() == _CLOSED
        time.sleep(0.5)
    for call in calls:
        _one_error(run(host.task(*call)), f"{call[0]} after a restart")
    audit = run(host.task("audit", "verify"))
    assert (audit.status, "egress: whole" in audit.out) == (0, True), audit
    assert number == signal.SIGTERM or "broken off" in audit.out, "what was decided without the engine is not told lost"
    host.down()
    host.up()
    assert Agent(host).asks() == "403"
    host.down()
    tally.ran("engines that end and begin again under a bottle")


def test_a_crash_closes_the_way_out_before_the_engine_begins_again(host: Host, tally: Tally) -> None:  # noqa: F811
    host.up()
    agent = Agent(host)
    time.sleep(_SILENCE + 2)
    assert agent.asks() == "403", "the control: while the engine runs, who holds the sidecar is heard"
    host.engine.end(signal.SIGKILL)
    host.arena.until(lambda: agent.asks() == _CLOSED, seconds=_SILENCE + 5)
    tally.ran("engines that crash and do not begin again")


@pytest.mark.parametrize("step", ["APIClient.start 1", "APIClient.start 2", "Stream.send 1"])
def test_an_engine_that_dies_under_up(host: Host, tally: Tally, step: str) -> None:  # noqa: F811
    told = run(host.task(*_UP).but(at=step, kills=(f"kill -9 {host.engine.pid}",)))
    assert step in told.steps
    _one_error(told, step)
    host.engine.wait()
    host.engine.start()
    host.down()
    host.up()
    host.down()
    tally.ran("engines that die under up")
