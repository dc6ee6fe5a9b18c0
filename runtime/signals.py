"""A bottle ends with the command that holds it: an ending signal undoes first, and no second one stops the undoing."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Never

_ENDING = (signal.SIGTERM, signal.SIGHUP)


def _leave(number: int, _: FrameType | None) -> Never:
    sys.exit(128 + number)


@contextmanager
def undoing_on_end() -> Iterator[None]:
    """SIGTERM and SIGHUP (the terminal is gone) unwind the block like an exit, so that its cleaning up runs."""
    before = {number: signal.signal(number, _leave) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let the block, a second of cleaning up, finish: who presses Ctrl-C twice wants it gone, not half gone."""
    numbers = (signal.SIGINT, *_ENDING)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
