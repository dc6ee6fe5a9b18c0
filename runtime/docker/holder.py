"""Holds a bottle's sidecars on the host: writes down what they decide, and when it ends their ways out close.

Each sidecar's input is a connection that this process has, and nobody else: however this ends, the input ends, and with
it the sidecar's command. An engine that is killed leaves the input open, so a beat goes through it for as long as this
process reads; without one the command ends too. Runs by itself, with the standard library alone; its control socket is
its stdin.
"""

import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from runtime.audit.writer import Failed, Order, Writer

READY = b"bottlegen: ready"
BEAT = 5.0
"""Seconds between two beats. A sidecar bears six without one (images/sidecar/entry.sh): a disk that is slow to take
what is written, which holds this process up, is no reason to end it."""

_CHUNK = 65536
_MESSAGE = 65536
_PING = b"GET /_ping HTTP/1.0\r\n\r\n"
_PATIENCE = 2.0
"""Seconds for an engine's answer: a crashed one is begun again no sooner."""

_HEADER, _STDOUT = 8, 1
"""Frames of a stream without a terminal (Engine API: attach)."""


class Sidecar:
    """One stream from `engine`, an address: its frames taken apart, its output to the writer where it has one, its
    readiness to who waits."""

    def __init__(self, stream: socket.socket, reply: socket.socket, writer: Writer | None, engine: Any = None) -> None:
        self.stream = stream
        self.engine = engine
        self.writer = writer
        self._reply: socket.socket | None = reply
        self._header = b""
        self._left = 0
        self._said = b""

    def answer(self, **said: object) -> None:
        if self._reply:
            try:
                self._reply.send(json.dumps(said).encode())
            except OSError:
                self._reply = None  # who started the bottle is gone, or no longer waits

    def beat(self) -> None:
        """Its material came before it with its length, so no beat is taken for a part of that. Never waits: an engine
        that takes nothing more is not alive, and that the stream has ended is read, not written."""
        with suppress(OSError):
            self.stream.send(b"\n", socket.MSG_DONTWAIT)

    def take(self, data: bytes) -> None:
        """The next bytes of the stream."""
        while data:
            if not self._left:
                wanted = _HEADER - len(self._header)
                self._header, data = self._header + data[:wanted], data[wanted:]
                if len(self._header) < _HEADER:
                    return
                self._left = int.from_bytes(self._header[4:], "big")
                if self._left:
                    continue
            payload, data = data[: self._left], data[self._left :]
            self._left -= len(payload)
            self._heard(self._header[0], payload)
            if not self._left:
                self._header = b""

    def _heard(self, kind: int, payload: bytes) -> None:
        if kind == _STDOUT:
            if self.writer:
                self.writer.feed(payload)
        elif self._reply:
            self._said = self._said[-len(READY) :] + payload
            if READY in self._said:
                self.answer(ready=True)
                self._reply = None


class Holder:
    def __init__(self, control: socket.socket, now: Callable[[], float] = time.monotonic) -> None:
        self._control = control
        self._now = now
        self._beaten = -BEAT
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._sidecars: list[Sidecar] = []

    def run(self) -> None:
        """Until the last sidecar has ended and nobody can bring another."""
        while self._selector.get_map():
            for key, _ in self._selector.select(self.patience()):
                if key.data:
                    self._read(key.data)
                else:
                    self._more()
            for each in self._sidecars:
                if each.writer:
                    each.writer.tick()
            self.beat()

    def patience(self) -> float | None:
        """Seconds until there is something to do that nobody brings; None while there is nothing."""
        if not self._sidecars:
            return None
        waits = any(each.writer and each.writer.waits for each in self._sidecars)
        return min(1.0 if waits else BEAT, max(0.0, self._beaten + BEAT - self._now()))

    def beat(self) -> None:
        """Of all sidecars, when it is time."""
        if self._now() < self._beaten + BEAT:
            return
        self._beaten = self._now()
        for each in self._sidecars:
            each.beat()

    def _more(self) -> None:
        message, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE, 2)
        if not message:
            self._selector.unregister(self._control)
            return
        told: dict[str, Any] = json.loads(message)
        stream, reply = (socket.socket(fileno=number) for number in descriptors)
        writer = Writer(Order(**told["order"])) if told["order"] else None
        sidecar = Sidecar(stream, reply, writer, stream.getpeername())
        self._sidecars.append(sidecar)
        if writer:
            try:
                writer.begin()
            except Failed as e:
                sidecar.answer(failed=str(e))
                raise
        sidecar.answer(recording=True, losing=writer.reason if writer else "")
        self._selector.register(stream, selectors.EVENT_READ, sidecar)

    def _read(self, sidecar: Sidecar) -> None:
        try:
            data = sidecar.stream.recv(_CHUNK)
        except OSError:
            data = b""
        if data:
            sidecar.take(data)
            return
        self._selector.unregister(sidecar.stream)
        self._sidecars.remove(sidecar)
        if not sidecar.writer:
            return
        if _answers(sidecar.stream.family, sidecar.engine):
            sidecar.writer.end()
        else:
            sidecar.writer.leave()

    def close(self, reason: str) -> None:
        """Nothing goes out from now on: this process ends, and every chain that can still be written says why."""
        for each in self._sidecars:
            each.stream.close()
        for each in self._sidecars:
            if each.writer:
                each.writer.end("closed", reason)


def _answers(family: int, engine: Any) -> bool:
    """Whether the engine lives: one that does ends a stream with its container, a dead one leaves the container."""
    try:
        with socket.socket(family) as asking:
            asking.settimeout(_PATIENCE)
            asking.connect(engine)
            asking.sendall(_PING)
            return asking.recv(5) == b"HTTP/"
    except OSError:
        return False


def main() -> None:
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o077)
    lock = os.open(Path(sys.argv[1]) / "writing", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    holder = Holder(socket.socket(fileno=0))
    try:
        holder.run()
    except Failed as e:
        holder.close(str(e))
        sys.exit(1)


if __name__ == "__main__":
    main()
