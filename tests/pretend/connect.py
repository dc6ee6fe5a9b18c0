"""A forward proxy for tests that leads every CONNECT to one address, whatever host it names, and keeps the names."""

import asyncio
from collections.abc import Collection
from types import TracebackType
from typing import Self

from tests.pretend.thread import LoopThread


class Forwarder:
    """`asked` holds the authority of every CONNECT in order. It opens no connection but to `target`, and none at all
    for an authority that is not `allowed`, when that is given."""

    def __init__(self, target: tuple[str, int], *, allowed: Collection[str] | None = None) -> None:
        self.allowed = allowed
        self.target = target
        self.asked: list[str] = []
        self.url = ""
        self._server: asyncio.Server | None = None
        self._thread: LoopThread | None = None

    def __enter__(self) -> Self:
        self._thread = LoopThread("test forwarder")
        self._thread.do(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._thread:
            self._thread.do(self._close())
            self._thread.stop()

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"
        self._server = server

    async def _close(self) -> None:
        if self._server:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        method, authority, _ = head.split("\r\n", 1)[0].split(" ", 2)
        self.asked.append(authority)
        if method != "CONNECT":
            writer.write(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n")
            writer.close()
            return
        if self.allowed is not None and authority not in self.allowed:
            writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            writer.close()
            return
        upstream_reader, upstream_writer = await asyncio.open_connection(*self.target)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_copy(reader, upstream_writer), _copy(upstream_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
