"""Agent's side, Envoy, pipelock and an upstream on loopback: the whole chain with the rendered configs alone."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bottlegen.plan import Route
from bottlegen.profile import Inspection
from bottlegen.routes import compile_routes
from bottlegen.sidecars import pipelock
from runtime import ca
from runtime.bubblewrap.tools import find
from tests.dataplane.sidecar import BOTTLE, Sidecar, now
from tests.dataplane.upstream import Handler, Upstream, closed_port


@dataclass
class Pipelock:
    """One running pipelock below `folder`; `port` is where it listens."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def proxy(self) -> int:
        return self.port

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def events(self, **wanted: object) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in (self.folder / "events").read_text().splitlines()]
        return [line for line in lines if all(line.get(key) == value for key, value in wanted.items())]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def start_pipelock(
    program: str, folder: Path, config: bytes, *, signer: ca.Signer, names: Mapping[str, str],
    upstream_ca: bytes, secrets: tuple[str, ...], private: frozenset[str] = frozenset(),
) -> Pipelock:  # fmt: skip
    """As a runtime does it: the bundle's config with this start's address, files beside it, names from a hosts file.

    `private` are names that the host did not vouch for, though they lead to loopback here.
    """
    port = closed_port()
    tree = json.loads(config.replace(pipelock.BASE.encode(), str(folder).encode()))
    tree["logging"]["file"] = str(folder / "events")
    tree["fetch_proxy"]["listen"] = f"127.0.0.1:{port}"
    tree["trusted_domains"] = sorted(names.keys() - private)
    files = {
        "ca.pem": signer.certificate, "ca-key.pem": signer.key, "upstream-ca.pem": upstream_ca,
        "secrets.txt": "".join(f"{each}\n" for each in secrets).encode(),
        "pipelock.json": json.dumps(tree).encode(),
        "hosts": "".join(f"{address} {name}\n" for name, address in names.items()).encode(),
    }  # fmt: skip
    for name, data in files.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)
    sandbox = [str(find(os.environ).bwrap), "--dev-bind", "/", "/", "--ro-bind", str(folder / "hosts"), "/etc/hosts"]
    env = {"PATH": os.defpath, "HOME": str(folder), "SSL_CERT_FILE": str(folder / "upstream-ca.pem")}
    with (folder / "log").open("wb") as log:
        argv = [*sandbox, "--die-with-parent", program, "run", "--config", str(folder / "pipelock.json")]
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=env)
    started = Pipelock(folder=folder, port=port, process=process)
    _wait(started)
    return started


def _wait(started: Pipelock) -> None:
    import socket

    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and started.process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", started.port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"pipelock did not start:\n{(started.folder / 'log').read_text()[-3000:]}")


@dataclass
class Chain:
    """The running parts. `token` maps each token_ref to the value that egress injects."""

    sidecar: Sidecar
    pipelock: Pipelock
    upstream: Upstream
    port: int
    token: Mapping[str, str]

    def url(self, host: str, path: str = "/") -> str:
        return f"https://{host}:{self.port}{path}"

    def stop(self) -> None:
        self.sidecar.stop()
        self.pipelock.stop()
        self.upstream.close()


def start_chain(
    folder: Path, envoy: str, program: str, routes: tuple[Route, ...], *,
    tokens: Mapping[str, str], inspection: Inspection, believed: bytes | None = None,
    names: tuple[str, ...] = (), handler: type[Handler] | None = None,
) -> Chain:  # fmt: skip
    """`routes` are moved to the port of the upstream, which pipelock connects to as it is asked.

    `believed` stands in for pipelock's CA at egress; empty is the upstream's. `names` lead to the upstream instead of
    those of the routes, of which a wildcard has one.
    """
    patterns = tuple(sorted({route.host for route in routes}))
    hosts = names or tuple(host.replace("*", "a") for host in patterns)
    trusted = ca.mint(hosts, bottle=BOTTLE, now=now())
    upstream = Upstream(trusted.leaves, handler=handler)
    compiled = compile_routes(replace(route, port=upstream.port) for route in routes)
    signer = ca.mint_signer(patterns, bottle=BOTTLE, now=now())
    for name in ("pipelock", "egress"):
        (folder / name).mkdir()
    running = start_pipelock(
        program, folder / "pipelock", pipelock.render("test", inspection, compiled), signer=signer,
        names=dict.fromkeys(hosts, "127.0.0.1"), upstream_ca=trusted.certificate, secrets=tuple(tokens.values()),
    )  # fmt: skip
    sidecar = Sidecar(
        folder / "egress", compiled, upstream_ca=trusted.certificate, secrets=tokens, pipelock=running.port,
        inspector=signer.certificate if believed is None else believed or trusted.certificate,
    )  # fmt: skip
    sidecar.start(envoy)
    return Chain(sidecar=sidecar, pipelock=running, upstream=upstream, port=upstream.port, token=tokens)
