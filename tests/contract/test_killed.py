"""`up` asked to end: it undoes itself. How it is when nobody asks is in tests/faults/test_kills.py."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests import live
from tests.contract.arena import ROOT, Arena, arena  # noqa: F401 - a fixture


def _kept(arena: Arena) -> list[str]:  # noqa: F811
    """What the state directory holds beside the agents' homes and the audit, which are kept on purpose."""
    return sorted(
        str(path.relative_to(arena.state))
        for path in live.files(arena.state)
        if not {"home", "audit"} & {*path.relative_to(arena.state).parts}
    )


@contextmanager
def _up(arena: Arena, *argv: str) -> Iterator[subprocess.Popen[str]]:  # noqa: F811
    with subprocess.Popen(
        arena.command("up", *argv), cwd=ROOT, env=arena.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as up:  # fmt: skip
        try:
            yield up
        finally:
            up.kill()  # one that has ended takes no harm


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["terminated", "terminal-closed"])
def test_ended_while_the_agent_works(arena: Arena, number: signal.Signals) -> None:  # noqa: F811
    with _up(arena, "--profile", "shell", "--", "sh", "-c", "echo at-work; sleep 600") as up:
        assert up.stdout
        first = up.stdout.readline()
        up.send_signal(number)
        _, errors = up.communicate(timeout=60)
    assert first == "at-work\n", errors
    assert (up.returncode, "Traceback" in errors) == (128 + number, False), errors
    assert arena.leftovers() == []
    assert _kept(arena) == []


def test_interrupted_start_undoes_itself(arena: Arena) -> None:  # noqa: F811
    with _up(arena, "--profile", "codex", "--detach", "--", "sleep", "600") as up:
        arena.until(lambda: arena.leftovers() or up.poll() is not None, seconds=60)
        up.send_signal(signal.SIGINT)
        _, errors = up.communicate(timeout=60)
    assert up.returncode in (130, 0), errors
    assert "Traceback" not in errors
    if up.returncode == 130:
        assert arena.leftovers() == []
    arena.down()
    assert arena.leftovers() == []
