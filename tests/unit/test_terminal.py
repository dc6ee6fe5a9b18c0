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


class _Stuck(_Endless):
    """A far side that says nothing and does not heed its end at once; it cannot be sent to."""

    def output(self) -> Iterator[tuple[int, bytes]]:
        self.closed.wait()
        yield from ()

    def send(self, data: bytes) -> None:
        raise ValueError("cannot be sent to")

    def close(self) -> None: ...


def test_a_far_side_that_lasts_longer_touches_no_file_opened_since() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"x")
    kept = os.dup(0)
    os.dup2(reading, 0)
    remote = _Stuck()
    others = threading.enumerate()
    try:
        with pytest.raises(ValueError, match="cannot be sent to"):
            terminal.join(remote, tty=False, stdin=True)
        source, sink = os.pipe()
        remote.closed.set()
        for thread in threading.enumerate():
            if thread not in others:
                thread.join(timeout=5)
        os.write(sink, b"mine")
        assert os.read(source, 10) == b"mine"
    finally:
        os.dup2(kept, 0)
        for number in (kept, reading, writing, source, sink):
            os.close(number)
