"""Agent's side, Envoy, pipelock, internet: the credential of egress passes, what the agent sends is read."""

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bottlegen.plan import Auth, Route
from bottlegen.profile import Inspection
from tests.dataplane.client import Answer, Tunnel, curl, get, write_file
from tests.inspection.chain import Chain, start_chain
from tests.inspection.conftest import CANARY, GITHUB, JWT, envoy_here

INJECTED = {
    "jwt.test": ("authorization", f"Bearer {JWT}"),
    "github.test": ("authorization", f"token {GITHUB}"),
    "key.test": ("x-api-key", CANARY),
}


def ask(chain: Chain, host: str, path: str = "/", *arguments: str) -> Answer:
    return curl(chain.sidecar, chain.url(host, path), *arguments)


def refuses(chain: Chain, host: str, path: str = "/", *arguments: str) -> str:
    before = len(chain.upstream.seen)
    answer = ask(chain, host, path, *arguments)
    assert answer.status == 403, answer
    assert len(chain.upstream.seen) == before
    return answer.text


@pytest.mark.parametrize("host", INJECTED)
def test_the_injected_credential_passes_though_it_looks_like_one(chain: Chain, host: str) -> None:
    name, value = INJECTED[host]
    assert ask(chain, host).header(name) == [value]
    assert ask(chain, host, "/", "-d", "nothing to hide").header(name) == [value]


@pytest.mark.parametrize("host", INJECTED)
@pytest.mark.parametrize("place", ["body", "header", "query", "path", "base64", "hex"])
def test_the_same_credential_does_not_leave_elsewhere(chain: Chain, host: str, place: str) -> None:
    value = {"jwt.test": JWT, "github.test": GITHUB, "key.test": CANARY}[host]
    request = {
        "body": ("/", "-d", f"x={value}"),
        "header": ("/", "-H", f"x-note: {value}"),
        "query": (f"/?x={value}",),
        "path": (f"/{value}",),
        "base64": ("/", "-d", base64.b64encode(value.encode()).decode()),
        "hex": ("/", "-H", f"x-note: {value.encode().hex()}"),
    }[place]
    assert refuses(chain, host, *request).startswith("blocked: ")
    assert value not in (chain.pipelock.folder / "log").read_text()


def test_authorization_of_the_agent_is_read_where_nothing_is_injected(chain: Chain) -> None:
    assert "header" in refuses(chain, "open.test", "/", "-H", f"authorization: Bearer {JWT}")
    assert "header" in refuses(chain, "open.test", "/", "-H", f"x-api-key: {CANARY}")
    innocent = ask(chain, "open.test", "/", "-H", "authorization: Bearer innocent", "-H", "x-api-key: plain")
    assert innocent.header("authorization") == ["Bearer innocent"]
    assert innocent.header("x-api-key") == ["plain"]
    assert innocent.header("proxy-authorization") == []


def test_another_header_than_the_injected_one_is_read_or_dropped(chain: Chain) -> None:
    """x-api-key is left unread for key.test's sake; on another host with an injection egress drops it."""
    assert ask(chain, "jwt.test", "/", "-H", f"x-api-key: {CANARY}").header("x-api-key") == []
    assert ask(chain, "key.test", "/", "-H", f"authorization: Bearer {JWT}").header("authorization") == []


def test_the_agents_own_in_the_header_of_the_injection_is_overwritten(chain: Chain) -> None:
    assert ask(chain, "jwt.test", "/", "-H", f"authorization: Bearer {GITHUB}").header("authorization") == [
        f"Bearer {JWT}"
    ]


def test_an_own_proxy_authorization_neither_passes_nor_hides(chain: Chain) -> None:
    dropped = ask(chain, "open.test", "/", "-H", f"proxy-authorization: {JWT}", "-H", "authorization: plain")
    assert (dropped.status, dropped.header("proxy-authorization")) == (200, [])
    refuses(chain, "open.test", "/", "-H", "proxy-authorization: plain", "-H", f"authorization: {JWT}")


def test_hosts_that_are_passed_are_not_read(chain: Chain) -> None:
    assert ask(chain, "passed.test", "/", "-d", f"x={JWT}").json()["received"] == len(JWT) + 2


def test_what_egress_refuses_reaches_nobody(chain: Chain) -> None:
    assert ask(chain, "other.test").status == 403
    assert not [line for line in chain.pipelock.events() if "other.test" in str(line)]


def test_uploads_and_streams(chain: Chain, tmp_path: Path) -> None:
    upload = write_file(tmp_path / "file", 20_000)
    assert ask(chain, "open.test", "/", "--data-binary", f"@{upload}").json()["received"] == 20_000
    assert ask(chain, "open.test", "/", "-T", str(upload), "-H", "transfer-encoding: chunked").status == 200
    assert ask(chain, "open.test", "/", "-F", f"a=@{upload}").status == 200
    assert ask(chain, "open.test", "/sse").text.count("data: ") == 4


def test_500_requests_in_a_minute(chain: Chain) -> None:
    def forty(_: int) -> list[int]:
        with Tunnel(chain.sidecar, "open.test", port=chain.port) as tunnel:
            asked = get("/", f"open.test:{chain.port}")
            return [tunnel.request(asked).status for _ in range(50)]

    with ThreadPoolExecutor(5) as pool:
        found = [status for batch in pool.map(forty, range(10)) for status in batch]
    assert found == [200] * 500


def test_a_dead_pipelock_is_no_way_round_it(program: str, tmp_path: Path) -> None:
    routes = (Route(host="open.test"), Route(host="passed.test", tls_passthrough=True))
    chain = start_chain(tmp_path, envoy_here(), program, routes, tokens={}, inspection=Inspection())
    try:
        assert [ask(chain, route.host).status for route in routes] == [200, 200]
        chain.pipelock.stop()
        seen = len(chain.upstream.seen)
        assert [ask(chain, route.host).status for route in routes] == [503, 503]
        assert len(chain.upstream.seen) == seen
    finally:
        chain.stop()


def test_a_pipelock_of_another_authority_is_not_believed(program: str, tmp_path: Path) -> None:
    """Egress trusts the one CA of its own start: not one that the internet's authorities vouch for."""
    routes = (Route(host="open.test", auth=Auth(token_ref="T")), Route(host="passed.test", tls_passthrough=True))
    chain = start_chain(
        tmp_path, envoy_here(), program, routes, tokens={"T": JWT}, inspection=Inspection(), believed=b""
    )
    try:
        assert ask(chain, "open.test").status == 503
        assert ask(chain, "passed.test").status == 200
        assert [seen["path"] for seen in chain.upstream.seen] == ["/"]
    finally:
        chain.stop()
