"""What the doctor finds: one thing about this host, how bad it is, why it matters, and the command that mends it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from bottlegen.errors import Problem

Level = Literal["ok", "warn", "problem"]
LEVELS: tuple[Level, ...] = ("ok", "warn", "problem")
"""From good to bad: `problem` is what keeps bottles from running, or what they promise from being true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`area` groups findings, `what` is the fact, lower case. `why` and `fix` are empty only where all is well, where a
    `fix` may say how to have more; it is to be typed, a comment after `#` where a command alone would not do. None of
    them ever holds a secret's value."""

    level: Level
    area: str
    what: str
    why: str = ""
    fix: str = ""


Probe = Callable[[], Sequence[Finding]]
"""Looks at one thing of the host. It may raise a BottlegenError, and must not change anything."""


def of_problems(area: str, problems: Sequence[Problem], why: str, level: Level = "problem") -> list[Finding]:
    """The problems of an error as findings."""
    return [
        Finding(level=level, area=area, what=_placed(problem), why=why, fix=problem.fix or "see docs/host.md")
        for problem in problems
    ]


def _placed(problem: Problem) -> str:
    return f"{problem.what} ({problem.where})" if problem.where else problem.what
