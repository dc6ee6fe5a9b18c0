"""Every attempt on every runtime is held, or passes for a reason that is written down; its control goes through."""

import pytest

from tests.addresses import need_root
from tests.attacks import attempts, report
from tests.attacks.conftest import Outcomes
from tests.attacks.run import as_expected

MARKS = {"docker": (pytest.mark.engine,), "bubblewrap": (pytest.mark.namespaces,), attempts.HOST: ()}


def _needs(attempt: attempts.Attempt) -> tuple[pytest.MarkDecorator, ...]:
    """What its control needs of this machine, whatever the runtime."""
    return (pytest.mark.namespaces,) if attempt.control.does == attempts.FREE else ()


_CASES = [
    pytest.param(kind, attempt, id=f"{kind}-{attempt.id}", marks=(*marks, *_needs(attempt)))
    for kind, marks in MARKS.items()
    for attempt in attempts.attempts(kind)
]


@pytest.mark.parametrize(("kind", "attempt"), _CASES)
def test_attempt(outcomes: Outcomes, kind: str, attempt: attempts.Attempt, record_property: report.Record) -> None:
    if attempt.category == attempts.NAMES:
        need_root()
    found = outcomes(kind)
    ended, control = found[attempt.name], found[attempt.control.name]
    record_property(report.PROPERTY, report.line(attempt, kind, ended, control))
    assert control.through, f"its control, which must go through: {control.answer} {control.why}"
    assert as_expected(attempt, ended), f"{ended.answer} {ended.why}"
