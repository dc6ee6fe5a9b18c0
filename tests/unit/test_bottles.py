"""What is shown of bottles, and dealt with, when labels are not ours."""

import pytest

from runtime import bottles
from runtime.base import BottleStatus


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
