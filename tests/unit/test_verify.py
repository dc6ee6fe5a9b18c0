"""How `verify` shows its rows: lines for pipes, a table for people, and a text of the bottle's that does no harm."""

import sys

import pytest

from runtime import verify
from runtime.base import BottleStatus, Finding

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
