"""Requests that two parsers could read differently are refused or rewritten into one meaning."""

import pytest

from tests.dataplane.client import Tunnel, exchange, get, read_all
from tests.dataplane.conftest import World
from tests.dataplane.sidecar import Sidecar

CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (("Content-Length: 5", CHUNKED), 400),
        (("Content-Length: 5", "Content-Length: 6"), 400),
        (("Content-Length: +5",), 400),
        (("Transfer-Encoding: xchunked",), 501),
        (("Transfer-Encoding: gzip, chunked",), 501),
        ((CHUNKED, CHUNKED), 501),
        (("Content-Length : 5",), 400),
        (("X: a\x00b",), 400),
    ],
)
def test_framing_must_be_clear(world: World, headers: tuple[str, ...], status: int) -> None:
    before = len(world.upstream.seen)
    with Tunnel(world.sidecar, "open.test") as tunnel:
        assert tunnel.request(get("/", "open.test", *headers, method="POST")).status == status
    assert len(world.upstream.seen) == before


def test_second_request_in_a_body_stays_a_body(world: World) -> None:
    hidden = get("/secret", "api.test")
    with Tunnel(world.sidecar, "api.test") as tunnel:
        outer = get("/open/a", "api.test", f"Content-Length: {len(hidden)}", method="POST")
        assert tunnel.request(outer + hidden).json()["received"] == len(hidden)


def test_pipelined_requests_are_judged_one_by_one(sidecar: Sidecar) -> None:
    with Tunnel(sidecar, "api.test") as tunnel:
        tunnel.tls.sendall(get("/open/a", "api.test") + get("/secret", "api.test"))
        answers = read_all(tunnel.tls)
    assert answers.count(b"HTTP/1.1 200") == 1
    assert answers.count(b"HTTP/1.1 403") == 1


@pytest.mark.parametrize(
    ("request_line", "status"),
    [("GET https://open.test/x HTTP/1.1", 421), ("GET https://api.test/secret HTTP/1.1", 403)],
)
def test_absolute_form_is_judged_by_its_own_host(sidecar: Sidecar, request_line: str, status: int) -> None:
    with Tunnel(sidecar, "api.test") as tunnel:
        assert tunnel.request(f"{request_line}\r\nHost: api.test\r\n\r\n".encode()).status == status


def test_no_tunnel_in_the_tunnel(sidecar: Sidecar) -> None:
    with Tunnel(sidecar, "open.test") as tunnel:
        answer = tunnel.request(b"CONNECT open.test:443 HTTP/1.1\r\nHost: open.test:443\r\n\r\n")
        assert answer.status in (403, 404)


@pytest.mark.parametrize("host", ["open.test, api.test", "open.test/", "a@open.test", ""])
def test_odd_host_headers_are_refused(sidecar: Sidecar, host: str) -> None:
    with Tunnel(sidecar, "open.test") as tunnel:
        assert tunnel.request(get("/", host)).status in (400, 421)


def test_two_host_headers_are_refused(sidecar: Sidecar) -> None:
    with Tunnel(sidecar, "open.test") as tunnel:
        assert tunnel.request(get("/", "open.test", "Host: api.test")).status in (400, 421)


@pytest.mark.parametrize("target", ["open.test", "u@open.test:443", "https://open.test:443", "open.test:443/x"])
def test_odd_tunnel_targets_are_refused(sidecar: Sidecar, target: str) -> None:
    answer = exchange(sidecar.proxy, f"CONNECT {target} HTTP/1.1\r\nHost: open.test:443\r\n\r\n".encode())
    assert answer.split()[1] in (b"400", b"403")
