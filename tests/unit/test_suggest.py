"""From audit lines to a patched profile: exactly what was refused becomes allowed, whatever an agent asked for."""

import itertools
import json
import tomllib
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bottlegen.authority import authority_of
from bottlegen.decide import decide, normalise
from bottlegen.diff import compare
from bottlegen.observed import MAX_DENIED, Observed, add_run, from_json, to_json
from bottlegen.paths import PathPattern
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import Preview, load_profile, preview
from bottlegen.profile import Profile
from bottlegen.profile_patch import patched, unified
from bottlegen.sidecars.egress import routes_json
from bottlegen.suggest import SIBLINGS, Proposal, propose

_HEAD = '[agent_provider]\ntemplate = "shell"\n'
_PROFILE = f"""# mine
{_HEAD}
[[egress.routes]]
host = "api.example.com"
methods = ["GET"]  # reading
paths = [
    "/repos/**",
]

# of the archive
[[egress.routes]]
host = "old.example.com"
[egress.routes.auth]
token_ref = "OLD"

# the last
[resources]
pids = 100"""


def _made(text: str, **others: str) -> tuple[Profile, Preview]:
    files = {"dev.toml": text, **{f"{name}.toml": value for name, value in others.items()}}
    profile = load_profile("dev.toml", lambda name: files[name].encode())
    return profile, preview(profile, load_pins())


def _request(method: str, host: str, path: str, route: str = "no-rule") -> dict[str, object]:
    return {"event": "request", "decision": "deny", "route": route, "method": method, "host": host, "path": path}


def _tunnel(host: str, route: str = "no-route") -> dict[str, object]:
    return {"event": "connect", "decision": "deny", "route": route, "method": "CONNECT", "host": host, "path": None}


def _used(route: str) -> dict[str, object]:
    return {"event": "request", "decision": "allow", "route": route}


_EVERYTHING = (_used("api.example.com:443/0"), _used("old.example.com:443/0"))


def _suggested(text: str, *audit: Mapping[str, object], **others: str) -> tuple[Proposal, str | None]:
    profile, view = _made(text, **others)
    observed = from_json(to_json(add_run(Observed(), routes_json(view.routes), audit)))
    proposal = propose(observed, profile, view.routes, view.provided)
    return proposal, patched(profile.sources[-1], proposal.blocks, proposal.unused, observed.runs)


def _added(text: str, *audit: Mapping[str, object]) -> list[dict[str, object]]:
    """The routes that the patched profile has more; it loads and combines."""
    _, new = _suggested(text, *audit)
    assert new is not None
    _made(new)
    before = tomllib.loads(text).get("egress", {}).get("routes", [])
    routes: list[dict[str, object]] = tomllib.loads(new).get("egress", {}).get("routes", [])
    return [route for route in routes if route not in before]


def test_exact_host_method_and_path() -> None:
    asked = (
        _request("POST", "api.example.com", "/repos/a/issues"),
        _request("POST", "api.example.com", "/repos/a/issues"),
        _request("GET", "api.example.com:8443", "/status"),
    )
    assert _added(_PROFILE, *_EVERYTHING, *asked) == [
        {"host": "api.example.com", "methods": ["POST"], "paths": ["/repos/a/issues"]},
        {"host": "api.example.com", "port": 8443, "methods": ["GET"], "paths": ["/status"]},
    ]


def test_methods_are_joined_only_for_paths_that_had_them_all() -> None:
    asked = (_request("POST", "api.example.com", "/x"), _request("PUT", "api.example.com", "/x"))
    assert _added(_PROFILE, *_EVERYTHING, *asked, _request("PUT", "api.example.com", "/y")) == [
        {"host": "api.example.com", "methods": ["POST", "PUT"], "paths": ["/x"]},
        {"host": "api.example.com", "methods": ["PUT"], "paths": ["/y"]},
    ]


def test_a_refused_tunnel_gives_reading_alone_and_says_why() -> None:
    proposal, new = _suggested(_PROFILE, *_EVERYTHING, _tunnel("new.example.com:443"), _tunnel("git.example.com:8443"))
    assert [(b.host, b.port, b.methods, b.paths) for b in proposal.blocks] == [
        ("git.example.com", 8443, ("GET", "HEAD"), ()),
        ("new.example.com", 443, ("GET", "HEAD"), ()),
    ]
    assert new is not None
    assert new.endswith(
        "\n# only this host is known, as a tunnel to it was refused (once);\n"
        "# run again with `up --observe` to see what it is asked, and write paths then\n"
        '[[egress.routes]]\nhost = "new.example.com"\nmethods = ["GET", "HEAD"]\n'
    )


def test_four_siblings_become_a_star_and_three_do_not() -> None:
    asked = [_request("POST", "api.example.com", f"/v1/{name}/runs") for name in ("a", "b", "c")]
    assert _added(_PROFILE, *_EVERYTHING, *asked)[0]["paths"] == ["/v1/a/runs", "/v1/b/runs", "/v1/c/runs"]
    asked.append(_request("POST", "api.example.com", "/v1/d/runs"))
    assert _added(_PROFILE, *_EVERYTHING, *asked)[0]["paths"] == ["/v1/*/runs"]
    proposal, _ = _suggested(_PROFILE, *_EVERYTHING, *asked)
    assert "the * in /v1/*/runs stands for a, b, c, d" in proposal.blocks[0].notes
    top = [_request("POST", "api.example.com", f"/{name}") for name in "abcde"]
    assert _added(_PROFILE, *_EVERYTHING, *top)[0]["paths"] == ["/a", "/b", "/c", "/d", "/e"]


def test_no_star_that_would_meet_a_route_with_a_credential() -> None:
    keyed = (
        f'{_HEAD}[[egress.routes]]\nhost = "api.example.com"\nauth = {{ token_ref = "KEY" }}\npaths = ["/v1/k/runs"]\n'
    )
    asked = [_request("POST", "api.example.com", f"/v1/{name}/runs") for name in "abcd"]
    (route,) = _added(keyed, _used("api.example.com:443/0"), *asked)
    assert route["paths"] == [f"/v1/{name}/runs" for name in "abcd"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (_tunnel("10.0.0.1:443"), "is an IP address"),
        (_tunnel("[::1]:443"), "is an IP address"),
        (_tunnel("169.254.169.254:80"), "is an IP address"),
        (_tunnel("cred-proxy:443"), "belongs to the bottle"),
        (_tunnel("localhost:443"), "belongs to the bottle"),
        (_tunnel("x.localhost:443"), "belongs to the bottle"),
        (_tunnel("intranet:443"), "a name of the host's own network"),
        (_tunnel("host.docker.internal:443"), "a name of the host's own network"),
        (_tunnel("printer.local:443"), "a name of the host's own network"),
        (_tunnel("*.example.com:443"), "a wildcard"),
        (_tunnel("a_b.example.com:443"), "has an underscore"),
        (_tunnel('x"]\n[y].example.com:443') | {"host": 'x"][y.example.com:443'}, "is not a host name"),
        (_request("GET", "x.example.com", "/", "plain-http") | {"event": "connect"}, "plain HTTP"),
        (_request("TRACE", "api.example.com", "/", "echo"), "TRACE"),
        (_request("TRACE", "api.example.com", "/"), "'TRACE' cannot be allowed"),
        (_request("get", "api.example.com", "/"), "capitals"),
        (_request("POST", "api.example.com", "/a/**"), "reads as a wildcard"),
        (_request("POST", "api.example.com", "/a/*/b"), "reads as a wildcard"),
        (_request("POST", "api.example.com", "/a%2fb"), "differently"),
        (_request("POST", "api.example.com", "/a%20b"), "no percent-encoding"),
        (_request("POST", "api.example.com", '/a"]'), "no percent-encoding"),
        (_request("GET", "api.example.com", "/x", "ambiguous-path"), "differently"),
        (_request("GET", "other.test", "/x", "host-sni-mismatch"), "another host"),
        ({"event": "handshake", "decision": "deny", "route": None, "sni": "x.example.com"}, "another host"),
    ],
)
def test_what_no_route_may_hold_is_told_and_left_out(line: dict[str, object], reason: str) -> None:
    proposal, new = _suggested(_PROFILE, *_EVERYTHING, line)
    assert (proposal.blocks, proposal.unused, new) == ((), (), _PROFILE)
    (left,) = proposal.left
    assert reason in left.reason


def test_a_host_under_a_wildcard_gets_no_route_that_would_take_its_place() -> None:
    wild = f'{_HEAD}[[egress.routes]]\nhost = "*.example.com"\nmethods = ["GET"]\n'
    proposal, _ = _suggested(wild, _used("*.example.com:443/0"), _request("POST", "a.example.com", "/x"))
    assert proposal.blocks == ()
    assert "'*.example.com' decides for it" in proposal.left[0].reason


def test_what_the_profile_allows_by_now_is_no_news() -> None:
    proposal, _ = _suggested(
        _PROFILE, *_EVERYTHING, _request("GET", "api.example.com", "/repos/x"), _tunnel("old.example.com:443")
    )
    assert proposal == Proposal(blocks=(), unused=(), left=())


def test_unused_routes_are_commented_out_with_what_belongs_to_them() -> None:
    proposal, new = _suggested(_PROFILE, _used("api.example.com:443/0"))
    assert proposal.unused == (1,)
    assert new == _PROFILE.replace(
        '[[egress.routes]]\nhost = "old.example.com"\n[egress.routes.auth]\ntoken_ref = "OLD"\n',
        '# used by none of 1 observed runs:\n# [[egress.routes]]\n# host = "old.example.com"\n'
        '# [egress.routes.auth]\n# token_ref = "OLD"\n',
    )
    _, new = _suggested(_PROFILE, _used("old.example.com:443/0"))
    assert new is not None
    assert '# [[egress.routes]]\n# host = "api.example.com"\n# methods = ["GET"]  # reading\n# paths = [\n' in new
    assert '# ]\n\n# of the archive\n[[egress.routes]]\nhost = "old' in new


def test_a_route_that_no_observed_run_had_is_not_unused() -> None:
    profile, view = _made(_PROFILE)
    older = add_run(Observed(), routes_json(_made(_HEAD)[1].routes), ())
    assert propose(older, profile, view.routes, view.provided).unused == ()
    now = add_run(older, routes_json(view.routes), ())
    assert propose(now, profile, view.routes, view.provided).unused == (0, 1)


def test_routes_of_other_files_and_of_the_provider_are_told_alone() -> None:
    base = '[[egress.routes]]\nhost = "base.example.com"\n'
    text = 'extends = ["base.toml"]\n[agent_provider]\ntemplate = "claude"\nauth_token = "TOKEN"\n'
    proposal, _ = _suggested(text, base=base)
    assert proposal.unused == ()
    told = [f"{left.what}: {left.reason}" for left in proposal.left]
    assert "base.toml:1  egress.routes[0]: unused, and of another file" in told
    assert any("api.anthropic.com" in line and "the provider's" in line for line in told)


_WILD = '[[egress.routes]]\nhost = "*.example.com"\n'
_READS = '[[egress.routes]]\nhost = "a.example.com"\nmethods = ["GET"]\n'
_WRITES = '[[egress.routes]]\nhost = "a.example.com"\nmethods = ["POST"]\npaths = ["/x"]\n'


@pytest.mark.parametrize(
    ("used", "unused", "name", "reason"),
    [
        (_WILD, _READS, "*.example.com:443/0", "it stands in the way of '*.example.com'"),
        (_READS, _WRITES, "a.example.com:443/0", "would not be judged"),
    ],
)
def test_what_goes_never_lets_anything_else_through(used: str, unused: str, name: str, reason: str) -> None:
    """Each of these removals would widen, as the comparison shows; so they are told and not done."""
    text = f"{_HEAD}{used}{unused}"
    proposal, new = _suggested(text, _used(name))
    assert new == text
    assert [reason in left.reason for left in proposal.left] == [True]
    before, after = (authority_of(_made(made)[1]) for made in (text, f"{_HEAD}{used}"))
    assert "widens" in {change.kind for change in compare(before, after)}


_ROUTES = st.builds(
    lambda host, *rest: f'[[egress.routes]]\nhost = "{host}"\n' + "".join(rest),
    st.sampled_from(["a.x.com", "b.a.x.com", "*.x.com", "*.a.x.com"]),
    st.sampled_from(["", 'methods = ["GET"]\n', 'methods = ["POST"]\n']),
    st.sampled_from(["", 'paths = ["/x"]\n', 'paths = ["/x/**"]\n']),
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(_ROUTES, unique=True, min_size=1, max_size=5), st.lists(_ROUTES, max_size=1), st.sets(st.integers(0, 5))
)
def test_no_removal_widens(own: list[str], base: list[str], used: set[int]) -> None:
    text, other = "\n".join(['extends = ["base.toml"]', _HEAD, *own]), "".join(base)
    _, view = _made(text, base=other)
    names = [rule.name for rules in view.routes.hosts for rule in rules.rules]
    _, new = _suggested(text, *(_used(name) for index, name in enumerate(names) if index in used), base=other)
    assert new is not None
    changes = compare(authority_of(view), authority_of(_made(new, base=other)[1]))
    assert {change.kind for change in changes} <= {"narrows"}


def test_a_route_that_has_its_host_inspected_stays() -> None:
    text = f'{_HEAD}[[egress.routes]]\nhost = "a.example.com"\npipelock.tls_passthrough = false\n'
    proposal, new = _suggested(text)
    assert (new, [left.reason for left in proposal.left]) == (text, ["unused, and it has this host inspected"])
    proposal, new = _suggested(f"{_HEAD}{_WILD}pipelock.tls_passthrough = false\n{_READS}")
    assert (proposal.unused, len(proposal.left)) == ((), 2), "as the wildcard stays, so does what stands in its way"


@pytest.mark.parametrize(
    "text",
    [
        _HEAD + "[egress]\nroutes = []\n",
        'egress = { routes = [{ host = "api.example.com", methods = ["GET"] }] }\n' + _HEAD,
        _HEAD + '[egress]\nroutes = [\n  { host = "api.example.com", methods = ["GET"] },\n]\n',
    ],
)
def test_routes_inside_of_values_are_not_patched(text: str) -> None:
    assert _suggested(text, _tunnel("new.example.com:443"))[1] is None


@pytest.mark.parametrize(
    "text",
    [
        _HEAD,
        _HEAD.rstrip("\n"),
        _HEAD.replace("\n", "\r\n"),
        f"{_HEAD}[egress]\n",
        f"{_HEAD}[[egress.routes]]\nhost = 'a.example.com' # [[egress.routes]]\n[env]\nX = '[[egress.routes]]'\n",
    ],
)
def test_every_other_form_is(text: str) -> None:
    assert len(_added(text, _used("a.example.com:443/0"), _tunnel("new.example.com:443"))) == 1


def test_lines_of_other_kinds_count_for_nothing() -> None:
    _, view = _made(_PROFILE)
    odd: tuple[dict[str, object], ...] = (
        {},
        {"decision": "deny"},
        {"decision": "deny", "event": "request", "host": 7},
        {"decision": None},
    )
    found = add_run(Observed(), routes_json(view.routes), odd)
    assert (found.denied, found.dropped, found.runs) == ((), 2, 1)


def test_secrets_and_long_texts_are_not_kept() -> None:
    token = "ghp_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"
    asked = (
        _request("GET", "api.example.com", f"/x/{token}/y"),
        _request("GET", "api.example.com", "/" + "x" * 2000),
        _tunnel(f"{'x' * 290}.com:443"),
        _request("GET", "api.example.com", "/a\nb\x1b"),
    )
    found = add_run(Observed(), routes_json(_made(_PROFILE)[1].routes), asked)
    assert (found.denied, found.dropped) == ((), 4)
    kept = add_run(found, b'{"routes": []}', [_request("GET", "api.example.com", "/x/y")])
    assert [str(asked) for asked, _ in kept.denied] == ["GET api.example.com/x/y"]


def test_runs_add_up_within_bounds() -> None:
    flood = [_request("GET", "api.example.com", f"/{number}/x") for number in range(MAX_DENIED + 50)]
    once = add_run(Observed(), b'{"routes": []}', flood)
    assert (len(once.denied), once.dropped) == (MAX_DENIED, 50)
    twice = add_run(once, b'{"routes": []}', flood)
    assert (len(twice.denied), twice.dropped, twice.runs) == (MAX_DENIED, 100, 2)
    assert {count for _, count in twice.denied} == {2}
    assert len(to_json(twice)) < 1 << 20
    assert from_json(to_json(twice)) == twice


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format": 2}', b'{"format": 1, "denied": 3}'])
def test_a_broken_record_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_json(data)


_NASTY = st.text(
    st.one_of(st.sampled_from("/\"'\\\n\r\t\0#[]{}=*.:%abGZ2ef-_@$ \u2028\u202e"), st.characters()), max_size=40
)
_HOSTS = st.one_of(st.sampled_from(["api.example.com", "new.example.com", "a.example.com"]), _NASTY)
_PATHS = st.one_of(_NASTY.map("/".__add__), st.sampled_from(["/a/b", "/repos/x", "/a/c", "/a/d", "/a/e"]))
_LINES = st.builds(
    lambda event, host, port, method, path, route: {
        "event": event, "decision": "deny", "host": host + port, "method": method, "path": path, "route": route,
    },
    st.sampled_from(["connect", "request", "handshake"]), _HOSTS, st.sampled_from(["", ":443", ":8443", ":x"]),
    st.one_of(st.sampled_from(["GET", "POST", "PUT"]), _NASTY), _PATHS,
    st.one_of(st.sampled_from(["no-rule", "no-route"]), _NASTY),
)  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(st.lists(_LINES, max_size=12))
def test_hostile_text_is_a_quoted_value_or_nothing(lines: list[dict[str, object]]) -> None:
    """The patched profile differs from the old one by routes of exact hosts without credential, whatever was asked, and
    each of them allows what was asked for."""
    proposal, new = _suggested(_PROFILE, *_EVERYTHING, *lines)
    assert new is not None
    assert new.startswith(_PROFILE)
    old, data = tomllib.loads(_PROFILE), tomllib.loads(new)
    added = data["egress"]["routes"][2:]
    assert data | {"egress": old["egress"]} == old
    assert all(set(route) <= {"host", "port", "methods", "paths"} for route in added)
    asked = {str(line["host"]).lower().rpartition(":")[0].rstrip(".") or str(line["host"]) for line in lines}
    asked |= {str(line["host"]).lower().rstrip(".") for line in lines}
    assert {route["host"] for route in added} <= asked
    _, view = _made(new)
    seen = {(line["method"], normalise(str(line["path"]))) for line in lines if line["event"] == "request"}
    for block in proposal.blocks:
        assert block.paths or block.methods == ("GET", "HEAD")
        for method, path in itertools.product(block.methods, block.paths):
            pattern = PathPattern.parse(path)
            covered = {(method, one) for how, one in seen if how == method and one and pattern.matches(one)}
            assert len(covered) >= (SIBLINGS if "*" in path else 1)
            for _, one in covered:
                assert decide(view.routes, block.host, block.port, method, str(one), http2=True).allowed


def test_the_diff_has_what_git_writes() -> None:
    assert unified("x.toml", "a\n", "a\n") == ""
    assert unified("a b.toml", "a", "a\nb") == (
        "--- a/a b.toml\t\n+++ b/a b.toml\t\n@@ -1 +1,2 @@\n"
        "-a\n\\ No newline at end of file\n+a\n+b\n\\ No newline at end of file\n"
    )
    assert json.dumps(unified("x", "a\x0c\r\n", "b\r\n")).count("\\r\\n") == 2
