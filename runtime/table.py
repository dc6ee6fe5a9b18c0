"""A table of plain text for terminals and pipes: what a cell holds stays in its cell."""

from collections.abc import Iterable

from bottlegen.wording import seen


def print_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    lines = [head, *(tuple(map(seen, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
