"""Upstreams that hang, reset, break off, trickle or babble: the agent is told at once, and no other stream notices."""

import contextlib
import json
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bottlegen.plan import Auth, Route
from bottlegen.routes import compile_routes
from bottlegen.sidecars.egress import render
from tests.dataplane.client import Tunnel, curl
from tests.dataplane.conftest import World, envoy, own_sidecar, trusted, world  # noqa: F401 - fixtures
from tests.dataplane.sidecar import Sidecar
from tests.dataplane.test_streams import _echo, _upgrade
from tests.dataplane.upstream import Handler, Upstream
from tests.faults.tally import Tally, tally  # noqa: F401 - a fixture

pytestmark = pytest.mark.envoy

_CANARY = "canary-of-a-bad-upstream"
_PIECES = 4
_GAP = 0.2


class Bad(Handler):
    """Behaves as the path says, once it has read the request's head."""

    def _answer(self) -> None:
        behaviour = getattr(self, f"_{self.path.strip('/')}", None)
        if behaviour is None or self.headers.get("upgrade"):
            super()._answer()
            return
        self.close_connection = True
        behaviour()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def _gone(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)

    def _short(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this")
        self._gone()

    def _unended(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nonly this\r\n")
        self._gone()

    def _babble(self) -> None:
        self.wfile.write(b"\0\1\2 this is no answer\r\n\r\n" * 10)

    def _endless(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nx-endless: ")
        with contextlib.suppress(OSError):
            for _ in range(1000):
                self.wfile.write(b"x" * 1000)

    def _slow(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
        for _ in range(_PIECES):
            time.sleep(_GAP)
            self.wfile.write(b"x")
            self.wfile.flush()

    def _hang(self) -> None:
        time.sleep(20)


def _short_connects(config: dict[str, Any]) -> None:
    for cluster in config["static_resources"]["clusters"]:
        if "connect_timeout" in cluster:
            cluster["connect_timeout"] = "1s"


@pytest.fixture
def mute() -> Iterator[str]:
    """Takes connections and says nothing on them, not even TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(server.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        for each in kept:
            each.close()


@pytest.fixture
def sidecar(own_sidecar: Callable[..., Sidecar], world: World, mute: str) -> Iterator[Sidecar]:  # noqa: F811
    bad = Upstream(world.trusted.leaves, handler=Bad)
    yield own_sidecar(
        compile_routes([Route(host=name, auth=Auth(token_ref="T")) for name in ("open.test", "api.test")]),
        upstream_ca=world.trusted.certificate,
        static_hosts={"open.test": bad.address, "api.test": mute},
        secrets={"T": _CANARY},
        edit=_short_connects,
    )
    bad.close()


@pytest.fixture
def stream(sidecar: Sidecar) -> Iterator[Tunnel]:
    """A websocket that is open throughout, and answers at the end as at the beginning."""
    with Tunnel(sidecar, "open.test") as tunnel:
        assert tunnel.request(_upgrade("open.test", "/ws")).status == 101
        assert _echo(tunnel, b"before") == b"before"
        yield tunnel
        assert _echo(tunnel, b"after") == b"after"


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [("reset", 503, "reset"), ("gone", 503, "disconnect"), ("babble", 502, "protocol error"), ("endless", 502, "")],
)
def test_without_an_answer_there_is_one_that_says_so(
    sidecar: Sidecar, stream: Tunnel, tally: Tally, path: str, status: int, said: str  # noqa: F811
) -> None:  # fmt: skip
    began = time.monotonic()
    answer = curl(sidecar, f"https://open.test/{path}")
    assert (answer.status, said in answer.text) == (status, True), answer
    assert time.monotonic() - began < 5
    line = sidecar.audit(event="request", path=f"/{path}")[-1]
    assert (line["status"], line["decision"]) == (status, "allow")
    assert _CANARY not in answer.text + json.dumps(line)
    tally.ran("upstreams that fail")


@pytest.mark.parametrize("path", ["short", "unended"])
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_half_an_answer_is_not_taken_for_a_whole_one(
    sidecar: Sidecar, stream: Tunnel, tally: Tally, path: str, version: str  # noqa: F811
) -> None:  # fmt: skip
    done = subprocess.run(
        ["curl", "-sS", version, "-x", f"http://127.0.0.1:{sidecar.proxy}", "--cacert", str(sidecar.ca),
         f"https://open.test/{path}"],
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert done.returncode in (18, 56, 92), done
    assert "only this".startswith(done.stdout)
    tally.ran("upstreams that fail")


def test_an_upstream_that_says_nothing_is_given_up_and_one_that_thinks_is_not(
    sidecar: Sidecar, stream: Tunnel, tally: Tally  # noqa: F811
) -> None:  # fmt: skip
    """No connection within the bound (ten seconds, one here): 503. An answer may take its time: models think."""
    began = time.monotonic()
    answer = curl(sidecar, "https://api.test/")
    assert (answer.status, time.monotonic() - began < 5) == (503, True)
    assert answer.text.startswith("bottlegen: no verified connection to api.test (")
    assert "timeout" in sidecar.audit(event="request", host="api.test")[-1]["details"]
    waiting = curl(sidecar, "https://open.test/hang", seconds=2)
    assert "timed out" in waiting.text, "the client's own patience, and no answer of ours, has to end it"
    began = time.monotonic()
    assert curl(sidecar, "https://open.test/slow").text == "x" * _PIECES
    assert time.monotonic() - began > _GAP * _PIECES
    tally.ran("upstreams that fail")
    tally.ran("upstreams that fail")


def test_the_bound_on_connections_is_ten_seconds() -> None:
    config = json.loads(render("p", compile_routes([Route(host="open.test")])))
    ways = [cluster for cluster in config["static_resources"]["clusters"] if cluster["name"].startswith("up")]
    assert [cluster["connect_timeout"] for cluster in ways] == ["10s"] * len(ways) != []


def test_a_handshake_that_an_upstream_breaks_off(own_sidecar: Callable[..., Sidecar], world: World) -> None:  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            with contextlib.suppress(OSError, ssl.SSLError):
                while True:
                    connection, _ = server.accept()
                    connection.recv(100)
                    connection.sendall(b"HTTP/1.1 400 this is no TLS\r\n\r\n")
                    connection.close()

        threading.Thread(target=refuse, daemon=True).start()
        sidecar = own_sidecar(
            compile_routes([Route(host="open.test")]), upstream_ca=world.trusted.certificate,
            static_hosts={"open.test": f"127.0.0.1:{server.getsockname()[1]}"},
        )  # fmt: skip
        answer = curl(sidecar, "https://open.test/")
        assert (answer.status, answer.text.startswith("bottlegen: no verified connection to open.test (")) == (
            503,
            True,
        )
