"""What is left after `kill -9`: found by number and start alone, and a bottle whose sidecar is dead is a closed one."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bottlegen.bundle import Bundle
from runtime.base import LaunchSpec
from runtime.bubblewrap import records
from runtime.bubblewrap.keeper import identity
from tests.contract.bottle import Bottle as Made
from tests.contract.bottle import launch, make_runtime
from tests.engine.bottle import make_folder


@pytest.fixture
def bottle(bundle: Bundle, tmp_path: Path) -> Iterator[Made]:
    spec = LaunchSpec(
        bottle=f"crash-{os.getpid()}", session="crash", bundle=bundle, command=("sleep", "600"), tty=False,
        interactive=False, workspace=make_folder(tmp_path / "work"), home=None, base_image="", outside_network="",
        terminal_env=(),
    )  # fmt: skip
    with make_runtime("bubblewrap", tmp_path / "state") as runtime:
        try:
            launch(spec, runtime)
            runtime.release_agent(spec.bottle)
            yield Made(spec=spec, runtime=runtime)
        finally:
            runtime.remove(spec.bottle)


def _folder(bottle: Made) -> Any:
    return bottle.runtime._folder(bottle.name)


def _known(bottle: Made, service: str) -> list[dict[str, Any]]:
    """Keeper, bwrap, and the first process inside."""
    found: list[dict[str, Any]] = json.loads((_folder(bottle).service(service) / "running").read_text())
    return found


def _eventually(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def _gone(processes: list[dict[str, Any]]) -> bool:
    return not any(records.alive(process) for process in processes)


def test_down_after_every_process_was_killed(bottle: Made) -> None:
    known = _known(bottle, "agent") + _known(bottle, "egress")
    assert len(known) == 6
    for process in known:
        with suppress(ProcessLookupError):
            os.kill(process["pid"], signal.SIGKILL)
    _eventually(lambda: _gone(known))
    assert bottle.state() == "broken"
    assert bottle.runtime.remove(bottle.name) is True
    assert bottle.state() == ""
    assert bottle.runtime.remove(bottle.name) is False


@pytest.mark.parametrize("service", ["agent", "egress"])
@pytest.mark.parametrize("place", [0, 1], ids=["keeper", "bwrap"])
def test_nothing_runs_that_nobody_holds(bottle: Made, service: str, place: int) -> None:
    known = _known(bottle, service)
    os.kill(known[place]["pid"], signal.SIGKILL)
    _eventually(lambda: _gone(known))
    assert bottle.state() in ("broken", "stopped")


def test_a_dead_sidecar_leaves_no_way_out(bottle: Made) -> None:
    """The control is the same request before: it is answered, if only by a refusal."""
    ask = ("curl", "-sS", "--max-time", "10", "https://not-allowed.test/")
    assert "403" in bottle.run(*ask)[1]
    os.kill(_known(bottle, "egress")[0]["pid"], signal.SIGKILL)
    _eventually(lambda: _gone(_known(bottle, "egress")))
    closed, said = bottle.run(*ask)
    assert (closed != 0, "403" in said) == (True, False)
    devices = bottle.run("cat", "/proc/net/dev")[1].splitlines()[2:]
    assert [line.split(":")[0].strip() for line in devices] == ["lo"]
    assert bottle.state() == "broken"


def test_a_process_that_has_the_number_now_is_not_taken_for_ours(bottle: Made) -> None:
    """A stranger under a number that was a keeper's lives on: here the record says a number that is a stranger's."""
    _known_before = _known(bottle, "agent")
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        theirs = identity(stranger.pid)
        assert records.alive(theirs)
        reused = {**theirs, "start": str(int(theirs["start"]) - 1)}
        rebooted = {**theirs, "boot": "another"}
        assert not records.alive(reused)
        assert not records.alive(rebooted)
        running = _folder(bottle).service("agent") / "running"
        running.write_text(json.dumps([*_known_before, reused, rebooted]))
        assert bottle.runtime.remove(bottle.name) is True
        assert _gone(_known_before)
        assert stranger.poll() is None
        # The control: with its true start the same record would have ended it.
        (bottle_folder := bottle.runtime._root / "control" / "services" / "agent").mkdir(parents=True)
        (bottle_folder / "running").write_text(json.dumps([theirs]))
        (bottle_folder / "lock").touch()
        assert bottle.runtime.remove("control") is True
        _eventually(lambda: stranger.poll() is not None)
    finally:
        stranger.kill()
        stranger.wait()


def test_what_a_killed_start_had_claimed_is_swept(bottle: Made) -> None:
    """Half-made and half-removed folders whose process is gone; the one of a live process stays."""
    root = bottle.runtime._root
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in (f".new-s-{ended.pid}", f".gone-x-{ended.pid}", f".new-s-{os.getpid()}"):
        (root / name).mkdir()
    bottle.runtime.remove(bottle.name)
    assert {path.name for path in root.glob(".*")} == {f".new-s-{os.getpid()}"}
    shutil.rmtree(root / f".new-s-{os.getpid()}")
