"""Injected credentials reach the upstream and only it; the agent's own are dropped exactly where one is injected."""

from collections.abc import Callable

import pytest

from bottlegen.plan import Route
from bottlegen.routes import compile_routes
from tests.dataplane.client import curl
from tests.dataplane.conftest import BEARER, CANARY, World
from tests.dataplane.sidecar import Sidecar

BOTH = pytest.mark.parametrize("version", ["--http1.1", "--http2"])
FAKE = ("-H", "Authorization: Bearer placeholder", "-H", "X-Api-Key: placeholder", "-H", "Private-Token: placeholder")


@BOTH
@pytest.mark.parametrize("own", [(), FAKE, (*FAKE, "-H", "AUTHORIZATION: second")])
@pytest.mark.parametrize(
    ("url", "header", "value"),
    [
        ("inject.test/", "authorization", "Bearer canary-a-7f3d9e"),
        ("api.test/repos/x/issues", "authorization", "Bearer canary-a-7f3d9e"),
        ("api.test/keyed/x", "x-api-key", "canary-b-1c5b2a"),
        ("basic.test/", "authorization", "Basic dXNlcjpjYW5hcnktYy05ZDhlN2Y="),
        ("h2.test/", "authorization", "Bearer canary-a-7f3d9e"),
    ],
)
def test_injected_alone(
    sidecar: Sidecar, version: str, own: tuple[str, ...], url: str, header: str, value: str
) -> None:
    seen = curl(sidecar, f"https://{url}", version, *own)
    assert seen.header(header) == [value]
    assert "placeholder" not in seen.text


@BOTH
@pytest.mark.parametrize("url", ["open.test/", "api.test/open/a"])
def test_own_credentials_pass_where_none_is_injected(sidecar: Sidecar, version: str, url: str) -> None:
    seen = curl(sidecar, f"https://{url}", version, *FAKE, "-H", "Proxy-Authorization: Basic proxy")
    assert seen.header("authorization") == ["Bearer placeholder"]
    assert seen.header("x-api-key") == ["placeholder"]
    assert seen.header("private-token") == ["placeholder"]
    assert seen.header("proxy-authorization") == []
    assert "canary" not in seen.text


@BOTH
def test_nothing_tells_of_a_proxy(sidecar: Sidecar, version: str) -> None:
    sent = ("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: evil", "Via: 1.1 me", "Forwarded: for=x", "X-Envoy-Foo: 1")
    seen = curl(sidecar, "https://open.test/", version, *(part for line in sent for part in ("-H", line)))
    names = {name for name, _ in seen.json()["headers"]}
    assert names == {"host", "user-agent", "accept"}


@BOTH
def test_answers_come_as_they_were_sent(sidecar: Sidecar, version: str) -> None:
    head = curl(sidecar, "https://open.test/", version, "-o", "/dev/null", "-D", "-").text.partition("\n\n")[2]
    names = {line.partition(":")[0].lower() for line in head.splitlines()[1:] if ":" in line}
    assert names == {"server", "date", "content-type", "content-length"}
    assert "BaseHTTP" in head


def test_ordinary_headers_pass(sidecar: Sidecar) -> None:
    sent = {"cookie": "a=b", "x-request-id": "mine", "traceparent": "00-1", "anthropic-version": "2023-06-01"}
    seen = curl(sidecar, "https://inject.test/", *(part for k, v in sent.items() for part in ("-H", f"{k}: {v}")))
    assert {name: seen.header(name) for name in sent} == {name: [value] for name, value in sent.items()}


@pytest.mark.parametrize(("host", "kept"), [("open.test", True), ("methods.test", False), ("api.test", False)])
def test_method_cannot_be_overridden_where_it_is_judged(sidecar: Sidecar, host: str, kept: bool) -> None:
    seen = curl(sidecar, f"https://{host}/open/a", "-H", "X-HTTP-Method-Override: DELETE", "-H", "X-Original-URL: /x")
    assert bool(seen.header("x-http-method-override")) is kept
    assert bool(seen.header("x-original-url")) is kept


@pytest.mark.parametrize(
    ("host", "kept"), [("open.test", True), ("methods.test", False), ("api.test", False), ("key.test", False)]
)
def test_no_dropped_header_comes_back_in_another_spelling(sidecar: Sidecar, host: str, kept: bool) -> None:
    """Servers behind CGI or WSGI read '_' in a header's name as '-'; where nothing is dropped, all pass as they are."""
    own = ("-H", "X_HTTP_Method_Override: DELETE", "-H", "X_Api_Key: mine")
    seen = curl(sidecar, f"https://{host}/open/a", *own)
    assert bool(seen.header("x_http_method_override")) is bool(seen.header("x_api_key")) is kept


def test_rotation_and_revocation_without_restart(own_sidecar: Callable[..., Sidecar], world: World) -> None:
    sidecar = own_sidecar(
        compile_routes([Route(host="inject.test", auth=BEARER)]),
        upstream_ca=world.trusted.certificate,
        secrets=CANARY,
        static_hosts={"inject.test": world.upstream.address},
    )

    def eventually(status: int, value: str) -> bool:
        answers = (curl(sidecar, "https://inject.test/") for _ in range(100))
        return any(a.status == status and (status != 200 or a.header("authorization") == [value]) for a in answers)

    assert eventually(200, "Bearer canary-a-7f3d9e")
    sidecar.put_secrets({"TOKEN_A": "rotated"})
    assert eventually(200, "Bearer rotated")
    sidecar.put_secrets({"TOKEN_A": ""})
    assert eventually(401, "")
    refused = curl(sidecar, "https://inject.test/", "-H", "Authorization: Bearer from-the-agent")
    assert refused.status == 401
    assert 'credential "EGRESS_TOKEN_0" is empty' in refused.text
    assert not any("from-the-agent" in str(note) for note in world.upstream.seen)
    sidecar.put_secrets({"TOKEN_A": "again"})
    assert eventually(200, "Bearer again")
