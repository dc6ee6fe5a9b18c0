"""Joining this process's streams to a bottle's: what happens when nobody reads here any more."""

import os
import threading
from collections.abc import Iterator

import pytest

from runtime import terminal


class _Endless:
    """A far side that writes until it is closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def output(self) -> Iterator[tuple[int, bytes]]:
        while not self.closed.is_set():
            yield 1, b"more\n"

    def send(self, data: bytes) -> None: ...
    def end_input(self) -> None: ...
    def close(self) -> None:
        self.closed.set()


def test_a_reader_that_goes_away_ends_this_process() -> None:
    """As in `up -- seq 1000000 | head -1`: the bottle would stay up otherwise, with nobody to hold it."""
    reading, writing = os.pipe()
    os.close(reading)
    kept = os.dup(1)
    os.dup2(writing, 1)
    remote = _Endless()
    try:
        with pytest.raises(SystemExit) as ended:
            terminal.join(remote, tty=False, stdin=False)
    finally:
        os.dup2(kept, 1)
        for number in (kept, writing):
            os.close(number)
    assert ended.value.code == 141
    assert remote.closed.is_set()
