"""One pipelock and one chain for each program: the real one where it can be had, the stand-in everywhere."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bottlegen.plan import Auth, Route
from bottlegen.profile import Inspection
from bottlegen.routes import compile_routes
from bottlegen.sidecars import pipelock
from runtime import ca
from tests.dataplane.client import Answer, curl
from tests.dataplane.sidecar import BOTTLE, envoy_binary, now
from tests.dataplane.upstream import Upstream
from tests.inspection import programs
from tests.inspection.chain import Chain, Pipelock, start_chain, start_pipelock

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
GITHUB = "ghp_" + "0123456789abcdefghijABCDEFGHIJ456789"
CANARY = "tok-canary-7f3d9e0b41c2-value"
OWN_PATTERN = "ACME-[0-9]{6}"
TOKENS = {"JWT": JWT, "GITHUB": GITHUB, "CANARY": CANARY}
ROUTES = (
    Route(host="open.test"),
    Route(host="jwt.test", auth=Auth(token_ref="JWT")),
    Route(host="github.test", auth=Auth(token_ref="GITHUB", scheme="token")),
    Route(host="key.test", auth=Auth(token_ref="CANARY", scheme="", header="x-api-key")),
    Route(host="*.wild.test"),
    Route(host="passed.test", tls_passthrough=True),
    Route(host="private.test"),
    Route(host="foreign.test"),
)
NAMES = (*(route.host for route in ROUTES if "*" not in route.host), "a.wild.test", "other.test")


@pytest.fixture(
    scope="session", params=[pytest.param("real", marks=pytest.mark.pipelock), "stand-in"], ids=["real", "stand-in"]
)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A pipelock: what passes with the stand-in alone is shown for the stand-in alone."""
    folder = tmp_path_factory.mktemp("program")
    return str(programs.real(folder) if request.param == "real" else programs.stand_in(folder))


@dataclass(frozen=True)
class Hop:
    """A pipelock alone, and the upstream that its names lead to."""

    pipelock: Pipelock
    upstream: Upstream

    def ask(self, host: str, path: str, *arguments: str, trust: Path | None = None) -> Answer:
        return curl(self.pipelock, f"https://{host}:{self.upstream.port}{path}", *arguments, trust=trust)

    def refuses(self, host: str, path: str, *arguments: str) -> str:
        """Its reason; the request must not have arrived."""
        before = len(self.upstream.seen)
        answer = self.ask(host, path, *arguments)
        assert answer.status in (403, 429), answer
        assert len(self.upstream.seen) == before
        return answer.text


HopMaker = Callable[..., Hop]


@pytest.fixture(scope="session")
def make_hop(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HopMaker]:
    """Starts a pipelock with the config of an Inspection; the keywords are its fields."""
    started: list[Hop] = []
    foreign = ca.mint(("foreign.test",), bottle=BOTTLE, now=now())
    trusted = ca.mint(tuple(sorted({*NAMES} - {"foreign.test"})), bottle=BOTTLE, now=now())

    def make(**fields: Any) -> Hop:
        folder = tmp_path_factory.mktemp("hop")
        config = pipelock.render("test", Inspection(**fields), compile_routes(ROUTES))
        upstream = Upstream((*trusted.leaves, *foreign.leaves))
        running = start_pipelock(
            program, folder, config, signer=ca.mint_signer(NAMES, bottle=BOTTLE, now=now()),
            names=dict.fromkeys(NAMES, "127.0.0.1"), private=frozenset({"private.test"}),
            upstream_ca=trusted.certificate, secrets=(JWT, GITHUB, CANARY),
        )  # fmt: skip
        started.append(Hop(pipelock=running, upstream=upstream))
        return started[-1]

    yield make
    for hop in started:
        hop.pipelock.stop()
        hop.upstream.close()


@pytest.fixture(scope="session")
def hop(make_hop: HopMaker) -> Hop:
    """As a profile has it that only says [pipelock], with one pattern."""
    return make_hop(patterns=(("Acme", OWN_PATTERN),))


def envoy_here() -> str:
    """The marker of this folder has skipped the test where there is none."""
    binary = envoy_binary()
    assert binary
    return binary


@pytest.fixture(scope="session")
def chain(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Envoy before it, with the tokens that it injects."""
    routes = tuple(route for route in ROUTES if route.host not in ("private.test", "foreign.test"))
    made = start_chain(
        tmp_path_factory.mktemp("chain"), envoy_here(), program, routes, tokens=TOKENS, inspection=Inspection()
    )
    yield made
    made.stop()
