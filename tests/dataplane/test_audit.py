"""One JSON line per decision, with its reason, and never a credential."""

from collections.abc import Callable

import pytest

from bottlegen.plan import Route
from bottlegen.routes import compile_routes
from tests.dataplane.client import Tunnel, curl, get
from tests.dataplane.conftest import CANARY, World
from tests.dataplane.sidecar import BOTTLE, BUNDLE, Sidecar


def test_allowed_request(sidecar: Sidecar) -> None:
    curl(sidecar, "https://inject.test/audit/me?secret=query", "-X", "POST", "-d", "12345")
    line = sidecar.audit(event="request", path="/audit/me")[0]
    expected = {
        "bottle": BOTTLE,
        "bundle": BUNDLE,
        "decision": "allow",
        "route": "inject.test:443/0",
        "slot": "EGRESS_TOKEN_0",
        "method": "POST",
        "host": "inject.test",
        "status": 200,
        "bytes_in": 5,
        "sni": "inject.test",
    }
    assert {key: line[key] for key in expected} == expected
    assert line["bytes_out"] > 0
    assert line["ms"] >= 0
    assert line["upstream"].startswith("127.0.0.1:")
    assert line["ts"].endswith("Z")


def test_a_query_is_written_where_it_is_asked_for(own_sidecar: Callable[..., Sidecar], world: World) -> None:
    routes = compile_routes((Route(host="open.test", paths=("/else",)),))
    asking = own_sidecar(routes, upstream_ca=world.trusted.certificate, queries=True)
    curl(asking, "https://open.test/audit/query?secret=query")
    line = asking.audit(event="request", path="/audit/query")[0]
    assert line["target"] == "/audit/query?secret=query"
    curl(world.sidecar, "https://open.test/audit/query?secret=query")
    assert "secret=query" not in str(world.sidecar.audit(event="request", path="/audit/query"))


def test_denied_path(sidecar: Sidecar) -> None:
    curl(sidecar, "https://api.test/denied/here")
    line = sidecar.audit(event="request", path="/denied/here")[0]
    assert (line["decision"], line["route"], line["slot"], line["status"]) == ("deny", "no-rule", None, 403)


def test_tunnels(sidecar: Sidecar) -> None:
    curl(sidecar, "https://audit-unknown.test/")
    denied = sidecar.audit(event="connect", host="audit-unknown.test:443")[0]
    assert (denied["decision"], denied["status"], denied["method"]) == ("deny", 403, "CONNECT")
    curl(sidecar, "https://open.test/")
    allowed = sidecar.audit(event="connect", host="open.test:443")[0]
    assert (allowed["decision"], allowed["route"]) == ("allow", "tunnel")


def test_unknown_server_name(sidecar: Sidecar) -> None:
    with pytest.raises(OSError), Tunnel(sidecar, "open.test", sni="audit-sni.test"):  # noqa: PT011
        pass
    line = sidecar.audit(event="handshake", sni="audit-sni.test")[0]
    assert (line["decision"], line["flags"], line["bottle"]) == ("deny", "NR", BOTTLE)


def test_hostile_text_stays_inside_its_field(sidecar: Sidecar) -> None:
    with Tunnel(sidecar, "open.test") as tunnel:
        tunnel.request(get('/odd"},\\"x', "open.test", 'User-Agent: "}\\n{"'))
    assert sidecar.audit(event="request", path='/odd"},\\"x')[0]["host"] == "open.test"


def test_long_path_is_cut(sidecar: Sidecar) -> None:
    curl(sidecar, "https://open.test/long" + "x" * 20_000)
    assert sidecar.audit(event="request", path="/long" + "x" * 1995)


def test_no_credential_anywhere(world: World) -> None:
    """Everything that the sidecar wrote, after requests of every kind that carry one."""
    for url in ("inject.test/", "key.test/", "basic.test/", "foreign.test/", "h2.test/", "api.test/keyed/x"):
        curl(world.sidecar, f"https://{url}")
    assert world.sidecar.audit(event="request", path="/keyed/x")
    written = (world.sidecar.folder / "audit").read_text() + (world.sidecar.folder / "errors").read_text()
    for value in CANARY.values():
        assert value not in written
        assert value.removeprefix("user:") not in written
    seen = str(world.upstream.seen)
    assert all(CANARY[name] in seen for name in ("TOKEN_A", "TOKEN_B")), "the control: they did leave"
