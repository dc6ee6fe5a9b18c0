"""Connections passed on between loopback and unix sockets: each side's end is passed on as an end."""

import asyncio
import socket
import struct

_CHUNK = 1 << 18
_PAUSE = 0.01
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger (socket(7))."""


async def to_socket(path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, passed to the unix socket `path`; reset where nobody is there.

    To git and others a plain end would be an answer without a word, about which they say none either.
    """
    try:
        far_reader, far_writer = await asyncio.open_unix_connection(path)
    except OSError:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.close()
        return
    await _both(reader, writer, far_reader, far_writer)


async def to_port(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, passed to `port` of this loopback."""
    try:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    await _both(reader, writer, far_reader, far_writer)


async def bridge(door: str, port: int) -> None:
    """Offer `port` as the unix socket `door`, from when something listens there."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(_PAUSE)
        else:
            writer.close()
            break

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await to_port(port, reader, writer)

    server = await asyncio.start_unix_server(passed, door)
    await server.serve_forever()


async def _both(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
    for each in (writer, far_writer):
        each.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()
