"""First process of an agent's microVM: makes it a bottle, becomes the agent's user, and reached from this host alone.

It dials out, for nothing can be dialled in: one connection carries the agent's output and its end, another waits for
what this host asks next. The key that tells them from the agent's own is made here and is in no file.
"""

import asyncio
import errno
import json
import os
import secrets
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from runtime.bubblewrap.inside import frames, interceptor, rights, room
from runtime.bubblewrap.inside.agent import First
from runtime.bubblewrap.inside.preamble import EGRESS_ADDRESS
from runtime.bubblewrap.inside.process import Process

_LAST_WORDS = 2.0
_AGAIN = 0.2
_PATIENCE = 20.0


class Guest(First):
    """As the first process of any bottle, but for the way that its words take."""

    def __init__(self, launch: dict[str, Any], uplink: socket.socket) -> None:
        super().__init__(launch)
        self._uplink = uplink
        self._main = Process(self._said)

    def _said(self, data: bytes) -> None:
        self._tell(frames.frame(frames.OUT, data))

    def _tell(self, frame: bytes) -> None:
        with suppress(OSError):  # nobody holds this bottle any more: it reaches nothing, and waits to be removed
            self._uplink.sendall(frame)

    async def _over(self, process: Process, status: int) -> None:
        try:
            await asyncio.wait_for(process.ended(status), _LAST_WORDS if process is self._main else None)
        finally:
            if process is self._main:
                self._tell(frames.document(frames.RESULT, {"status": status}))
                os._exit(status)

    async def answer(self, key: bytes) -> None:
        """Serve what this host asks: one connection is always ready, and the next when it is taken."""
        tasks: set[asyncio.Task[None]] = set()
        while True:
            try:
                reader, writer = await asyncio.open_connection(EGRESS_ADDRESS, interceptor.CONTROL)
                writer.write(key)
                await reader.readexactly(1)
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(_AGAIN)
                continue
            task = asyncio.ensure_future(self.serve(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


def _dial(key: bytes) -> socket.socket:
    """The uplink; the network may be a moment behind the first process."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            made = socket.create_connection((EGRESS_ADDRESS, interceptor.UPLINK), timeout=_PATIENCE)
            made.sendall(key)
            if made.recv(1):
                made.settimeout(None)
                return made
            raise ConnectionResetError(errno.ECONNRESET, "the interceptor hung up")
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(_AGAIN)


async def _run(launch: dict[str, Any], uplink: socket.socket, key: bytes) -> None:
    first = Guest(launch, uplink)
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, first.reap)
    await first.answer(key)


def main() -> None:
    launch = json.loads(Path(sys.argv[1]).read_bytes())
    calls = Path(launch["filter"]).read_bytes()
    os.umask(0o022)
    room.furnish(launch)
    key = secrets.token_bytes(interceptor.KEY_BYTES)
    uplink = _dial(key)
    rights.give_up(launch["uid"], launch["gid"], launch["owned"], launch["limits"])
    room.outlive_parent()
    room.filter_calls(calls)
    asyncio.run(_run(launch, uplink, key))


if __name__ == "__main__":
    main()
