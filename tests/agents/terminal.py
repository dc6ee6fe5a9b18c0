"""A terminal with a person's patience: it answers what terminals are asked, and shows what was drawn as plain words."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Self

# What a program may ask of its terminal, and what a plain one says: cursor position, device attributes, colours.
_ANSWERS = (
    (re.compile(rb"\x1b\[6n"), b"\x1b[1;1R"),
    (re.compile(rb"\x1b\[0?c"), b"\x1b[?62;c"),
    (re.compile(rb"\x1b\]10;\?"), b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\"),
    (re.compile(rb"\x1b\]11;\?"), b"\x1b]11;rgb:0000/0000/0000\x1b\\"),
)
_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-HJKSTdfhl]|\r|\n")
_OTHER = re.compile(r"\x1b(?:\[[0-9;:?<=>$ ]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|.)|[\x00-\x1f]")


class Terminal:
    """A program on a 50 x 160 pseudo-terminal; `with` ends it and all that it started."""

    def __init__(self, command: tuple[str, ...], *, env: dict[str, str], cwd: Path, user: int | None) -> None:
        self._main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        self._process = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
        )
        os.close(side)
        self._drawn = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._main)

    @property
    def words(self) -> str:
        """Everything drawn so far, in order, as words with single spaces."""
        text = _MOVES.sub(" ", self._drawn.decode(errors="replace"))
        return " ".join(_OTHER.sub("", text).split())

    def wait_for(self, pattern: str, seconds: float = 60) -> None:
        """Return when the words match; AssertionError shows them when they do not in time, or the program ends."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.words):
            assert time.monotonic() < end, f"no {pattern!r} on the screen: {self.words[-3000:]}"
            assert self._read(0.2), f"ended without {pattern!r} on the screen: {self.words[-3000:]}"

    def settle(self, quiet: float = 1.0, seconds: float = 20) -> None:
        """Return when nothing has been drawn for `quiet` seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            before = len(self._drawn)
            self._read(quiet)
            if len(self._drawn) == before:
                return

    def resize(self, rows: int, columns: int) -> None:
        """As when a window is dragged: the new size, and the signal that says so."""
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process.send_signal(signal.SIGWINCH)

    def ended(self, seconds: float = 30) -> int:
        """The exit status, once the program is over; what it draws until then is taken."""
        end = time.monotonic() + seconds
        while self._read(0.05) and self._process.poll() is None:
            assert time.monotonic() < end, f"does not end: {self.words[-3000:]}"
        return self._process.wait(seconds)

    def type(self, keys: str) -> None:
        os.write(self._main, keys.encode())

    def _read(self, seconds: float) -> bool:
        """Take what is drawn within `seconds`; False when the program has closed its side."""
        if not select.select([self._main], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._main, 65536)
        except OSError:  # Linux says EIO where others give an end of file
            return False
        self._drawn += data
        for question, answer in _ANSWERS:
            for _ in question.finditer(data):
                os.write(self._main, answer)
        return bool(data)
