"""`decide` and the real sidecar give the same answer to generated requests."""

import contextlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bottlegen import decide as decide_module
from bottlegen.decide import HTTP1_METHODS, Decision, decide
from bottlegen.routes import RouteSet
from tests.dataplane.client import Answer, Tunnel, curl, get
from tests.dataplane.conftest import World

HOSTS = ("api.test", "methods.test", "exact.wild.test", "a.wild.test", "open.test")
PIECES = (
    "/", "//", "/open", "/repos", "/x", "/issues", "/keyed/", "/only", "/v1/x-", ".", "..", "%2e", "%2E", "%", "2",
    "25", "e", "%41", ";", "\\", "%5c", "%2f", "%7B", "[", "~", "|", "%00", "*", "%c0", "?x=/../", "'", "%61",
)  # fmt: skip
PATHS = st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: "/" + "".join(pieces))


class Connections:
    """Keeps one connection per host open: a new one per request would take most of the time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: dict[str, Tunnel] = {}

    def ask(self, host: str, method: str, path: str) -> Answer:
        tunnel = self._open.pop(host, None) or Tunnel(self._world.sidecar, host)
        answer = tunnel.request(get(path, host, "Content-Length: 0", method=method))
        if answer.closes or not answer.status:
            tunnel.__exit__()
        else:
            self._open[host] = tunnel
        return answer

    def close(self) -> None:
        for tunnel in self._open.values():
            tunnel.__exit__()


def test_decide_agrees_with_envoy(world: World) -> None:
    connections = Connections(world)

    @settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(host=st.sampled_from(HOSTS), method=st.sampled_from(["GET", "POST", "DELETE", "TRACE", "QUERY"]), path=PATHS)
    @example(host="api.test", method="GET", path="/open/%%32e%%32e/x")
    @example(host="api.test", method="GET", path="/open/a%%34%31")
    @example(host="api.test", method="GET", path="/open/..;%2e/x")
    @example(host="api.test", method="TRACE", path="/open/x")
    @example(host="api.test", method="POST", path="//repos/x/./issues/?q")
    def check(host: str, method: str, path: str) -> None:
        expected = decide(world.sidecar.routes, host, 443, method, path)
        answer = connections.ask(host, method, path)
        assert answer.status == (expected.status or 200)
        if expected.allowed:
            assert answer.json()["path"].partition("?")[0] == expected.path
            injected = any(value.find("canary") >= 0 for _, value in answer.json()["headers"])
            assert injected is bool(expected.slot)

    check()
    connections.close()


MANY = 4_000
SEED = 20_260_000
METHODS = ("GET", "GET", "POST", "HEAD", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "M-SEARCH", "TRACE")
TARGETS = (
    "/repos/x/issues", "/repos/x/issues/7/comments", "/keyed/a", "/open/x/y", "/v1/x-1", "/only", "/repos/acme", "/",
)  # fmt: skip
CODES = ("%{:02x}", "%{:02X}", "%25{:02x}", "%%{:02x}")


def odd(chance: random.Random) -> str:
    """A path near one that is allowed, in some of the ways in which people and attackers spell it."""
    path = list(chance.choice(TARGETS))
    for _ in range(chance.randrange(4)):
        index = chance.randrange(len(path))
        kind = chance.randrange(4)
        if kind == 0 and len(path[index]) == 1:
            path[index] = chance.choice(CODES).format(ord(path[index]))
        elif kind == 1:
            path.insert(index + 1, chance.choice(PIECES))
        elif kind == 2:
            path.insert(index + 1, chance.choice(("/../", "/./", "/..;/", "//", "/%2e%2e/", "\\..\\", "/x/../")))
        else:
            path[index] = chr(chance.randrange(0x21, 0x7F))
    text = "".join(path)
    return text if text.startswith("/") and "#" not in text else f"/{text.replace('#', '')}"


Request = tuple[str, str, str]
Seen = tuple[Request, int, str, bool]
"""A request, and what came of it: status, path at the upstream, whether a credential was there."""


@pytest.fixture(scope="module")
def seen(world: World) -> list[Seen]:
    """Thousands of requests, one after the other through one sidecar."""
    with contextlib.closing(Connections(world)) as connections:
        return list(answers(connections))


def answers(connections: Connections) -> Iterator[Seen]:
    chance = random.Random(SEED)
    for _ in range(MANY):
        host, method, path = chance.choice(HOSTS), chance.choice(METHODS), odd(chance)
        answer = connections.ask(host, method, path)
        if answer.status == 200 and method != "HEAD":
            note = answer.json()
            injected = any("canary" in value for _, value in note["headers"])
            yield (host, method, path), 200, note["path"].partition("?")[0], injected
        else:
            yield (host, method, path), answer.status, "", False


def disagreements(seen: list[Seen], routes: RouteSet, judge: Callable[..., Decision]) -> list[tuple[Seen, Decision]]:
    found = []
    for line in seen:
        (host, method, path), status, forwarded, injected = line
        expected = judge(routes, host, 443, method, path)
        told = status == 200 and method != "HEAD"
        same = status == (expected.status or 200)
        if not same or (told and (forwarded, injected) != (expected.path, bool(expected.slot))):
            found.append((line, expected))
    return found


def test_thousands_of_odd_requests_never_disagree(world: World, seen: list[Seen]) -> None:
    assert len(seen) == MANY
    assert disagreements(seen, world.sidecar.routes, decide) == []
    # Every answer came up often enough to mean something.
    statuses = [status for _, status, _, _ in seen]
    assert min(statuses.count(status) for status in (200, 400, 403)) > MANY / 50
    assert sum(injected for *_, injected in seen) > MANY / 200


def test_a_judge_that_is_wrong_is_found_out(world: World, seen: list[Seen], monkeypatch: pytest.MonkeyPatch) -> None:
    routes = world.sidecar.routes
    assert disagreements(seen, routes, lambda *a: replace(decide(*a), slot=""))
    monkeypatch.setattr(decide_module, "AMBIGUOUS", "(?!)")
    assert disagreements(seen, routes, decide)
    monkeypatch.undo()
    monkeypatch.setattr(decide_module, "normalise", lambda raw: re.sub("/+", "/", raw.partition("?")[0]))
    assert disagreements(seen, routes, decide)


ODD_METHODS = ("get", "M-SEARCH", "QUERY", "BREW", "MSEARC", "GETT", "LINKS", "A", "PUT-X")


def test_the_methods_of_http1_are_those_that_the_sidecar_knows(world: World) -> None:
    """Envoy's parser of HTTP/1.1 has a list of methods, and answers 400 to every other before any rule is asked."""
    routes = world.sidecar.routes
    with contextlib.closing(Connections(world)) as connections:
        for method in (*sorted(HTTP1_METHODS - {"CONNECT"}), *ODD_METHODS):
            for host in ("open.test", "methods.test"):
                expected = decide(routes, host, 443, method, "/")
                assert connections.ask(host, method, "/").status == (expected.status or 200), (host, method)
    assert not any(decide(routes, "open.test", 443, method, "/").allowed for method in ODD_METHODS)


@pytest.mark.parametrize("method", ["M-SEARCH", "get"])
def test_http2_has_no_list_of_methods(world: World, method: str) -> None:
    assert decide(world.sidecar.routes, "open.test", 443, method, "/", http2=True).allowed
    assert not decide(world.sidecar.routes, "methods.test", 443, method, "/", http2=True).allowed
    asked = [curl(world.sidecar, f"https://{host}/", "--http2", "-X", method) for host in ("open.test", "methods.test")]
    assert [answer.status for answer in asked] == [200, 403]
    assert curl(world.sidecar, "https://open.test/", "--http1.1", "-X", method).status == 400
