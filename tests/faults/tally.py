"""What the runs of faults add up to: kept with each test's report, so that the summary can tell it across workers."""

from collections import Counter
from collections.abc import Callable

import pytest


class Tally:
    """Runs by kind, and of all of them what was left or leaked: both are asserted to be none where they are counted."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.leftovers = self.leaks = 0

    def add(self, kind: str, *, leftovers: int = 0, leaks: int = 0) -> None:
        self.runs[kind] += 1
        self.leftovers += leftovers
        self.leaks += leaks


@pytest.fixture
def tally(record_property: Callable[[str, object], None], request: pytest.FixtureRequest) -> Tally:
    made = Tally()
    request.addfinalizer(lambda: record_property("faults", [dict(made.runs), made.leftovers, made.leaks]))
    return made
