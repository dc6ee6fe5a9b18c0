"""How `verify` shows its rows: lines for pipes, a table for people, and a text of the bottle's that does no harm."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bottlegen.bundle import read, write
from bottlegen.errors import BundleError
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime import run_record, verify
from runtime.base import BottleStatus, Endpoints, Finding, LaunchSpec
from runtime.host import Host, HostConfig
from runtime.start import run_of
from runtime.state import State

STATUS = BottleStatus(
    bottle="dev",
    profile="dev",
    hash="sha256-x",
    session="s",
    runtime="docker",
    state="running",
    created="",
    services=(),
)
ROWS = (
    Finding(part="agent", check="mounts", state="equal"),
    Finding(part="agent", check="networks", state="differs", found="is on '[red]\x1b[2J' too"),
    Finding(part="from the agent", check="probes", state="unknown", found="there is no Python in the bottle"),
)


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    verify._print(STATUS, ROWS, equal=False)
    assert capsys.readouterr().out == (
        "ok      agent  mounts\n"
        "DIFFERS agent  networks: is on '[red]\\u001b[2J' too\n"
        "UNKNOWN from the agent  probes: there is no Python in the bottle\n"
        "bottle dev on docker is NOT what its bundle says  sha256-x\n"
    )


def test_a_table_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "dumb")
    verify._print(STATUS, ROWS[:1], equal=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["part", "compared", "found"]
    assert lines[1].split() == ["agent", "mounts", "ok"]
    assert lines[-1] == "bottle dev on docker is what its bundle says  sha256-x"
    verify._print(STATUS, ROWS, equal=False)
    shown = capsys.readouterr().out
    assert "is on '[red]\\u001b[2J' too" in shown
    assert "\x1b[2J" not in shown


def test_the_document() -> None:
    document = verify._document(STATUS, ROWS, equal=False)
    rows = document.pop("rows")
    assert document == {
        "bottle": "dev", "profile": "dev", "hash": "sha256-x", "runtime": "docker", "equal": False
    }  # fmt: skip
    assert rows == [{"part": each.part, "check": each.check, "state": each.state, "found": each.found} for each in ROWS]


class Bottle:
    """A running bottle of which only the state folder is real: its runtime compares nothing, and is told `rows`."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.rows: tuple[Finding, ...] = ROWS[:1]
        self.probed = 0
        bundle = build(load_profile("profiles/shell.toml"), load_pins())
        self.status = replace(STATUS, hash=bundle.hash)
        self.state = State.of({}, home)
        self.state.bottle("dev").mkdir(parents=True)
        write(bundle, self.state.bundle("dev"))
        spec = LaunchSpec(
            bottle="dev", session="s", bundle=bundle, command=(), tty=False, interactive=False, workspace=None,
            home=None, base_image="", outside_network="", terminal_env=(),
        )  # fmt: skip
        endpoints = Endpoints(addresses={"egress": "192.0.2.1"}, listens={"egress": "192.0.2.1:3128"})
        run_record.save(run_of(spec, endpoints, {}, b""), self.state.run("dev"))
        runtime = SimpleNamespace(compare=lambda run: self.rows)
        patch.setattr(verify, "find", lambda name: (self.status, runtime))
        patch.setattr(verify, "this_host", lambda: Host(env={}, home=home, config=HostConfig()))
        patch.setattr(verify, "host_addresses", list)
        patch.setattr(verify, "probe", self._probe)

    def _probe(self, *_: object, **__: object) -> list[Finding]:
        self.probed += 1
        return [Finding(part="from the agent", check="dns", state="equal")]

    def verify(self, *, probes: bool = True) -> int:
        return verify.verify_bottle("dev", probes=probes, as_json=True)


@pytest.fixture
def bottle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bottle:
    return Bottle(tmp_path, monkeypatch)


@pytest.mark.parametrize(("state", "status"), [("equal", 0), ("differs", 2), ("unknown", 2)])
def test_one_row_that_is_not_equal_decides(
    bottle: Bottle, state: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    bottle.rows = (*ROWS[:1], replace(ROWS[0], state=state))  # type: ignore[arg-type] # of the three
    assert bottle.verify() == status
    document = json.loads(capsys.readouterr().out)
    assert (document["equal"], len(document["rows"])) == (not status, 3)


def test_nothing_is_tried_in_a_bottle_that_stands_still_or_where_nobody_asked(bottle: Bottle) -> None:
    assert (bottle.verify(probes=False), bottle.probed) == (0, 0)
    bottle.rows = (Finding(part="egress", check="running", state="differs", found="it is exited"),)
    assert (bottle.verify(), bottle.probed) == (2, 0)
    bottle.rows = (Finding(part="egress", check="running", state="equal"),)
    assert (bottle.verify(), bottle.probed) == (0, 1)


def test_another_bundle_than_the_bottle_says_is_not_compared_with(bottle: Bottle) -> None:
    bottle.status = replace(bottle.status, hash="sha256-another")
    with pytest.raises(BundleError, match=f"says that it runs sha256-another, and its kept bundle is {_kept(bottle)}"):
        bottle.verify()


def test_a_bottle_whose_bundle_is_gone_is_told_with_the_way_back(bottle: Bottle) -> None:
    shutil.rmtree(bottle.state.bundle("dev"))
    with pytest.raises(BundleError, match="is gone, so what bottle 'dev' should be is not known") as caught:
        bottle.verify()
    assert "XDG_STATE_HOME" in caught.value.problems[0].fix


def _kept(bottle: Bottle) -> str:
    return read(bottle.state.bundle("dev")).hash.replace("+", r"\+")
