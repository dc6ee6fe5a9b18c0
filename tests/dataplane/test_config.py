"""Every shape of route set gives a config that the real parser takes."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bottlegen.plan import Auth, Route
from bottlegen.routes import compile_routes
from runtime.ca import Authority
from tests.dataplane.client import exchange
from tests.dataplane.conftest import World
from tests.dataplane.sidecar import Sidecar


def _fifty_hosts() -> list[Route]:
    paths = [(f"/a{index}/*/x-*", f"/b{index}/**") for index in range(10)]
    return [Route(host=f"h{number}.test", methods=("GET",), paths=pair) for number in range(50) for pair in paths]


ROUTE_SETS = {
    "none": [],
    "one": [Route(host="one.test")],
    "slots": [
        Route(host=f"s{n}.test", auth=Auth(token_ref=f"T{n}", header=f"x-key-{n}", scheme="")) for n in range(20)
    ],
    "fifty hosts of ten rules": _fifty_hosts(),
    "wildcards and exact": [Route(host="*.a.test"), Route(host="*.b.a.test", paths=("/x",)), Route(host="c.a.test")],
    "ports": [Route(host="p.test"), Route(host="p.test", port=8443), Route(host="q.test", port=1)],
    "a thousand paths": [Route(host="l.test", paths=tuple(f"/repos/{'o' * 30}/{n}/*/**" for n in range(1000)))],
    "one long path": [Route(host="l.test", paths=("/*-*-*" * 150,))],
    "odd characters": [Route(host="o.test", paths=("/~a/b-c/$d/(e)/+f/:g/@h/!i/&j",), methods=("M-SEARCH",))],
}


@pytest.mark.parametrize("name", ROUTE_SETS)
def test_envoy_accepts(envoy: str, trusted: Authority, tmp_path: Path, name: str) -> None:
    routes = compile_routes(ROUTE_SETS[name])
    static = {"one.test": "::1", "x.b.a.test": "127.0.0.1:9", "p.test": "127.0.0.1", "nobody.test": "127.0.0.1"}
    Sidecar(tmp_path, routes, upstream_ca=trusted.certificate, static_hosts=static)
    command = [envoy, "--mode", "validate", "--log-level", "error", "-c", str(tmp_path / "envoy.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_routes_everything_is_refused(own_sidecar: Callable[..., Sidecar], world: World) -> None:
    sidecar = own_sidecar(compile_routes([]), upstream_ca=world.trusted.certificate)
    answer = exchange(sidecar.proxy, b"CONNECT open.test:443 HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 403")
