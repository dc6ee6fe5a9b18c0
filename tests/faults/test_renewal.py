"""Certificates that end under a running bottle: its agent is refused and `ps` says why, until `refresh` renews them."""

import json
import re
from pathlib import Path

from tests.contract.arena import Arena, arena  # noqa: F401 - a fixture
from tests.faults.tally import Tally, tally  # noqa: F401 - a fixture
from tests.faults.tracing import Run, run

_SECONDS = 4
_ASK = ("sh", "-c", "curl -sS --max-time 10 https://api.github.com/user 2>&1; true")
"""The profile has no such route, and egress says so on a connection whose certificate the agent has verified."""


def test_refresh_renews_what_has_ended_and_the_agent_trusts_it(arena: Arena, tally: Tally, tmp_path: Path) -> None:  # noqa: F811
    def task(*argv: str, lives: int = 0) -> Run:
        return Run(argv=tuple(arena.command(*argv)[3:]), env=arena.env, folder=tmp_path, lives=lives)

    up = run(task("up", "--profile", "shell", "--detach", "--", "sleep", "600", lives=_SECONDS))
    assert up.status == 0, up.errors
    ask = task("exec", "--name", "shell", "--", *_ASK)
    arena.until(lambda: "certificate has expired" in run(ask).out, _SECONDS + 10)
    name = arena.bottle("shell")
    told = rf"certificates of bottle '{name}' ended on .*: its agent reaches nothing\n  fix: bottlegen re"
    arena.until(lambda: re.search(told, run(task("ps")).errors) is not None)
    (before,) = [entry for entry in json.loads(run(task("ps", "--json")).out) if entry["bottle"] == name]
    refreshed = run(task("refresh", "--name", "shell"))
    assert (refreshed.status, "certificates renewed, good until" in refreshed.out) == (0, True), refreshed
    arena.until(lambda: "no route for GET /user" in run(ask).out)
    (after,) = [entry for entry in json.loads(run(task("ps", "--json")).out) if entry["bottle"] == name]
    assert after["certificates_until"] > before["certificates_until"]
    assert "ended" not in run(task("ps")).errors
    tally.ran("certificates that end under a bottle")
