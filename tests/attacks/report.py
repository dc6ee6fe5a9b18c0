"""Attempts by category and runtime as a table: what is expected, for docs/attacks.md, and what a run found.

`python -m tests.attacks.report` runs them and prints the table that the end of every run of the tests shows too.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tests.attacks import attempts

if TYPE_CHECKING:
    from tests.attacks.run import Ended

PROPERTY = "attack"
Record = Callable[[str, object], None]
Line = Sequence[str]
"""Category, runtime, how it ended, and how its control did."""

HELD, EXPLAINED, THROUGH, UNKNOWN = "held", "explained", "through", "no control"
_COLUMNS = ("attempts", HELD, EXPLAINED, THROUGH, "controls")


def line(attempt: attempts.Attempt, kind: str, ended: "Ended", control: "Ended") -> Line:
    """What a test leaves of one attempt for the table."""
    word = THROUGH if ended.through and not attempt.passes else EXPLAINED if ended.through else HELD
    return (attempt.category, kind, word, "controls" if control.through else UNKNOWN)


def expected() -> list[Line]:
    """What a run must find."""
    return [
        (attempt.category, kind, EXPLAINED if attempt.passes else HELD, "controls")
        for attempt in attempts.attempts()
        for kind in attempt.runtimes
    ]


def table(lines: Iterable[Line]) -> str:
    """Markdown, a row for each category and runtime and one for all."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for category, kind, word, control in lines:
        for key in ((category, kind), ("all", "")):
            counts.setdefault(key, Counter()).update(("attempts", word, control))
    order = {name: place for place, name in enumerate((*attempts.CATEGORIES, "all"))}
    rows = [
        "| " + " | ".join((*key, *(str(counts[key][column]) for column in _COLUMNS))) + " |"
        for key in sorted(counts, key=lambda key: (order[key[0]], key[1]))
    ]
    head = "| " + " | ".join(("category", "runtime", *_COLUMNS)) + " |"
    return "\n".join((head, "|---|---|" + "---|" * len(_COLUMNS), *rows))


_HEAD = """\
# Attacks

What an agent may try, as data in `tests/attacks/`, and what is expected of each. Every attempt is made in a bottle on
every runtime named here, beside a control that shows that the way it takes works where nothing forbids it; an upstream
that knows the rules of the profile by itself judges what arrives. `python -m tests.attacks.report` makes them all and
prints the table of what it found; so does the end of every run of the tests. This page is made from the data by
`./inv docs`.

**held**: the attempt gets nothing. **explained**: it gets what it wants, and the page says why that is so. Nothing may
get **through** otherwise.

{table}

## What breaks when a defence is taken away

Each of these is broken on purpose in a bottle of the tests (`tests/attacks/defences.py`), and the attempts beside it
must then be found by the very tests that are green with it.

| broken | on | found |
|---|---|---|
{broken}
"""


def page() -> str:
    """docs/attacks.md: everything that is expected, and nothing that a run measures."""
    from tests.attacks.defences import BROKEN  # it brings the runtimes, which a run alone needs

    rows = (f"| {each.name} | {each.kind} | {', '.join(f'`{name}`' for name in each.found)} |" for each in BROKEN)
    head = _HEAD.format(table=table(expected()), broken="\n".join(rows))
    lines = [line for category in attempts.categories() for line in _section(category)]
    return "\n".join((head, *lines))


def _section(category: attempts.Category) -> Iterator[str]:
    yield from (f"## {category.title}", "", "| attempt | expected | what holds, or why it passes |", "|---|---|---|")
    for attempt in category.attempts:
        places = "" if attempt.runtimes == category.runtimes else f" ({', '.join(attempt.runtimes)})"
        word, reason = (EXPLAINED, attempt.passes) if attempt.passes else (HELD, attempt.held)
        yield f"| `{attempt.name}`{places} | {word} | {reason} |"
    yield ""


def found(reports: Mapping[str, Iterable[object]]) -> list[Line]:
    """The lines that the tests of one run left, whichever process ran them."""
    every = (report for name in ("passed", "failed") for report in reports.get(name, ()))
    kept = (getattr(report, "user_properties", ()) for report in every if getattr(report, "when", "") == "call")
    return [value for properties in kept for name, value in properties if name == PROPERTY]


if __name__ == "__main__":
    import pytest

    sys.exit(pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", "tests/attacks", *sys.argv[1:]]))
