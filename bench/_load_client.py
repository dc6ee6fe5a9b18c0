"""The client of bench/load.py, run inside the bottle: it has the standard library, the bottle's proxy, and no more.

Started as `_load_client.py streams COUNT SECONDS`, or with `requests`, `down` or `up`; prints one line of JSON.
"""

import asyncio
import json
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from egress import HOST, OURS, Way, exchange

STREAMS_HOST = "streams.test"
GAP = 1.0
"""Seconds between two events of a stream, each with its number."""

GIGABYTE = 10**9
REQUESTS, CONNECTIONS = 10_000, 20
_SILENCE = 30
_TEXT, _CLOSE = 0x81, 0x88


@dataclass
class Told:
    """What the streams said; `lost` are numbers that did not follow each other, `together` most open at one time."""

    opened: int = 0
    together: int = 0
    ended: int = 0
    sent: int = 0
    received: int = 0
    lost: int = 0
    broken: list[str] = field(default_factory=list)


def way_to(host: str) -> Way:
    proxy = urlsplit(os.environ["HTTPS_PROXY"])
    assert proxy.hostname
    assert proxy.port
    ca = Path(os.environ["SSL_CERT_FILE"])
    return Way(OURS, ca, f"{host}:443", proxy.port, address=proxy.hostname)


class Stream:
    """One tunnel with TLS of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, told: Told) -> None:
        self.reader, self.writer, self.told = reader, writer, told

    async def ask(self, path: str, headers: str, status: bytes) -> None:
        self.writer.write(f"GET {path} HTTP/1.1\r\nhost: {STREAMS_HOST}\r\n{headers}\r\n".encode())
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 60)
        if head.split()[1] != status:
            raise ConnectionError(f"answered {head!r}")

    async def events(self) -> AsyncIterator[bytes]:
        """What stands in each event, until the chunked body ends as it should."""
        data = b""
        while size := int(await asyncio.wait_for(self.reader.readuntil(b"\r\n"), _SILENCE), 16):
            data += (await self.reader.readexactly(size + 2))[:-2]
            *whole, data = data.split(b"\n\n")
            for event in whole:
                yield event.removeprefix(b"data: ")

    async def follow_sse(self, seconds: float) -> None:
        await self.ask(f"/sse?seconds={seconds}", "", b"200")
        self.opened()
        expected, last = 0, b""
        async for last in self.events():
            if last.startswith(b"end"):
                break
            self.told.received += 1
            self.told.lost += int(last) != expected
            expected = int(last) + 1
        if last != b"end %d" % expected:
            raise ConnectionError(f"ended after {expected} with {last!r}")

    async def follow_ws(self, seconds: float) -> None:
        upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        await self.ask("/ws", upgrade + "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", b"101")
        self.opened()
        end, number = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            self.send(_TEXT, b"%d" % number)
            self.told.sent += 1
            kind, text = await self.frame()
            if kind != _TEXT:
                raise ConnectionError(f"answered by a frame {kind:#x} {text!r}")
            self.told.received += 1
            self.told.lost += text != b"%d" % number
            number += 1
            await asyncio.sleep(GAP)
        self.send(_CLOSE, (1000).to_bytes(2, "big"))
        if (await self.frame())[0] != _CLOSE:
            raise ConnectionError("no end of the websocket")

    def opened(self) -> None:
        self.told.opened += 1
        self.told.together = max(self.told.together, self.told.opened - self.told.ended)

    def send(self, kind: int, payload: bytes) -> None:
        """A frame of a client is masked; by zeroes it stays as it is."""
        self.writer.write(bytes((kind, 0x80 | len(payload))) + bytes(4) + payload)

    async def frame(self) -> tuple[int, bytes]:
        """Ours are all short."""
        kind, size = await asyncio.wait_for(self.reader.readexactly(2), _SILENCE)
        return kind, await self.reader.readexactly(size)


async def streams(count: int, seconds: float) -> dict[str, object]:
    """Half of the streams are events from the provider, half messages that come back; all are open at once."""
    told, way, begun = Told(), way_to(STREAMS_HOST), time.monotonic()
    trust = ssl.create_default_context(cafile=str(way.ca))

    async def one(number: int) -> None:
        follow = Stream.follow_sse if number % 2 else Stream.follow_ws
        try:
            raw = await asyncio.to_thread(way.tunnel)
            reader, writer = await asyncio.open_connection(sock=raw, ssl=trust, server_hostname=STREAMS_HOST)
            await follow(Stream(reader, writer, told), seconds)
            told.ended += 1
            writer.close()
        except (Exception, SystemExit) as e:  # noqa: BLE001 - whatever ended it, a stream was dropped
            told.broken.append(f"{follow.__name__} after {time.monotonic() - begun:.0f} s: {type(e).__name__} {e}")

    await asyncio.gather(*(one(number) for number in range(count)))
    return asdict(told)


def requests() -> None:
    """Small requests over some connections at once. One that fails ends the run."""

    def some(_: int) -> None:
        with way_to(HOST).connect() as tls:
            for _ in range(REQUESTS // CONNECTIONS):
                exchange(tls, answer=100)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(some, range(CONNECTIONS)))


def down() -> None:
    with way_to(HOST).connect() as tls:
        exchange(tls, answer=GIGABYTE)


def up() -> None:
    with way_to(HOST).connect() as tls:
        exchange(tls, answer=2, body=GIGABYTE)


def main(what: str, *numbers: str) -> None:
    begun = time.perf_counter()
    if what == "streams":
        said = asyncio.run(streams(int(numbers[0]), float(numbers[1])))
    else:
        {"requests": requests, "down": down, "up": up}[what]()
        said = {}
    print(json.dumps({**said, "seconds": time.perf_counter() - begun}))


if __name__ == "__main__":
    main(*sys.argv[1:])
