"""What is shown of bottles, and dealt with, when labels are not ours."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runtime import bottles
from runtime.base import BottleStatus
from runtime.bubblewrap.keeper import identity
from runtime.bubblewrap.runtime import BubblewrapRuntime
from runtime.docker import listing
from runtime.docker.engine import Engine


class _Engine:
    """A runtime that has one bottle, and one container that only looks like it."""

    name = "docker"

    def __init__(self) -> None:
        self.removed: list[str] = []

    def list(self) -> tuple[BottleStatus, ...]:
        return tuple(
            BottleStatus(
                bottle=name, profile="\x1b]0;title\x07", hash="sha256-x", session="s", runtime="docker",
                state="running", created="", services=(),
            )
            for name in ("\x1b[2J", "../../x", "mine")
        )  # fmt: skip

    def remove(self, bottle: str, *, session: str = "") -> bool:
        self.removed.append(bottle)
        return True


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> _Engine:
    engine = _Engine()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(bottles, "installed", lambda host: [engine])
    return engine


def test_labels_cannot_move_the_cursor(engine: _Engine, capsys: pytest.CaptureFixture[str]) -> None:
    bottles.list_bottles(as_json=False)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert [line.split()[0] for line in shown.splitlines()] == ["bottle", "mine"]


def test_a_label_that_is_no_name_does_not_stop_down(engine: _Engine) -> None:
    bottles.take_down("", everything=True, purge=True)
    assert engine.removed == ["mine"]


# --- which part of a broken bottle it is


def _docker(states: Mapping[str, str], *, labelled: str = "agent,egress,git-gate") -> BottleStatus:
    """As the engine's list tells containers and networks; of a bottle without any container a network is left."""
    labels = {"bottlegen.bottle": "dev", **({"bottlegen.services": labelled} if labelled else {})}
    containers = [
        {"Labels": {**labels, "bottlegen.service": name}, "State": its, "Created": 1} for name, its in states.items()
    ]
    api = SimpleNamespace(containers=lambda **_: containers, networks=lambda **_: [{"Labels": labels}])
    (status,) = listing.bottles(cast("Engine", SimpleNamespace(api=api)))
    return status


_UP = {"agent": "running", "egress": "running", "git-gate": "running"}


@pytest.mark.parametrize(
    ("states", "state", "amiss"),
    [
        (_UP, "running", ""),
        (_UP | {"egress": "exited"}, "broken", "egress exited"),
        (_UP | {"git-gate": "paused"}, "broken", "git-gate paused"),
        ({"agent": "running", "egress": "running"}, "broken", "git-gate missing"),
        ({"egress": "running", "git-gate": "exited"}, "broken", "git-gate exited; agent missing"),
        ({}, "broken", "agent, egress, git-gate missing"),
        (_UP | {"agent": "exited", "egress": "exited"}, "stopped", ""),
    ],
)
def test_docker_tells_which_service(states: dict[str, str], state: str, amiss: str) -> None:
    status = _docker(states)
    assert (status.state, status.amiss) == (state, amiss)


def test_a_bottle_of_before_the_label_has_an_agent_and_an_egress() -> None:
    assert _docker({"agent": "running", "egress": "running"}, labelled="").state == "running"
    assert _docker({"agent": "running"}, labelled="").amiss == "egress missing"


def _bubblewrap(root: Path, states: Mapping[str, str]) -> BottleStatus:
    """As keepers write it down; this very process stands for one that lives."""
    folder = root / "bubblewrap" / "dev"
    folder.mkdir(parents=True)
    (folder / "bottle.json").write_text(json.dumps({"ready": {"egress": ["bottle", 1], "git-gate": ["bottle", 2]}}))
    for name, state in states.items():
        service = folder / "services" / name
        service.mkdir(parents=True)
        known = identity(os.getpid()) | ({} if state == "running" else {"start": "0"})
        (service / "running").write_text(json.dumps([known]))
        if state == "exited":
            (service / "exit").write_text("0")
    (status,) = BubblewrapRuntime({}, root / "cache", root).list()
    return status


@pytest.mark.parametrize(
    ("states", "state", "amiss"),
    [
        (_UP, "running", ""),
        (_UP | {"egress": "dead"}, "broken", "egress dead"),
        ({"agent": "running", "egress": "exited"}, "broken", "egress exited; git-gate missing"),
        ({}, "broken", "agent, egress, git-gate missing"),
        (_UP | {"agent": "exited", "egress": "dead"}, "stopped", ""),
    ],
)
def test_bubblewrap_tells_which_service(tmp_path: Path, states: dict[str, str], state: str, amiss: str) -> None:
    status = _bubblewrap(tmp_path, states)
    assert (status.state, status.amiss) == (state, amiss)


def test_a_machine_that_ended_is_its_agent(tmp_path: Path) -> None:
    from runtime.smolmachines.runtime import _orphan, _with_machine

    status = _bubblewrap(tmp_path, _UP)
    assert _with_machine(status, "running").amiss == ""
    assert _with_machine(status, "stopped").amiss == "agent dead"
    assert _orphan("dev", {}, "running").amiss == "egress missing"


def test_ps_says_it_under_a_narrow_table(
    engine: _Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (mine,) = (status for status in engine.list() if status.bottle == "mine")
    told: Any = replace(mine, state="broken", services=(("agent", "running"), ("egress", "\x1b[2J")))
    monkeypatch.setattr(engine, "list", lambda: (told,))
    bottles.list_bottles(as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["mine", "broken"]
    assert lines[2:] == ["mine: broken: egress \\u001b[2J"]
    bottles.list_bottles(as_json=True)
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["state"], entry["amiss"]) == ("broken", "egress \x1b[2J")
    assert entry["services"] == {"agent": "running", "egress": "\x1b[2J"}
