"""What pipelock adds behind the egress sidecar, on hosts that it passes and on hosts that it reads; all on loopback.

The stand-in provider is the tests' own, in Python: compare the rows, not the times with those of egress.py.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _paired import middle, progress, table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

ROUNDS = 5
REQUESTS = 100
UPLOAD = 256 * 1024
ALONE, PASSED, READ = "egress alone", "pipelock, passed", "pipelock, inspected"
Ask = Callable[[bytes], None]


def measured(ask: Ask) -> tuple[float, float]:
    """Seconds a small request, and of one with UPLOAD bytes of text."""
    begun = time.perf_counter()
    for _ in range(REQUESTS):
        ask(b"")
    small = (time.perf_counter() - begun) / REQUESTS
    begun = time.perf_counter()
    ask((b"a line of text that is nobody's secret\n" * (UPLOAD // 39 + 1))[:UPLOAD])
    return small, time.perf_counter() - begun


def main() -> None:
    from bottlegen.plan import Route
    from bottlegen.profile import Inspection
    from bottlegen.routes import compile_routes
    from tests.dataplane.client import Tunnel
    from tests.dataplane.sidecar import Sidecar, envoy_binary
    from tests.inspection import programs
    from tests.inspection.chain import start_chain

    envoy, why = envoy_binary(), programs.why_not_real()
    if envoy is None or why:
        print(f"skipped: {why or 'no envoy here'}")
        return
    with tempfile.TemporaryDirectory(prefix="bottlegen-bench-") as made:
        folder = Path(made)
        for name in ("program", "chain", "alone"):
            (folder / name).mkdir()
        routes = (Route(host="read.test"), Route(host="passed.test", tls_passthrough=True))
        chain = start_chain(
            folder / "chain", envoy, str(programs.real(folder / "program")), routes, tokens={}, inspection=Inspection()
        )
        alone = Sidecar(
            folder / "alone", compile_routes([Route(host="read.test", port=chain.port)]),
            upstream_ca=(chain.pipelock.folder / "upstream-ca.pem").read_bytes(),
            static_hosts={"read.test": chain.upstream.address},
        )  # fmt: skip
        alone.start(envoy)
        ways = {ALONE: (alone, "read.test"), PASSED: (chain.sidecar, "passed.test"), READ: (chain.sidecar, "read.test")}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for number in range(ROUNDS):
            for name, (sidecar, host) in ways.items():
                with Tunnel(sidecar, host, port=chain.port) as tunnel:
                    head = (
                        f"POST / HTTP/1.1\r\nHost: {host}:{chain.port}\r\nContent-Type: text/plain\r\nContent-Length: "
                    )
                    tunnel.tls.settimeout(300)
                    times[name].append(measured(lambda body: _ask(tunnel, head, body)))  # noqa: B023 - called at once
            progress(f"round {number + 1} of {ROUNDS}")
        progress("")
        alone.stop()
        chain.stop()
    rows = []
    for name, found in times.items():
        small, large = (middle([pair[index] for pair in found]) for index in (0, 1))
        added = middle([pair[0] - base[0] for pair, base in zip(found, times[ALONE], strict=True)])
        rows.append([name, f"{small * 1e3:.2f} ms", f"{added * 1e3:.2f} ms", f"{UPLOAD / 1e6 / large:.2f} MB/s"])
    table(f"Behind egress (medians of {ROUNDS} rounds)", ("", "request", "added", "256 KiB of text up"), rows)


def _ask(tunnel: "Tunnel", head: str, body: bytes) -> None:  # type: ignore[name-defined]  # noqa: F821
    answer = tunnel.request(f"{head}{len(body)}\r\n\r\n".encode() + body)
    if answer.status != 200:
        raise SystemExit(f"unexpected answer: {answer}")


if __name__ == "__main__":
    main()
