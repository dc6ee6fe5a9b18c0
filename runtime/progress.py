"""Says what takes long: a live line on a terminal, plain lines elsewhere, nothing for what is over within a second."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from runtime.base import Progress, Step

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

QUIET_SECONDS = 1.0
"""What ends within this needs no word."""

_NOTE_SECONDS = 2.0
"""Least time between two plain lines of one step: a build log is not a progress display."""


def make_progress(stream: TextIO | None = None) -> Progress:
    """Progress for `stream` (stderr): live on a terminal, plain otherwise."""
    stream = stream or sys.stderr
    return LiveProgress(stream) if stream.isatty() else PlainProgress(stream)


class PlainProgress:
    """A line when a step has lasted a second, for its notes now and then, and when it ends."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        step = _PlainStep(title, self._stream)
        timer = threading.Timer(QUIET_SECONDS, step.announce)
        timer.daemon = True
        timer.start()
        try:
            yield step
        finally:
            timer.cancel()
        step.finish()


class _PlainStep:
    def __init__(self, title: str, stream: TextIO) -> None:
        self._title = title
        self._stream = stream
        self._began = time.monotonic()
        self._last = 0.0
        self._announced = False

    def announce(self) -> None:
        self._announced = True
        self._say("…")

    def note(self, text: str) -> None:
        if self._announced and time.monotonic() - self._last >= _NOTE_SECONDS:
            self._say(f": {text}")

    def advance(self, done: int, total: int) -> None:
        if total:
            self.note(f"{100 * done // total} %")

    def finish(self) -> None:
        if self._announced:
            self._say(f": done in {time.monotonic() - self._began:.1f} s")

    def _say(self, text: str) -> None:
        self._last = time.monotonic()
        print(f"{self._title}{text}", file=self._stream, flush=True)


class LiveProgress:
    """One live line a running step, drawn by rich; a line that stays for each step that took over a second."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream)
        self._lock = threading.Lock()
        self._users = 0
        self._bars: Bars | None = None

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        began = time.monotonic()
        with self._display() as bars:
            task = bars.add_task(title, total=None, note="")
            try:
                yield _LiveStep(bars, task)
            finally:
                bars.remove_task(task)
            seconds = time.monotonic() - began
            if seconds >= QUIET_SECONDS:
                bars.console.print(f"[green]✓[/] {title} [dim]{seconds:.1f} s[/]", highlight=False)

    @contextmanager
    def _display(self) -> Iterator["Bars"]:
        """One live display for all steps that run at the same time."""
        with self._lock:
            bars = self._bars
            if bars is None:
                bars = self._bars = self._make()
                bars.start()
            self._users += 1
        try:
            yield bars
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    bars.stop()
                    self._bars = None

    def _make(self) -> "Bars":
        from rich.progress import (
            BarColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=self._console,
            transient=True,
        )


class _LiveStep:
    def __init__(self, bars: "Bars", task: "TaskID") -> None:
        self._bars = bars
        self._task = task

    def note(self, text: str) -> None:
        self._bars.update(self._task, note=text[:60])

    def advance(self, done: int, total: int) -> None:
        self._bars.update(self._task, completed=done, total=total or None)
