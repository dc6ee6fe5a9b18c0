"""A bottle in a real terminal: its size inside, the keys that leave it running, and coming back to it."""

import json

from tests.agents.terminal import Terminal
from tests.contract.arena import ROOT, Arena, arena  # noqa: F401 - a fixture

_LEAVE = "\x10\x11"
"""Ctrl-P Ctrl-Q."""


def _terminal(arena: Arena, *argv: str) -> Terminal:  # noqa: F811
    return Terminal(tuple(arena.command(*argv)), env={**arena.env, "TERM": "xterm"}, cwd=ROOT, user=None)


_BUSY = "sh -c 'echo be\"\"gun; exec sleep 600'\r"
"""One command, in the foreground before it says so: an interrupt between two commands of a shell stops neither."""


def _answered(terminal: Terminal, keys: str, pattern: str) -> None:
    """Type at a prompt: a shell may throw away what comes before it."""
    terminal.wait_for(r"[$#]$")
    terminal.type(keys)
    terminal.wait_for(pattern)


def test_size_resize_leave_and_come_back(arena: Arena) -> None:  # noqa: F811
    """The shell counts in a variable, so that the one that is joined again is known to be the one that was left."""
    with _terminal(arena, "up", "--profile", "shell", "--", "sh") as terminal:
        _answered(terminal, "n=40; stty size\r", r"stty size 50 160")
        terminal.resize(31, 101)
        _answered(
            terminal, "until [ \"$(stty size)\" = '31 101' ]; do sleep 0.1; done; echo now-$(stty size)\r", "now-31 101"
        )
        _answered(terminal, _BUSY, "begun")
        terminal.type("\x03" + _LEAVE)
        assert terminal.ended() == 0
        assert "left running: bottlegen attach --name" in terminal.words
    listed = json.loads(arena.bottlegen("ps", "--json").stdout)
    assert [entry["state"] for entry in listed if entry["bottle"] in arena.names] == ["running"]
    with _terminal(arena, "attach", "--name", "shell") as terminal:
        terminal.type("\r")
        _answered(terminal, "echo is-$((n + 2)) $(stty size)\r", "is-42 50 160")
        _answered(terminal, "exit 3\r", "exit 3")
        assert terminal.ended() == 3
    assert arena.leftovers() == []


def test_exec_has_a_terminal_of_its_own(arena: Arena) -> None:  # noqa: F811
    done = arena.bottlegen("up", "--profile", "shell", "--detach", "--", "sleep", "600")
    assert done.returncode == 0, done.stderr
    with _terminal(arena, "shell", "--name", "shell") as terminal:
        _answered(terminal, "test -t 0 && stty size\r", "50 160")
        _answered(terminal, _BUSY, "begun")
        terminal.type("\x03")
        _answered(terminal, "echo ba''ck\r", "back")
        _answered(terminal, "exit 4\r", "exit 4")
        assert terminal.ended() == 4
