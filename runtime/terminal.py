"""Joins this process's terminal or pipes to a remote stream, and gives the terminal back as it was in every case."""

import os
import selectors
import signal
import termios
import threading
import tty as ttymode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol

TERMINAL_NAMES = ("TERM", "COLORTERM", "LANG", "LC_ALL", "TZ")
"""The variables of the host that pass into a bottle: how its terminal is drawn, and nothing else."""

_CHUNK = 65536
# What a full-screen program may have left on when the terminal is taken from it: hidden cursor, mouse reports, focus
# reports, bracketed paste (xterm control sequences).
_CALM = b"\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l"


class Remote(Protocol):
    """The far side: `output` yields (1 or 2, bytes) and ends when the far side does."""

    def send(self, data: bytes) -> None: ...
    def end_input(self) -> None: ...
    def output(self) -> Iterator[tuple[int, bytes]]: ...
    def close(self) -> None: ...


Resize = Callable[[int, int], None]


def join(remote: Remote, *, tty: bool, stdin: bool, resize: Resize | None = None) -> None:
    """Copy both ways until the remote's output ends; without `stdin` nothing is read here.

    With `tty`, keys go over raw, Ctrl-C too, and `resize(rows, columns)` follows the window. When nobody reads what is
    written here any more, this process ends as any other would: SystemExit with the status of SIGPIPE."""
    wake, waker = os.pipe()
    unread = threading.Event()
    reader = threading.Thread(target=_drain, args=(remote, waker, unread), daemon=True)
    try:
        with _raw_terminal(tty=tty), _window(resize if tty else None):
            reader.start()
            _feed(remote, wake, stdin=stdin)
            reader.join(timeout=5)
    finally:
        remote.close()
        reader.join(timeout=1)
        os.close(wake)
        if reader.ident is None:
            os.close(waker)
    if unread.is_set():
        raise SystemExit(128 + signal.SIGPIPE)


def _drain(remote: Remote, waker: int, unread: threading.Event) -> None:
    """Ends with `waker` closed. It is closed nowhere else: this thread may outlast the join, and the number would be
    another file's."""
    try:
        for number, data in remote.output():
            _write(number, data)
    except BrokenPipeError:
        unread.set()  # our own reader went away, as in `… | head`
    except OSError:
        pass  # the far side broke off, or the terminal hung up: nothing more to say
    finally:
        os.close(waker)


def _write(number: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(number, view) :]


def _feed(remote: Remote, wake: int, *, stdin: bool) -> None:
    """Send what comes on stdin until the remote's output has ended."""
    # poll, not epoll: stdin may be a plain file, which epoll refuses.
    with selectors.PollSelector() as selector:
        selector.register(wake, selectors.EVENT_READ)
        if stdin:
            selector.register(0, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if wake in ready:
                return
            if 0 in ready and not _forward(remote):
                selector.unregister(0)


def _forward(remote: Remote) -> bool:
    """False when there is no more to send."""
    try:
        data = os.read(0, _CHUNK)
    except OSError:  # the terminal hung up
        data = b""
    try:
        if data:
            remote.send(data)
            return True
        remote.end_input()
    except OSError:
        pass  # the process has gone; its output ends on its own
    return False


@contextmanager
def _raw_terminal(*, tty: bool) -> Iterator[None]:
    if not tty or not os.isatty(0):
        yield
        return
    before = termios.tcgetattr(0)
    with _ending_signals():
        try:
            ttymode.setraw(0, termios.TCSADRAIN)  # the default would throw away what was typed meanwhile
            yield
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
            if os.isatty(1):
                with suppress(OSError):
                    os.write(1, _CALM)


@contextmanager
def _ending_signals() -> Iterator[None]:
    """A signal that ends this process must not leave a raw terminal behind: it unwinds instead."""

    def unwind(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    with _handlers({signal.SIGTERM: unwind, signal.SIGHUP: unwind}):
        yield


@contextmanager
def _window(resize: Resize | None) -> Iterator[None]:
    if resize is None or not os.isatty(1):
        yield
        return

    def report(*_: object) -> None:
        with suppress(OSError):
            columns, rows = os.get_terminal_size(1)
            if rows and columns:
                resize(rows, columns)

    report()
    with _handlers({signal.SIGWINCH: report}):
        yield


@contextmanager
def _handlers(handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
