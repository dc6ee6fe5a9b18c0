"""A process beside a bottle's first one, and who reads its output."""

import asyncio
import os
import socket
import threading

from runtime.bubblewrap.inside import frames
from runtime.bubblewrap.inside.process import Process

PRINTED = 40_000
"""Bytes: fewer than asyncio holds back before it makes a writer wait, more than the socket below takes."""


def test_it_has_ended_when_a_reader_has_the_last_byte() -> None:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    got = bytearray()

    def read() -> None:
        while data := theirs.recv(1000):
            got.extend(data)

    async def run() -> int:
        _, writer = await asyncio.open_connection(sock=ours)
        process = Process()
        process.join(writer)
        process.start(["sh", "-c", f"head -c {PRINTED} /dev/zero"], {"PATH": os.environ["PATH"]}, "/", tty=False)
        await asyncio.to_thread(os.waitpid, process.pid, 0)
        late = threading.Timer(0.2, read)
        late.start()
        await asyncio.wait_for(process.ended(0), 20)
        left = writer.transport.get_write_buffer_size()
        writer.close()
        await asyncio.to_thread(late.join)
        return left

    with theirs:
        assert asyncio.run(run()) == 0
    assert got.count(0) >= PRINTED
    assert got.endswith(frames.document(frames.RESULT, {"status": 0}))
