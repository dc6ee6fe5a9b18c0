"""Stands on the host for an agent in a microVM: all that the guest dials comes here, and what is no door is refused.

It has no network of its own, only the listening socket that it was started with and the doors of the egress. The
guest's first process brings the agent's output and its end over one connection, and keeps others ready on which this
host speaks to it. When this process ends, the guest reaches nothing.
"""

import asyncio
import contextlib
import datetime
import hmac
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from runtime.bubblewrap.inside import frames, preamble, rights

UPLINK, CONTROL = 1, 2
"""Ports of the egress's address that are no doors: the first process's own connections."""

KEY_BYTES = 32
_CHUNK = 1 << 18
_PATIENCE = 10.0
_LAST_WORDS = 3.0
_FIRST = 90.0
"""Seconds in which the guest's first process comes: a fraction of one, half a minute where processors are emulated."""

_DENIED_BYTES = 4 * 1024 * 1024


class Interceptor:
    """`launch` says the token, the doors and where refusals are written down."""

    def __init__(self, launch: dict[str, Any]) -> None:
        self._launch = launch
        self._token = bytes.fromhex(launch["token"])
        self._doors: dict[int, str] = {int(port): path for port, path in launch["doors"].items()}
        self._key = b""
        self._parked: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._joined: set[asyncio.Task[Any]] = set()

    async def from_guest(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection that the monitor passed on."""
        try:
            wanted = await asyncio.wait_for(self._wanted(reader), _PATIENCE)
            own = {UPLINK} if not self._key else {CONTROL}
            said = preamble.verdict(wanted, own | self._doors.keys())
            if said != preamble.CONNECTED:
                self._refused(wanted)
                writer.write(bytes([said]))
                await writer.drain()
            elif wanted.port in self._doors:
                await self._door(self._doors[wanted.port], reader, writer)
            else:
                writer.write(bytes([preamble.CONNECTED]))
                await (self._uplink if wanted.port == UPLINK else self._park)(reader, writer)
        except (preamble.NotAllowed, asyncio.IncompleteReadError, TimeoutError, OSError, frames.Broken):
            pass  # not answered
        finally:
            writer.close()

    async def _wanted(self, reader: asyncio.StreamReader) -> preamble.Destination:
        length, port = preamble.head(await reader.readexactly(preamble.HEAD.size), self._token)
        return preamble.destination(port, await reader.readexactly(length))

    def _refused(self, wanted: preamble.Destination) -> None:
        """A line as the egress writes them, so that `logs --audit` shows both."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {
            "ts": now, "bottle": self._launch["bottle"], "bundle": self._launch["bundle"], "decision": "deny",
            "method": "TCP", "host": wanted.host, "port": wanted.port, "reason": "not the egress",
        }  # fmt: skip
        path = Path(self._launch["denied"])
        if not path.exists() or path.stat().st_size < _DENIED_BYTES:
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")

    async def _door(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(path)
        except OSError:
            writer.write(bytes([preamble.UNREACHABLE]))
            await writer.drain()
            return
        writer.write(bytes([preamble.CONNECTED]))
        try:
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        finally:
            far_writer.close()

    async def _uplink(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The first process's own connection, the first that comes: before it, nothing of the agent's can run."""
        self._key = await reader.readexactly(KEY_BYTES)
        writer.write(b"\0")
        while True:
            kind, length = frames.split(await reader.readexactly(frames.HEADER.size))
            payload = await reader.readexactly(length)
            if kind == frames.OUT:
                _log(payload)
            elif kind == frames.RESULT:
                await self._end(int(json.loads(payload)["status"]))

    async def _end(self, status: int) -> None:
        """End as the agent ended, once those who have joined have heard it."""
        if self._joined:
            await asyncio.wait(self._joined, timeout=_LAST_WORDS)
        os._exit(status & 0xFF)

    async def _park(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep a connection of the first process for who on this host asks next; it alone knows the key."""
        if not hmac.compare_digest(await asyncio.wait_for(reader.readexactly(KEY_BYTES), _PATIENCE), self._key):
            raise preamble.NotAllowed
        self._parked.put_nowait((reader, writer))
        await writer.wait_closed()

    async def from_host(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of this host, joined to a connection of the guest's first process."""
        task = asyncio.current_task()
        assert task
        self._joined.add(task)
        far_writer = None
        try:
            far_reader, far_writer = await asyncio.wait_for(self._next(), _FIRST)
            far_writer.write(b"\0")  # taken: the guest readies another
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer, close=True))
        except TimeoutError:
            said = f"nothing was heard of the machine's first process for {_FIRST:.0f} s"
            writer.write(frames.document(frames.RESULT, {"said": said}))
        except OSError:
            pass
        finally:
            for each in (writer, far_writer):
                if each:
                    each.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._joined.discard(task)

    async def _next(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that the guest has not closed meanwhile."""
        while True:
            reader, writer = await self._parked.get()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, close: bool = False) -> None:
    """Pass bytes on until they end; the end is passed on, or with `close` ends both ways."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if close:
            writer.close()
        elif writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


def _log(data: bytes) -> None:
    """To the keeper on the host, which bounds what is kept."""
    while data:
        data = data[os.write(1, data) :]


async def _run(launch: dict[str, Any], guest: socket.socket, host: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    loop.add_reader(0, os._exit, 0)  # who holds this bottle on the host is gone
    it = Interceptor(launch)
    servers = [
        await asyncio.start_server(it.from_guest, sock=guest),
        await asyncio.start_unix_server(it.from_host, sock=host),
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    launch = json.loads(Path(sys.argv[1]).read_bytes())
    rights.close_inherited(1)
    os.umask(0o077)
    host, guest = socket.socket(fileno=frames.LISTENER), socket.socket(fileno=frames.DOORS)
    rights.give_up(launch["uid"], launch["gid"], (), launch["limits"])
    asyncio.run(_run(launch, guest, host))


if __name__ == "__main__":
    main()
