"""`up` killed at any moment: one `down` removes what it left, a second finds nothing, and the user's files live."""

import random
import signal
import subprocess
import time

import pytest

from tests.contract.arena import ROOT, Arena, arena  # noqa: F401 - a fixture

_SEED = 20261122
_KILLS = 5
_WHOLE_START_SECONDS = 2.5, 5.0
"""At least and at most, between them what the first start shows of this machine. Kills are spread over about that
length, one in each part of it; the first comes while nothing is made."""


def _kept(arena: Arena) -> list[str]:  # noqa: F811
    """What the state directory holds beside the agents' homes and the audit, which are kept on purpose."""
    return sorted(
        str(path.relative_to(arena.state))
        for path in arena.state.rglob("*")
        if path.is_file() and not {"home", "audit"} & {*path.relative_to(arena.state).parts}
    )


def test_killed_at_random_points(arena: Arena) -> None:  # noqa: F811
    chance = random.Random(_SEED)
    begun = time.monotonic()
    assert arena.bottlegen("up", "--profile", "codex", "--", "true", timeout=300).returncode == 0
    shortest, longest = _WHOLE_START_SECONDS
    whole = min(longest, max(shortest, 0.6 * (time.monotonic() - begun)))  # that `up` also ended a bottle
    (arena.workspace / "mine.txt").write_text("mine\n")
    made_something = 0
    part = (whole - 0.3) / (_KILLS - 1)
    for moment in [0.2, *(0.3 + part * (number + chance.random()) for number in range(_KILLS - 1))]:
        up = subprocess.Popen(
            arena.command("up", "--profile", "codex", "--detach", "--", "sleep", "600"),
            cwd=ROOT, env=arena.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(moment)
        up.send_signal(signal.SIGKILL)
        up.wait()
        made_something += bool(arena.leftovers())
        down = arena.bottlegen("down", "--name", "codex")
        assert (down.returncode, down.stderr) == (0, ""), f"after {moment:.2f} s"
        again = arena.bottlegen("down", "--name", "codex")
        assert (again.returncode, again.stderr) == (0, "")
        assert arena.leftovers() == []
        assert _kept(arena) == []
    assert made_something >= 2, "no kill fell into the start: the moments are wrong for this machine"
    assert (arena.workspace / "mine.txt").read_text() == "mine\n"
    assert arena.bottlegen("up", "--profile", "codex", "--detach", "--", "sleep", "600").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["terminated", "terminal-closed"])
def test_ended_while_the_agent_works(arena: Arena, number: signal.Signals) -> None:  # noqa: F811
    up = subprocess.Popen(
        arena.command("up", "--profile", "shell", "--", "sh", "-c", "echo at-work; sleep 600"),
        cwd=ROOT, env=arena.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert up.stdout
    assert up.stdout.readline() == "at-work\n"
    up.send_signal(number)
    _, errors = up.communicate(timeout=60)
    assert (up.returncode, "Traceback" in errors) == (128 + number, False), errors
    assert arena.leftovers() == []
    assert _kept(arena) == []


def test_interrupted_start_undoes_itself(arena: Arena) -> None:  # noqa: F811
    up = subprocess.Popen(
        arena.command("up", "--profile", "codex", "--detach", "--", "sleep", "600"),
        cwd=ROOT, env=arena.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    arena.until(lambda: arena.leftovers() or up.poll() is not None)
    up.send_signal(signal.SIGINT)
    _, errors = up.communicate(timeout=60)
    assert up.returncode in (130, 0), errors
    assert "Traceback" not in errors
    if up.returncode == 130:
        assert arena.leftovers() == []
    arena.down()
    assert arena.leftovers() == []
