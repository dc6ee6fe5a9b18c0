"""The `audit` task on chains of real files: what was done to them is told, and nothing in them does any harm."""

import json
import shutil
from pathlib import Path

import pytest

from bottlegen.errors import UsageError
from runtime.audit import task
from runtime.audit.runs import Audits, Run
from runtime.audit.writer import Order, Writer
from runtime.host import Host, HostConfig
from runtime.state import State


class Kept:
    """The audit of this home: two sidecars' chains in each run."""

    def __init__(self, home: Path) -> None:
        self.audits = Audits(State.of({}, home).audit)

    def make(self, bottle: str, session: str, *, ends: bool = True) -> Run:
        run = self.audits.begin(bottle, session)
        for service in ("egress", "git-gate"):
            first = {"session": session, "services": "egress,git-gate"}
            order = Order(
                folder=str(run.folder), service=service, every={"bottle": bottle}, first=first, block=False,
                limit=1 << 20,
            )  # fmt: skip
            told = Writer(order)
            told.begin()
            told.feed(b'{"decision":"deny","host":"a.test","path":"/1"}\n')
            told.end() if ends else told.leave()
        return run


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setattr(task, "this_host", lambda: Host(env={}, home=tmp_path, config=HostConfig()))
    return Kept(tmp_path)


def _do(do: str, *, name: str = "", run: str = "", heads: str = "", as_json: bool = False) -> int:
    return task.audit(do, name=name, run=run, heads=heads, as_json=as_json)


def test_whole_chains_are_whole(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    kept.make("one", "s1")
    assert _do("verify") == 0
    assert [line.split(", head")[0].split(" ", 2)[2] for line in capsys.readouterr().out.splitlines()] == [
        "egress: whole, 3 lines",
        "git-gate: whole, 3 lines",
    ]


def test_a_head_that_was_kept_elsewhere_has_to_be_found(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    noted = kept.make("one", "s1").noted("egress")
    assert noted is not None
    assert _do("verify", heads=noted.head.hash) == 0
    assert _do("verify", heads=f"{noted.head.hash},{'0' * 64}") == task.TAMPERED
    assert f"no chain ends with the head {'0' * 64}" in capsys.readouterr().out
    assert _do("verify", heads="\x1b[2J", as_json=True) == task.TAMPERED
    assert json.loads(capsys.readouterr().out)["unknown_heads"] == ["\x1b[2J"]
    assert _do("verify", heads="\x1b[2J") == task.TAMPERED
    assert "\x1b" not in capsys.readouterr().out


def test_a_chain_in_the_folder_of_another_run_is_misplaced(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    """It is whole in itself: an older run's, in the place of one that nobody should see."""
    older, later = kept.make("one", "s1"), kept.make("one", "s2")
    for path in older.folder.iterdir():
        shutil.copy(path, later.folder / path.name)
    assert _do("verify", run="s2") == task.TAMPERED
    assert capsys.readouterr().out.count("misplaced: the first line is not the one that this run began with") == 2
    assert _do("verify", run="s1") == 0


def test_a_chain_that_is_gone_altogether_is_missed(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    """The first line of the other one tells of it."""
    run = kept.make("one", "s1")
    for path in run.folder.glob("git-gate.*"):
        path.unlink()
    assert _do("verify") == task.TAMPERED
    assert "git-gate: NOT WHOLE" in capsys.readouterr().out


def test_what_somebody_wrote_into_a_chain_moves_no_cursor(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    run = kept.make("one", "s1")
    first = run.chains()["egress"][0]
    first.write_bytes(first.read_bytes().replace(b'"services":"egress,git-gate"', b'"services":"\\u001b[2J"'))
    assert _do("verify") == task.TAMPERED
    _do("list")
    _do("summary")
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(("ends", "state"), [(True, "ended"), (False, "broken off")])
def test_a_run_without_a_last_line_is_broken_off(
    ends: bool, state: str, kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.make("one", "s1", ends=ends)
    assert _do("list", as_json=True) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["state"], row["lines"]) == (state, 6 if ends else 4)
    assert _do("verify") == 0
    assert ("broken off" in capsys.readouterr().out) is not ends


def test_a_name_that_was_never_kept_is_told(kept: Kept) -> None:
    kept.make("one", "s1")
    with pytest.raises(UsageError, match="no audit of 'two' is kept"):
        _do("verify", name="two")
    with pytest.raises(UsageError, match="no audit of 's9' is kept"):
        _do("verify", run="s9")
    with pytest.raises(UsageError, match="audit does not know 'vrify'"):
        _do("vrify")
