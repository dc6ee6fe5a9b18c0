"""What is said of two bundles agrees with putting requests, one by one, to the decision that the sidecar is held to."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bottlegen.authority import Authority, authority
from bottlegen.bundle import Bundle, assemble
from bottlegen.decide import covering, decide
from bottlegen.diff import Change, compare, verdict
from bottlegen.errors import BundleError, PlanError
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import preview
from bottlegen.plan import AgentProvider, Auth, RenderedFile, Resources, Route, Slot
from bottlegen.profile import Inspection, Profile, Workspace
from bottlegen.render import canonical_json
from bottlegen.routes import HostRules, RouteSet, compile_routes
from bottlegen.sidecars.egress import routes_json

PINS = load_pins()
STEPS = 5  # 400 examples of five edits each
HOSTS = ("a.test", "*.w.test", "x.w.test", "*.d.w.test")
ASKED = ("a.test", "x.w.test", "y.w.test", "z.d.w.test", "w.test")
METHODS = ("GET", "POST", "OTHER")
SEGMENTS = ("a", "b", "*", "a*")
PATHS = ("/", "/**", *(f"/{a}{end}" for a in SEGMENTS for end in ("", "/", "/**")), "/a/b", "/a/*", "/*/b/**", "/a*/a*")
WORDS = ("a", "ab", "b", "c")
WORLD = (
    "/",
    *(f"/{a}{end}" for a in WORDS for end in ("", "/", "/c/c")),
    *(f"/{a}/{b}{end}" for a in WORDS for b in WORDS for end in ("", "/", "/c")),
    "/a%2fb", "/%2e%2e;x",
)  # fmt: skip
AUTHS = (None, None, Auth(token_ref="T"), Auth(token_ref="U"), Auth(token_ref="T", header="x-api-key", scheme=""))

ROUTES = st.builds(
    Route,
    host=st.sampled_from(HOSTS),
    port=st.sampled_from([443, 443, 443, 8443]),
    methods=st.sampled_from([(), ("GET",), ("POST",), ("GET", "POST")]),
    paths=st.lists(st.sampled_from(PATHS), max_size=2).map(tuple),
    auth=st.sampled_from(AUTHS),
    tls_passthrough=st.sampled_from([None, None, False, True]),
)
BASE = Profile(
    name="p", agent=AgentProvider(template="shell"), resources=Resources(cpus=2, memory=2**30, pids=64), routes=(),
    inspection=Inspection(),
)  # fmt: skip


@st.composite
def edits(draw: st.DrawFn, before: Profile) -> Profile:
    """One change, as people make them: a route more, fewer, or another; a setting; another order."""
    routes = list(before.routes)
    kind = draw(st.sampled_from(["add", "add", "remove", "change", "shuffle", "setting"]))
    if kind == "add" or not routes:
        routes.append(draw(ROUTES))
    elif kind == "remove":
        routes.pop(draw(st.integers(0, len(routes) - 1)))
    elif kind == "change":
        index = draw(st.integers(0, len(routes) - 1))
        field = draw(st.sampled_from(["methods", "paths", "auth", "host", "tls_passthrough"]))
        routes[index] = replace(routes[index], **{field: getattr(draw(ROUTES), field)})
    elif kind == "shuffle":
        routes = draw(st.permutations(routes))
    else:
        return replace(before, **draw(SETTINGS))
    return replace(before, routes=tuple(routes))


SETTINGS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"home": "ephemeral"}, {"home": "kept"}, {"isolation": "vm"}, {"isolation": None}, {"runtime": "docker"},
        {"env": (("A", "1"),)}, {"env": ()}, {"resources": Resources(cpus=2, memory=2**31, pids=64)},
        {"workspace": Workspace(path="src")}, {"workspace": Workspace(read_only=("docs",))},
        {"workspace": Workspace(mode="none")}, {"workspace": Workspace()},
    ]
)  # fmt: skip


@cache
def bottle(settings_alone: Profile) -> Bundle:
    return preview(settings_alone, PINS).bundle


def permitted_by(profile: Profile, routes: RouteSet) -> Authority:
    """As of the built bundle, without rendering a sidecar's config each time."""
    made = bottle(replace(profile, routes=()))
    tokens = canonical_json({slot.name: slot.token_ref for slot in routes.slots})
    files = {"routes.json": routes_json(routes), "tokens.json": tokens}
    replaced = {path: RenderedFile(path=path, data=data) for path, data in files.items()}
    return authority(Bundle({**made.files, **replaced}))


@st.composite
def histories(draw: st.DrawFn) -> list[Profile]:
    profiles = [replace(BASE, routes=tuple(draw(st.lists(ROUTES, max_size=3))))]
    for _ in range(STEPS):
        profiles.append(draw(edits(profiles[-1])))
    return profiles


@cache
def table(rules: HostRules | None, slots: tuple[Slot, ...], host: str, port: int) -> tuple[Any, ...]:
    """For every request of the world None, or the credential it gets ('' for none)."""
    routes = RouteSet(hosts=(rules,) if rules else (), slots=slots)
    decisions = [decide(routes, host, port, method, path, http2=True) for method in METHODS for path in WORLD]
    return tuple(_credential(routes, d.slot) if d.allowed else None for d in decisions)


def _credential(routes: RouteSet, slot: str) -> tuple[str, ...]:
    found = routes.slot(slot) if slot else None
    return (found.token_ref, found.header, found.scheme) if found else ()


def universe(routes: RouteSet) -> list[tuple[Any, ...]]:
    return [table(covering(routes, host, port), routes.slots, host, port) for host in ASKED for port in (443, 8443)]


def reaches_more(before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> bool:
    pairs = ((old, new) for a, b in zip(before, after, strict=True) for old, new in zip(a, b, strict=True))
    return any(new is not None and new != old and (old is None or new != ()) for old, new in pairs)


def is_inspected(routes: RouteSet) -> dict[Any, bool]:
    return {
        (host, port): not rules.tls_passthrough
        for host in ASKED
        for port in (443, 8443)
        if (rules := covering(routes, host, port))
    }


def of_kind(changes: tuple[Change, ...], kind: str, area: str) -> bool:
    return any(change.kind == kind and change.area == area for change in changes)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(histories(), st.data())
def test_what_is_said_is_what_requests_show(profiles: list[Profile], data: st.DataObject) -> None:
    views = []
    for profile in profiles:
        try:
            routes = compile_routes(profile.routes)
        except PlanError:
            continue  # contradicting routes have no bundle
        views.append((profile, routes, permitted_by(profile, routes)))
    for (old_profile, old, was), (new_profile, new, now) in itertools.pairwise(views):
        forth, back = compare(was, now), compare(now, was)
        before, after = universe(old), universe(new)
        assert of_kind(forth, "widens", "routes") is reaches_more(before, after)
        assert of_kind(forth, "narrows", "routes") is reaches_more(after, before)
        same = before == after and is_inspected(old) == is_inspected(new)
        settings_same = replace(old_profile, routes=()) == replace(new_profile, routes=())
        assert (forth == ()) is (same and settings_same)
        assert {(c.area, c.kind == "widens") for c in forth if c.kind != "other"} == {
            (c.area, c.kind == "narrows") for c in back if c.kind != "other"
        }
    if views:
        profile, _, permitted = views[-1]
        shuffled = replace(profile, routes=tuple(data.draw(st.permutations(profile.routes))))
        assert compare(permitted, permitted_by(shuffled, compile_routes(shuffled.routes))) == ()


def bundle(**changes: Any) -> Bundle:
    return preview(replace(BASE, **changes), PINS).bundle


def altered(change: Callable[[dict[str, Any]], None]) -> Bundle:
    """A bundle whose manifest says something that no profile can ask for."""
    made = bundle()
    tree = made.manifest.model_dump(mode="json")
    change(tree)
    return assemble(tree, [file for path, file in made.files.items() if path != "manifest.json"])


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree["services"]["agent"]["networks"].append("outside"),
        lambda tree: tree["services"]["agent"]["hardening"].update(user="sidecar"),
        lambda tree: tree["services"].pop("egress"),
        lambda tree: tree["services"].update(extra=tree["services"]["egress"]),
    ],
)
def test_what_cannot_be_compared_widens(change: Callable[[dict[str, Any]], None]) -> None:
    plain, other = authority(bundle()), authority(altered(change))
    assert verdict(compare(plain, other)) == "widens"
    assert verdict(compare(other, plain)) == "widens"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (Workspace(), Workspace(path="src"), {"narrows"}),
        (Workspace(path="src"), Workspace(path="src/lib"), {"narrows"}),
        (Workspace(path="a"), Workspace(path="b"), {"widens", "narrows"}),
        (Workspace(path="a"), Workspace(path="ab"), {"widens", "narrows"}),
        (Workspace(), Workspace(read_only=("docs",)), {"narrows"}),
        (Workspace(read_only=("docs",)), Workspace(read_only=("docs/api",)), {"widens"}),
        (Workspace(read_only=("docs", "docs/api")), Workspace(read_only=("docs",)), set()),
        (Workspace(read_only=("src/a",)), Workspace(path="src", read_only=("a",)), {"narrows"}),
        (Workspace(read_only=("src",)), Workspace(path="src"), {"widens", "narrows"}),
        (Workspace(read_only=("a",)), Workspace(read_only=("b",)), {"widens", "narrows"}),
        (Workspace(), Workspace(mode="none"), {"narrows"}),
    ],
)
def test_workspaces(before: Workspace, after: Workspace, expected: set[str]) -> None:
    changes = compare(authority(bundle(workspace=before)), authority(bundle(workspace=after)))
    assert {change.kind for change in changes} == expected


def test_a_long_value_that_changes_at_its_end_is_seen() -> None:
    one, other = (authority(bundle(env=(("A", "x" * 100 + end),))) for end in "12")
    assert verdict(compare(one, other)) == "other"


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("routes.json", b"{}"),
        ("routes.json", b"not json"),
        ("routes.json", b'{"format": 2, "routes": []}'),
        ("tokens.json", b"[]"),
        ("tokens.json", b"{}"),
    ],
)
def test_files_that_cannot_be_understood_are_an_error(path: str, data: bytes) -> None:
    made = bundle(routes=(Route(host="a.test", auth=Auth(token_ref="T")),))
    files = {name: file for name, file in made.files.items() if name != "manifest.json"}
    files[path] = RenderedFile(path=path, data=data)
    with pytest.raises(BundleError, match="cannot be compared"):
        authority(assemble(made.manifest.model_dump(mode="json"), files.values()))
