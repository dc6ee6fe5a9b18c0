"""Decisions without a sidecar; that they are the sidecar's own is shown by tests/dataplane/test_decide.py."""

import pytest

from bottlegen.decide import Decision, decide, normalise
from bottlegen.plan import Auth, Route
from bottlegen.routes import compile_routes

ROUTES = compile_routes(
    [
        Route(host="api.test", methods=("GET",), paths=("/a/*",), auth=Auth(token_ref="T")),
        Route(host="*.wild.test"),
        Route(host="*.deep.wild.test", methods=("GET",)),
        Route(host="x.deep.wild.test", paths=("/only",)),
        Route(host="api.test", port=8443),
    ]
)


@pytest.mark.parametrize(
    ("host", "port", "method", "path", "status"),
    [
        ("api.test", 443, "GET", "/a/b?q", 0),
        ("API.test.", 443, "GET", "/a/b", 0),
        ("api.test", 443, "POST", "/a/b", 403),
        ("api.test", 443, "GET", "/a/b/c", 403),
        ("api.test", 443, "GET", "/a/%2f", 400),
        ("api.test", 443, "GET", "/a b", 400),
        ("api.test", 8443, "POST", "/anything", 0),
        ("api.test", 8443, "TRACE", "/anything", 403),
        ("api.test", 80, "GET", "/a/b", 403),
        ("wild.test", 443, "GET", "/", 403),
        ("y.wild.test", 443, "POST", "/", 0),
        ("y.deep.wild.test", 443, "POST", "/", 403),
        ("x.deep.wild.test", 443, "GET", "/", 403),
        ("x.deep.wild.test", 443, "POST", "/only", 0),
        ("evilwild.test", 443, "GET", "/", 403),
    ],
)
def test_decide(host: str, port: int, method: str, path: str, status: int) -> None:
    decision = decide(ROUTES, host, port, method, path)
    assert (decision.status, decision.allowed) == (status, status == 0)


def test_decision_names_rule_and_slot() -> None:
    assert decide(ROUTES, "api.test", 443, "GET", "/x/../a//b?q") == Decision(
        allowed=True, rule="api.test:443/0", slot="EGRESS_TOKEN_0", path="/a/b"
    )


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/a/../../b", "/b"),
        ("/a/.", "/a/"),
        ("/%41%7e%2d", "/A~-"),
        ("/%27", "/%27"),
        ("/a\\..\\b", "/b"),
        ("/a..;x/b", "/a..;x/b"),
        ("/..;x/b", "/b"),
        ("/%%34%31", "/%2541"),
        ("/<", "/%3C"),
        ("/a%2Fb", None),
        ("/%2e%2e;/b", None),
        ("/%252e/b", None),
        ("/%C0%af", None),
        ("/%00", None),
        ("*", None),
    ],
)
def test_normalise(raw: str, path: str | None) -> None:
    assert normalise(raw) == path
