"""First process of an agent's bottle: joins the doors to the egress, waits at the gate, runs the agent, ends with it.

This host speaks to it over a socket that has no name in here, so that nothing in the bottle can pose as the host.
"""

import asyncio
import functools
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from runtime.bubblewrap.inside import frames, passing, placing, rights
from runtime.bubblewrap.inside.process import Process, keep

_SIGNALLED = 128
_LAST_WORDS = 2.0
"""Seconds in which those who have joined take the last output."""


class First:
    """`launch` is what the host wrote for this start: command, environment, doors, trust."""

    def __init__(self, launch: dict[str, Any]) -> None:
        self._launch = launch
        self._main = Process(_log)
        self._open = False
        self._processes: dict[int, Process] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            kind, payload = await _frame(reader)
            if kind == frames.REQUEST:
                told = json.loads(payload)
                await getattr(self, f"_{told.pop('do')}")(reader, writer, **told)
        except (OSError, ValueError, KeyError, frames.Broken, asyncio.IncompleteReadError) as e:
            if not writer.is_closing():
                writer.write(frames.document(frames.RESULT, {"said": f"{type(e).__name__}"}))
        finally:
            writer.close()

    async def _place(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, release: bool) -> None:
        said = ""
        try:
            while (got := await _frame(reader))[0] != frames.END:
                placing.place(got[1])
            if release:
                self._release()
        except OSError as e:
            said = f"{e.strerror}: {e.filename}"
        writer.write(frames.document(frames.RESULT, {"said": said}))
        await writer.drain()

    def _release(self) -> None:
        if self._open:
            return
        self._open = True
        parts = [Path(part) for part in self._launch["trust"]["of"]]
        Path(self._launch["trust"]["into"]).write_bytes(
            b"\n".join(part.read_bytes() for part in parts if part.exists())
        )
        self._start(self._main, self._launch["argv"], {}, tty=self._launch["tty"])

    def _start(self, process: Process, argv: list[str], more: dict[str, str], *, tty: bool) -> None:
        process.start(argv, self._launch["env"] | more, self._launch["cwd"], tty=tty)
        self._processes[process.pid] = process

    async def _attach(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frames.document(frames.ACCEPTED, {"tty": self._launch["tty"]}))
        self._main.join(writer)
        try:
            # A pipe ends with whoever held it; a terminal is left for the next.
            await _feed(self._main, reader)
        finally:
            self._main.leave(writer)

    async def _exec(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        argv: list[str],
        env: dict[str, str],
        tty: bool,
    ) -> None:
        process = Process()
        process.join(writer)
        writer.write(frames.document(frames.ACCEPTED, {"tty": tty}))
        self._start(process, argv, env, tty=tty)
        feeding = asyncio.ensure_future(_feed(process, reader))
        await process.done
        feeding.cancel()
        process.leave(writer)

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if process := self._processes.pop(pid, None):
                keep(asyncio.ensure_future(self._over(process, _status(status))))

    async def _over(self, process: Process, status: int) -> None:
        try:
            await asyncio.wait_for(process.ended(status), _LAST_WORDS if process is self._main else None)
        finally:
            if process is self._main:
                os._exit(status)


async def _feed(process: Process, reader: asyncio.StreamReader) -> None:
    """What the other side sends, until it goes."""
    while True:
        try:
            kind, payload = await _frame(reader)
        except (asyncio.IncompleteReadError, OSError):
            return
        if kind == frames.INPUT:
            await process.feed(payload)
        elif kind == frames.END:
            process.end_input()
        elif kind == frames.WINDOW:
            process.resize(*json.loads(payload)["size"])


async def _frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind, length = frames.split(await reader.readexactly(frames.HEADER.size))
    return kind, await reader.readexactly(length)


def _status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else _SIGNALLED - code


def _log(data: bytes) -> None:
    """To the keeper on the host, which bounds what is kept."""
    while data:
        data = data[os.write(1, data) :]


async def _run(launch: dict[str, Any], listener: socket.socket, doors: list[tuple[socket.socket, str]]) -> None:
    loop = asyncio.get_running_loop()
    first = First(launch)
    loop.add_reader(0, os._exit, 0)  # who holds this bottle on the host is gone
    loop.add_signal_handler(signal.SIGCHLD, first.reap)
    servers = [
        await asyncio.start_server(functools.partial(passing.to_socket, path), sock=door) for door, path in doors
    ]
    servers.append(await asyncio.start_unix_server(first.serve, sock=listener))
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    launch = json.loads(Path(sys.argv[1]).read_bytes())
    rights.close_inherited(len(launch["doors"]))
    listener = socket.socket(fileno=frames.LISTENER)
    doors = [(socket.socket(fileno=frames.DOORS + index), path) for index, path in enumerate(launch["doors"])]
    rights.give_up(launch["uid"], launch["gid"], launch["owned"], launch["limits"])
    asyncio.run(_run(launch, listener, doors))


if __name__ == "__main__":
    main()
