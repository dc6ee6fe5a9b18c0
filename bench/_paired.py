"""Paired measurements: everything compared is run once a round, in turning order, and ratios are made within rounds.

On a shared machine both halves of a pair meet the same load, so their ratio says more than either time.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else every process measured compiles all of its modules again

Times = Mapping[str, Sequence[float]]


def rounds(count: int, things: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds that each of `things` took, by round; one round before them warms files and caches and does not count."""
    names = list(things)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(count + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            begun = time.perf_counter()
            things[name]()
            if number:
                taken[name].append(time.perf_counter() - begun)
        progress(f"round {number} of {count}")
    progress("")
    return taken


def middle(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratio(times: Times, name: str, floor: str) -> float:
    """Median over the rounds of one time by the other of the same round."""
    return middle([one / other for one, other in zip(times[name], times[floor], strict=True)])


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.2f} ms"


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A Markdown table, so that it can be put into README.md as it is printed."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    print(f"\n{title}\n")
    for number, line in enumerate(lines):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    sys.stdout.flush()
