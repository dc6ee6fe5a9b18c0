"""One real bottle under load: many open streams for long, large bodies, many requests; nothing may be lost.

`up --detach` makes a bottle of bubblewrap with a pretend provider of this host for its upstream; the client runs inside
by `exec`. Nothing leaves this machine. `--seconds` is how long the streams are open.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _load_client import CONNECTIONS, GAP, REQUESTS, STREAMS_HOST
from _paired import progress, table
from aiohttp import WSMsgType, web
from bubblewrap import Bench, descendants, kind, share
from egress import HERE, HOST, ended, free_port

STREAMS = 200
_CLIENT = ("_load_client.py", "egress.py", "_paired.py")
_SAMPLE = 5.0
_TOKEN = "bench"
_REST = 600
"""Seconds that the bottle lives beside the streams, for what comes before and after them."""

_SETTLED = 60.0
"""Seconds after which memory is compared: buffers of all streams exist by then."""

_ROUTE = """
[[egress.routes]]
host = "{}"
auth = {{ token_ref = "BENCH_TOKEN" }}
"""


class Provider:
    """The upstream of the streams, and its own count of what it sent and heard."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sent = 0
        self.heard = 0

    async def sse(self, request: web.Request) -> web.StreamResponse:
        """Numbered events, then one that says how many there were."""
        end = time.monotonic() + float(request.query["seconds"])
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        number = 0
        while time.monotonic() < end:
            await answer.write(b"data: %d\n\n" % number)
            number += 1
            self.sent += 1
            await asyncio.sleep(GAP)
        await answer.write(b"data: end %d\n\n" % number)
        return answer

    async def echo(self, request: web.Request) -> web.WebSocketResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for message in answer:
            if message.type == WSMsgType.TEXT:
                self.heard += 1
                await answer.send_str(message.data)
                self.sent += 1
        return answer

    @contextlib.asynccontextmanager
    async def serving(self, chain: Path, key: Path) -> AsyncIterator[None]:
        application = web.Application(middlewares=[insist])
        application.router.add_get("/sse", self.sse)
        application.router.add_get("/ws", self.echo)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=context, backlog=STREAMS).start()
        try:
            yield
        finally:
            await runner.cleanup()


@web.middleware
async def insist(request: web.Request, handler: Any) -> web.StreamResponse:
    """The client has no credential: a stream that comes without one did not come through the sidecar."""
    if request.headers.get("authorization") != f"Bearer {_TOKEN}":
        raise web.HTTPUnauthorized
    answer: web.StreamResponse = await handler(request)
    return answer


@dataclass(frozen=True)
class Loaded:
    """A running bottle, the upstream of its streams, and the two processes that all bytes pass.

    They are the sidecar's Envoy, and the agent's first process, which holds the doors to it.
    """

    bench: Bench
    envoy: int
    doors: int
    provider: Provider
    chain: Path
    key: Path

    def run(self, *what: str) -> dict[str, Any]:
        """The client inside the bottle; what it says."""
        from bottlegen.plan import WORKSPACE
        from runtime.bubblewrap import tools

        client = (str(tools.find(os.environ).python), f"{WORKSPACE}/{_CLIENT[0]}", *what)
        said: dict[str, Any] = json.loads(self.bench.bottlegen("exec", "--name", self.bench.name, "--", *client))
        return said

    def processor(self) -> tuple[float, float]:
        """Seconds that the sidecar and the doors have taken."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in (self.envoy, self.doors)]
        envoy, doors = ((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") for fields in stats)
        return envoy, doors

    def memory(self) -> tuple[float, ...]:
        return tuple(share(*one) for _, *one in self.sizes())

    def sizes(self) -> tuple[tuple[str, int, str], ...]:
        """What is watched. RSS beside PSS, which rises and falls with the other bottles that share Envoy's pages."""
        return (
            ("PSS of the sidecar", self.envoy, "Pss"),
            ("RSS of the sidecar", self.envoy, "Rss"),
            ("RSS of the doors", self.doors, "Rss"),
        )

    def peak(self) -> float:
        match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.envoy}/status").read_text())
        return int(match[1]) / 1024 if match else 0


@contextlib.contextmanager
def bottle(folder: Path, seconds: float) -> Iterator[Loaded]:
    """A bottle with its two upstreams, of which the one for bodies runs."""
    from tests.dataplane.sidecar import authority

    trusted = authority((HOST, STREAMS_HOST))
    (folder / "ca.pem").write_bytes(trusted.certificate)
    for leaf in trusted.leaves:
        (folder / f"{leaf.host}.chain").write_bytes(leaf.chain)
        (folder / f"{leaf.host}.key").write_bytes(leaf.key)
    profile = folder / "load.toml"
    profile.write_text('[agent_provider]\ntemplate = "shell"\n' + _ROUTE.format(HOST) + _ROUTE.format(STREAMS_HOST))
    command = [sys.executable, str(HERE / "_upstream.py"), str(folder / f"{HOST}.chain"), str(folder / f"{HOST}.key")]
    with ended(subprocess.Popen(command, stdout=subprocess.PIPE)) as upstream:
        assert upstream.stdout
        ports = {HOST: int(upstream.stdout.readline()), STREAMS_HOST: free_port()}
        hosts = "".join(f'"{host}" = "127.0.0.1:{port}"\n' for host, port in ports.items())
        bench = Bench(folder, f'[upstream]\nca_file = "{folder}/ca.pem"\n[upstream.hosts]\n{hosts}')
        bench.env["BENCH_TOKEN"] = _TOKEN
        for name in _CLIENT:
            shutil.copy(HERE / name, bench.work)
        try:
            bench.up(profile=profile, seconds=int(seconds) + _REST)
            envoy = next(pid for pid in descendants(bench) if kind(pid) == "Envoy")
            doors = next(pid for pid in descendants(bench) if is_doors(pid))
            streamed = (folder / f"{STREAMS_HOST}.{end}" for end in ("chain", "key"))
            yield Loaded(bench, envoy, doors, Provider(ports[STREAMS_HOST]), *streamed)
        finally:
            bench.bottlegen("down", "--purge", "--name", bench.name)


def is_doors(pid: int) -> bool:
    return kind(pid) == "two first processes" and b".inside.agent" in Path(f"/proc/{pid}/cmdline").read_bytes()


Memory = list[tuple[float, ...]]
"""Seconds since the streams began, then what `Loaded.sizes` names."""


async def streams(loaded: Loaded, seconds: float) -> tuple[dict[str, Any], Memory]:
    memory: Memory = [(0, *loaded.memory())]
    begun = time.monotonic()
    async with loaded.provider.serving(loaded.chain, loaded.key):
        client = asyncio.create_task(asyncio.to_thread(loaded.run, "streams", str(STREAMS), str(seconds)))
        while not client.done():
            await asyncio.wait([client], timeout=_SAMPLE)
            at = time.monotonic() - begun
            if at < seconds:  # later ones are closing
                memory.append((at, *loaded.memory()))
            progress(f"{at:.0f} of {seconds:.0f} s, {loaded.provider.sent} events")
    progress("")
    return await client, memory


def missing(told: dict[str, Any], provider: Provider) -> int:
    """Events that one side sent and the other never had, either way."""
    return int(abs(provider.sent - told["received"]) + abs(told["sent"] - provider.heard))


def of_streams(told: dict[str, Any], memory: Memory, loaded: Loaded, seconds: float) -> list[list[str]]:
    provider = loaded.provider
    settled = [one for one in memory if one[0] >= min(_SETTLED, seconds / 4)] or memory[-1:]
    rows = [
        ["streams opened, at once, kept to the end", f"{told['opened']}, {told['together']}, {told['ended']}"],
        ["open for", f"{seconds:.0f} s"],
        ["events sent by the provider, received inside", f"{provider.sent}, {told['received']}"],
        ["messages sent inside, received by the provider", f"{told['sent']}, {provider.heard}"],
        ["never received, out of order", f"{missing(told, provider)}, {told['lost']}"],
    ]
    for column, (name, _, _) in enumerate(loaded.sizes(), 1):
        sizes = [one[column] for one in settled]
        text = f"{memory[0][column]:.1f}; {sizes[0]:.1f}, {min(sizes):.1f}, {max(sizes):.1f}, {sizes[-1]:.1f} MB"
        rows.append([f"{name} before; with all open first, least, most, last", text])
    return rows


def measured(loaded: Loaded, seconds: float) -> tuple[list[list[str]], dict[str, Any]]:
    before = loaded.processor()
    told, memory = asyncio.run(streams(loaded, seconds))
    rows = of_streams(told, memory, loaded, seconds)
    rows.append(["processor of sidecar and doors for them", taken(before, loaded.processor())])
    for title, what in (
        (f"{REQUESTS} requests over {CONNECTIONS} connections", "requests"),
        ("1 GB down", "down"),
        ("1 GB up", "up"),
    ):
        progress(title)
        before = loaded.processor()
        took, used = loaded.run(what)["seconds"], taken(before, loaded.processor())
        _, rss, doors = loaded.memory()
        rows.append([title, f"{took:.1f} s, processor {used}, then RSS {rss:.1f} and {doors:.1f} MB"])
    progress("")
    rows.append(["highest RSS of the sidecar", f"{loaded.peak():.1f} MB"])
    return rows, told


def taken(before: tuple[float, float], after: tuple[float, float]) -> str:
    return " and ".join(f"{now - then:.1f}" for then, now in zip(before, after, strict=True)) + " s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    asked = parser.parse_args()
    if sys.platform != "linux":
        print("skipped: namespaces are Linux's")
        return 0
    before = os.getloadavg()[0]
    temporary = tempfile.TemporaryDirectory(prefix="bottlegen-bench-")
    with temporary as folder, bottle(Path(folder), asked.seconds) as loaded:
        rows, told = measured(loaded, asked.seconds)
    table(f"Load on one bottle (load average {before:.0f} to {os.getloadavg()[0]:.0f})", ("", ""), rows)
    for line in told["broken"][:10]:
        print(f"dropped: {line}")
    return int(bool(told["broken"] or told["lost"] or missing(told, loaded.provider)))


if __name__ == "__main__":
    sys.exit(main())
