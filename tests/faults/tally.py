"""What the runs of faults add up to: kept with each test's report, so that the summary can tell it across workers."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest


class Tally:
    """Runs by kind, and of all of them what was left or leaked: both are asserted to be none where they are counted."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.leftovers = self.leaks = 0

    def ran(self, kind: str) -> None:
        self.runs[kind] += 1

    def left(self, found: Sequence[str]) -> None:
        """What a run left; said before it is asserted, so that a failing run's is counted too."""
        self.leftovers += bool(found)

    def leaked(self, found: Sequence[str]) -> None:
        self.leaks += len(found)


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Iterator[Tally]:
    made = Tally()
    yield made
    record_property("faults", [dict(made.runs), made.leftovers, made.leaks])


def lines(reports: Iterable[Any]) -> Iterator[str]:
    """The table of all tests' tallies; nothing when none of them ran."""
    runs: Counter[str] = Counter()
    leftovers = leaks = 0
    for report in reports:
        if getattr(report, "when", "") == "teardown":
            for found in (value for name, value in report.user_properties if name == "faults"):
                runs.update(found[0])
                leftovers, leaks = leftovers + found[1], leaks + found[2]
    for kind, count in sorted(runs.items()):
        yield f"{count:5}  {kind}"
    if runs:
        yield f"{runs.total():5}  in all: {leftovers} left something, {leaks} leaked a credential"
