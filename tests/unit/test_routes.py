"""Route sets: merging, conflicts, and that the order of writing cannot be seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlegen.errors import PlanError
from bottlegen.plan import Auth, Route
from bottlegen.routes import RouteSet, compile_routes

A = Auth(token_ref="A")
B = Auth(token_ref="B", scheme="", header="x-api-key")

ROUTES = st.lists(
    st.builds(
        Route,
        host=st.sampled_from(["a.test", "b.test", "*.test"]),
        port=st.sampled_from([443, 8443]),
        methods=st.lists(st.sampled_from(["GET", "POST"]), max_size=3).map(tuple),
        paths=st.lists(st.sampled_from(["/a", "/a/**", "/b", "/*", "/**"]), max_size=3).map(tuple),
        auth=st.sampled_from([None, A, B]),
        tls_passthrough=st.sampled_from([None, True, False]),
        origin=st.sampled_from(["profile", "provider"]),
    ),
    max_size=5,
)


def _outcome(routes: list[Route]) -> RouteSet | str:
    try:
        return compile_routes(routes)
    except PlanError as e:
        return str(e)


@given(ROUTES.flatmap(lambda routes: st.tuples(st.just(routes), st.permutations(routes))))
def test_order_carries_no_meaning(both: tuple[list[Route], list[Route]]) -> None:
    assert _outcome(both[0]) == _outcome(both[1])


@given(ROUTES)
def test_writing_a_route_twice_changes_nothing(routes: list[Route]) -> None:
    assert isinstance(_outcome(routes), str) == isinstance(_outcome(routes + routes), str)


def test_route_without_auth_takes_the_credential_of_its_twin() -> None:
    compiled = compile_routes([Route(host="a.test", tls_passthrough=True), Route(host="a.test", auth=A)])
    assert [rule.slot for rule in compiled.hosts[0].rules] == ["EGRESS_TOKEN_0"]
    assert compiled.hosts[0].tls_passthrough


def test_a_secret_with_two_headers_has_two_slots() -> None:
    other = Auth(token_ref="A", header="x-api-key", scheme="")
    compiled = compile_routes([Route(host="a.test", auth=A), Route(host="b.test", auth=other)])
    assert [(slot.name, slot.token_ref, slot.hosts) for slot in compiled.slots] == [
        ("EGRESS_TOKEN_0", "A", ("a.test",)),
        ("EGRESS_TOKEN_1", "A", ("b.test",)),
    ]


def test_a_slot_lists_every_host_it_reaches() -> None:
    compiled = compile_routes([Route(host="b.test", auth=A), Route(host="a.test", auth=A), Route(host="c.test")])
    assert [slot.hosts for slot in compiled.slots] == [("a.test", "b.test")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Route(host="a.test", auth=A), Route(host="a.test", auth=B)),
        (Route(host="a.test", auth=A), Route(host="a.test", auth=B, methods=("GET",))),
        (Route(host="a.test", auth=A, paths=("/a/**",)), Route(host="a.test", paths=("/*/b",))),
        (Route(host="a.test", auth=A, paths=("/a",)), Route(host="a.test", auth=B, paths=("/**",))),
    ],
)
def test_requests_with_two_credentials_conflict(first: Route, second: Route) -> None:
    with pytest.raises(PlanError, match=r"plan conflict: .*'a.test' with different credentials"):
        compile_routes([first, second])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Route(host="a.test", auth=A), Route(host="b.test", auth=B)),
        (Route(host="a.test", auth=A), Route(host="a.test", auth=B, port=8443)),
        (Route(host="a.test", auth=A, methods=("GET",)), Route(host="a.test", auth=B, methods=("POST",))),
        (Route(host="a.test", auth=A, paths=("/a/**",)), Route(host="a.test", auth=B, paths=("/b/**",))),
    ],
)
def test_disjoint_requests_do_not_conflict(first: Route, second: Route) -> None:
    assert len(compile_routes([first, second]).slots) == 2


def test_passthrough_is_said_once_for_a_host() -> None:
    with pytest.raises(PlanError, match=r"disagree on pipelock\.tls_passthrough of 'a\.test'"):
        compile_routes(
            [
                Route(host="a.test", tls_passthrough=True, paths=("/a",)),
                Route(host="a.test", tls_passthrough=False, paths=("/b",)),
            ]
        )


def test_every_conflict_is_told() -> None:
    routes = [Route(host=host, auth=auth) for host in ("a.test", "b.test") for auth in (A, B)]
    with pytest.raises(PlanError) as caught:
        compile_routes(routes)
    assert len(caught.value.problems) == 2


def test_restrictions_are_known() -> None:
    hosts = {
        rules.host: (rules.restricts_methods, rules.restricts_paths)
        for rules in compile_routes(
            [
                Route(host="open.test"),
                Route(host="get.test", methods=("GET",)),
                Route(host="path.test", paths=("/a",)),
                Route(host="all.test", paths=("/a", "/**")),
            ]
        ).hosts
    }
    assert hosts == {
        "open.test": (False, False),
        "get.test": (True, False),
        "path.test": (False, True),
        "all.test": (False, False),
    }
