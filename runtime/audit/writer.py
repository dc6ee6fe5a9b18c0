"""Writes one sidecar's chain: a line is in the file whole or not at all, and one that could not be written is counted.

Runs in the process that holds the sidecar, with the standard library alone. When it raises Failed, that process
ends, and with it the way out.
"""

import errno
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bottlegen.audit_chain import BEGIN, CLOSED, END, GAP, GENESIS, LONGEST, Head, known, link

FILE_BYTES = 16 * 1024 * 1024
HEAD_BYTES = 1024
"""A head has this size from the beginning: it is written over in place, which a full disk does not hinder."""

_RETRY = 1.0
_DURABLE = 1.0
"""Seconds after which what was written is also on the disk itself: a power cut may cost this much, no crash does."""

_MOST_WAITING = 4 * LONGEST
_REASON = 200


class Failed(Exception):
    """The audit cannot be written, and the bottle's policy is that then nothing goes out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a writer is told, as plain data on its way to another process: where to write, whose lines, what stands in
    each of them and in the first, whether a failure ends the way out, how many bytes the chain may have, and a file
    that the service writes its lines into, where what it prints is somebody else's."""

    folder: str
    service: str
    every: Mapping[str, str]
    first: Mapping[str, str]
    block: bool
    limit: int
    tail: str = ""

    def document(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Writer:
    """`feed` it what the sidecar prints, `tick` now and then, and `end` it."""

    def __init__(self, order: Order, now: Callable[[], float] = time.monotonic) -> None:
        self._order = order
        self._folder = Path(order.folder)
        self._now = now
        self._head = Head(0, GENESIS)
        self._file = self._notes = -1
        self._size = self._total = self._number = 0
        self._rest = b""
        self._skipping = self._ending = False
        self._lost = self._lost_ever = 0
        self._since = self._reason = ""
        self._tried = self._synced = 0.0
        self._tailed = 0
        self._dirty = False

    @property
    def reason(self) -> str:
        """Why lines are being lost; empty while they are not."""
        return self._reason

    def begin(self) -> None:
        """The first line, before the sidecar does anything."""
        self._add([])

    def feed(self, data: bytes) -> None:
        """Write down the audit lines in `data`, which may begin and end within one."""
        *whole, rest = (self._rest + data).split(b"\n")
        if whole and self._skipping:
            del whole[0]
            self._skipping = False
        if len(rest) > _MOST_WAITING:  # no audit line is as long as that
            rest, self._skipping = b"", True
        self._rest = rest
        if found := [fields for raw in whole if (fields := known(raw)) is not None]:
            self._add(found)

    def tick(self) -> None:
        """What time brings: another try after a failure, and bytes from memory to the disk."""
        self._follow()
        if self._reason and self._now() > self._tried + _RETRY:
            self._add([])
        if self._dirty and self._now() > self._synced + _DURABLE:
            self._sync()

    @property
    def waits(self) -> bool:
        """Whether `tick` has something to come back for."""
        return bool(self._dirty or self._reason or self._order.tail)

    def end(self, event: str = END, reason: str = "") -> None:
        """The last line, beyond any limit. What failed stays told in the head."""
        with suppress(Failed):
            self._follow()
        self._ending = True
        with suppress(Failed):
            said = {"reason": reason[:_REASON]} if reason else {}
            if event == CLOSED:
                self._add([{"event": event, **said}], state=CLOSED, reason=reason[:_REASON])
            else:
                self._add([{"event": event, **said}], state="ended")
            self._sync()

    def leave(self) -> None:
        """Without a last line: the chain is broken off, for nobody knows what is decided from now on."""
        with suppress(Failed):
            self._follow()
            self._sync()

    def _follow(self) -> None:
        if not self._order.tail:
            return
        with suppress(FileNotFoundError), Path(self._order.tail).open("rb") as file:
            file.seek(self._tailed)
            data = file.read(_MOST_WAITING)
            self._tailed += len(data)
            self.feed(data)

    def _add(self, entries: list[dict[str, Any]], state: str = "open", reason: str = "") -> None:
        """Write entries down; `reason` stays told in the head, also when they went through."""
        first: list[dict[str, Any]] = [] if self._head.seq else [{"event": BEGIN, **self._order.first}]
        gap = [{"event": GAP, "lost": self._lost, "reason": self._reason, "since": self._since}] if self._reason else []
        head, batch = self._head, b""
        for entry in (*first, *gap, *entries):
            head, line = link(
                head, {"ts": _stamp()} | entry | {"service": self._order.service} | dict(self._order.every)
            )
            batch += line
        try:
            self._append(batch)
        except OSError as e:
            self._failed(len(entries), e)
            return
        self._head = head
        self._lost, self._since, self._reason = 0, "", reason
        self._note(state)

    def _append(self, batch: bytes) -> None:
        """All of it, or OSError and none of it."""
        if self._total + len(batch) > self._order.limit and not self._ending:
            raise OSError(errno.EDQUOT, "the limit that host.toml sets for a run is reached")
        if self._file < 0 or self._size + len(batch) > FILE_BYTES:
            self._rotate()
        left = memoryview(batch)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(batch)
        self._total += len(batch)
        self._dirty = True

    def _rotate(self) -> None:
        if self._notes < 0:
            self._notes = os.open(self._folder / f"{self._order.service}.head", os.O_WRONLY | os.O_CREAT, 0o600)
            os.posix_fallocate(self._notes, 0, HEAD_BYTES)
        name = self._folder / f"{self._order.service}.{self._number + 1:04}.jsonl"
        made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        if self._file >= 0:
            self._sync()
            os.close(self._file)
        self._file, self._size, self._number = made, 0, self._number + 1

    def _failed(self, lines: int, e: OSError) -> None:
        self._reason = (e.strerror or str(e))[:_REASON]
        self._since = self._since or _stamp()
        self._lost += lines
        self._lost_ever += lines
        self._tried = self._now()
        self._note(CLOSED if self._order.block else "losing")
        if self._order.block:
            raise Failed(self._reason) from e

    def _note(self, state: str) -> None:
        """The head, for who verifies and for `ps`."""
        told = {
            "seq": self._head.seq, "hash": self._head.hash, "state": state, "lost": self._lost_ever,
            "reason": self._reason, "since": self._since,
        }  # fmt: skip
        if self._notes >= 0:
            with suppress(OSError):  # what cannot be noted is an older head, which is shorter and not wrong
                os.pwrite(self._notes, json.dumps(told).encode().ljust(HEAD_BYTES - 1) + b"\n", 0)

    def _sync(self) -> None:
        try:
            os.fdatasync(self._file)
        except OSError as e:
            self._failed(0, e)
        self._synced, self._dirty = self._now(), False


def _stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
