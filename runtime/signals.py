"""A bottle ends with the command that holds it: an ending signal undoes first, and no second one stops the undoing."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Never

_Handler = Callable[[int, FrameType | None], object] | signal.Handlers
_ENDING = (signal.SIGTERM, signal.SIGHUP)


def _leave(number: int, _: FrameType | None) -> Never:
    sys.exit(128 + number)


@contextmanager
def undoing_on_end() -> Iterator[None]:
    """SIGTERM and SIGHUP (the terminal is gone) unwind the block like an exit, so that its cleaning up runs."""
    with _handled(_ENDING, _leave):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let the block, a second of cleaning up, finish: who presses Ctrl-C twice wants it gone, not half gone."""
    with _handled((signal.SIGINT, *_ENDING), signal.SIG_IGN):
        yield


@contextmanager
def _handled(numbers: Sequence[signal.Signals], handler: _Handler) -> Iterator[None]:
    """Only the main thread gets signals, and only it may say what becomes of them; elsewhere there is nothing to do."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
