"""One compiled route set: the order in which routes were written cannot be seen in it.

Egress, audit and review all read this form, so what is reviewed and what is enforced cannot differ. The most specific
host decides alone: an exact host before `*.suffix`, a longer suffix before a shorter one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations, groupby, product

from bottlegen.errors import PlanError, Problem
from bottlegen.paths import PathPattern
from bottlegen.plan import Auth, Route, Slot, Token
from bottlegen.tokens import TokenRoute, compile_tokens, gh_routes


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Allowed requests of one host. Empty `methods` or `paths` allow any; `slot` names the injected credential."""

    name: str
    methods: tuple[str, ...]
    paths: tuple[PathPattern, ...]
    slot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRules:
    """All rules of one `host` (exact, or `*.suffix` for any depth below it) and `port`."""

    host: str
    port: int
    rules: tuple[Rule, ...]
    tls_passthrough: bool

    @property
    def restricts_paths(self) -> bool:
        """Whether any decision here depends on the path; where none does, paths may be forwarded untouched."""
        return any(rule.paths for rule in self.rules)

    @property
    def restricts_methods(self) -> bool:
        return any(rule.methods for rule in self.rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSet:
    """`hosts` sorted by (host, port), `tokens` in the profile's order; `slots`: first those of hosts."""

    hosts: tuple[HostRules, ...]
    slots: tuple[Slot, ...]
    tokens: tuple[TokenRoute, ...] = ()

    @property
    def destinations(self) -> tuple[tuple[str, int, bool], ...]:
        """Every host and port that something may be sent to, and whether it passes without inspection."""
        found = {(rules.host, rules.port, rules.tls_passthrough) for rules in self.hosts}
        return tuple(sorted(found | {(route.host, route.port, route.tls_passthrough) for route in self.tokens}))

    def slot(self, name: str) -> Slot:
        return next(slot for slot in self.slots if slot.name == name)


def compile_routes(routes: Iterable[Route], tokens: Sequence[Token] = ()) -> RouteSet:
    """Merge routes from every source; PlanError lists each pair that contradicts."""
    by_path, held = compile_tokens(tokens)
    merged = _merge_equal((*routes, *gh_routes(tokens)))
    groups = _by_host(merged)
    problems = [problem for group in groups for problem in _conflicts(group)]
    if problems:
        raise PlanError(problems)
    slots = _slots(merged)
    names = {(slot.token_ref, slot.header, slot.scheme): slot.name for slot in slots}
    hosts = tuple(_host_rules(group, names) for group in groups)
    agreed = {(rules.host, rules.port): rules.tls_passthrough for rules in hosts}
    return RouteSet(
        hosts=hosts,
        slots=(*slots, *held),
        # Inspection is by host: what the routes of a host say holds for its tokens too.
        tokens=tuple(
            replace(route, tls_passthrough=agreed.get((route.host, route.port), route.tls_passthrough))
            for route in by_path
        ),
    )


def _merge_equal(routes: Iterable[Route]) -> list[Route]:
    """Join routes that speak of the same requests: an unauthenticated one takes the credential of its twin."""
    merged: dict[tuple[object, ...], Route] = {}
    for route in sorted(map(normal, routes), key=_sort_key):
        key = (route.host, route.port, route.methods, route.paths)
        twin = merged.get(key)
        if twin is None:
            merged[key] = route
        elif twin.auth is None or route.auth is None or twin.auth == route.auth:
            merged[key] = _join(twin, route)
        else:
            merged[(*key, route.auth)] = route
    return list(merged.values())


def normal(route: Route) -> Route:
    """The one spelling of what a route allows."""
    paths = tuple(sorted(set(route.paths)))
    return replace(
        route,
        methods=tuple(sorted(set(route.methods))),
        paths=() if "/**" in paths else paths,
    )


def _join(a: Route, b: Route) -> Route:
    if a.tls_passthrough is not None and b.tls_passthrough is not None and a.tls_passthrough != b.tls_passthrough:
        raise PlanError(_passthrough_conflict(a, b))
    passthrough = b.tls_passthrough if a.tls_passthrough is None else a.tls_passthrough
    return replace(
        a,
        auth=a.auth or b.auth,
        tls_passthrough=passthrough,
        origin=f"{a.origin} and {b.origin}",
    )


def _sort_key(route: Route) -> tuple[object, ...]:
    auth = route.auth
    return (
        route.host, route.port, route.methods, route.paths,
        (auth.token_ref, auth.header, auth.scheme) if auth else ("", "", ""),
        str(route.tls_passthrough), route.origin,
    )  # fmt: skip


def _by_host(routes: Iterable[Route]) -> list[tuple[Route, ...]]:
    ordered = sorted(routes, key=_sort_key)
    return [tuple(group) for _, group in groupby(ordered, key=lambda route: (route.host, route.port))]


def _conflicts(group: tuple[Route, ...]) -> Iterable[Problem]:
    for a, b in _suspects(group):
        if a.auth != b.auth and _overlap(a, b):
            yield Problem(
                what=f"plan conflict: {_describe(a)} and {_describe(b)} cover the same requests to "
                f"'{a.host}' with different credentials",
                fix="give both the same auth, or make their methods or paths disjoint",
            )
        if {a.tls_passthrough, b.tls_passthrough} == {True, False}:
            yield _passthrough_conflict(a, b)


def _suspects(group: tuple[Route, ...]) -> Iterable[tuple[Route, Route]]:
    """The pairs that may contradict: those of one credential and one wish are let be, in whichever number."""
    alike: dict[tuple[Auth | None, bool | None], list[int]] = {}
    for index, route in enumerate(group):
        alike.setdefault((route.auth, route.tls_passthrough), []).append(index)
    pairs = (pair for one, other in combinations(alike.values(), 2) for pair in product(one, other))
    return ((group[min(pair)], group[max(pair)]) for pair in sorted(map(sorted, pairs)))


def _passthrough_conflict(a: Route, b: Route) -> Problem:
    return Problem(
        what=f"plan conflict: {_describe(a)} and {_describe(b)} disagree on pipelock.tls_passthrough of '{a.host}'",
        fix="set pipelock.tls_passthrough alike on every route of the host: inspection is by host",
    )


def _describe(route: Route) -> str:
    return f"{route.origin or 'a route'} ({_auth_text(route.auth)})"


def _auth_text(auth: Auth | None) -> str:
    return f"token_ref '{auth.token_ref}', header '{auth.header}'" if auth else "no auth"


def _overlap(a: Route, b: Route) -> bool:
    if a.methods and b.methods and not set(a.methods) & set(b.methods):
        return False
    if not a.paths or not b.paths:
        return True
    return any(_pattern(p).overlaps(_pattern(q)) for p in a.paths for q in b.paths)


_pattern = lru_cache(maxsize=50_000)(PathPattern.parse)
"""More than one profile can have: two versions of it share nearly all of theirs."""


def _slots(routes: Iterable[Route]) -> tuple[Slot, ...]:
    hosts: dict[Auth, set[str]] = {}
    for route in routes:
        if route.auth:
            hosts.setdefault(route.auth, set()).add(route.host)
    ordered = sorted(hosts, key=lambda auth: (auth.token_ref, auth.header, auth.scheme))
    return tuple(
        Slot(
            name=f"EGRESS_TOKEN_{index}",
            token_ref=auth.token_ref,
            scheme=auth.scheme,
            header=auth.header,
            hosts=tuple(sorted(hosts[auth])),
        )
        for index, auth in enumerate(ordered)
    )


def _host_rules(group: tuple[Route, ...], names: dict[tuple[str, str, str], str]) -> HostRules:
    first = group[0]
    rules = (
        Rule(
            name=f"{first.host}:{first.port}/{index}",
            methods=route.methods,
            paths=tuple(map(_pattern, route.paths)),
            slot=names[route.auth.token_ref, route.auth.header, route.auth.scheme] if route.auth else "",
        )
        for index, route in enumerate(group)
    )
    passthrough = any(route.tls_passthrough for route in group)
    return HostRules(
        host=first.host,
        port=first.port,
        rules=tuple(rules),
        tls_passthrough=passthrough,
    )
