"""From what was observed to routes that would allow it and no more, and to routes that nothing used.

A proposal never holds a wildcard host, a credential, a passthrough or a name of the host's own network, and what it
takes away never lets anything else through.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bottlegen import fields, hostname, inheritance
from bottlegen.decide import covering, decide, normalise
from bottlegen.observed import Denied, Observed, RuleKey
from bottlegen.paths import PathPattern
from bottlegen.plan import Route
from bottlegen.profile import Profile
from bottlegen.routes import HostRules, RouteSet, compile_routes, normal
from bottlegen.wording import Refusal, shown

SIBLINGS = 4
"""So many names in one place of otherwise equal paths become one `*`."""

_LOCAL = ("local", "internal", "localdomain", "lan", "home", "home.arpa", "corp", "intranet")
_NEVER = {
    "plain-http": "plain HTTP does not leave the bottle: use https",
    "echo": "TRACE is never allowed: its answer would repeat the headers that are added",
    "ambiguous-path": "servers read this path differently, which routes with paths cannot judge",
    "host-sni-mismatch": "its Host header named another host than its connection",
    "handshake": "its TLS handshake named another host than its connection",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A route to add; without `paths` only the host was known. `notes` are for the reader."""

    host: str
    port: int
    methods: tuple[str, ...]
    paths: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Something that the proposal does not touch, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """`unused` are indices of routes as the profile's own file counts them."""

    blocks: tuple[Block, ...]
    unused: tuple[int, ...]
    left: tuple[Left, ...]


def propose(observed: Observed, profile: Profile, routes: RouteSet, provided: Iterable[Route]) -> Proposal:
    """What `observed` says about `profile`, which compiles to `routes`."""
    wanted: dict[tuple[str, int], dict[tuple[str, str], int]] = {}
    left: list[Left] = []
    for asked, count in observed.denied:
        try:
            found = _routable(asked, routes)
        except Refusal as e:
            left.append(Left(what=f"{shown(str(asked))} ({_times(count)})", reason=e.what))
            continue
        if found:
            requests = wanted.setdefault((found.host, found.port), {})
            requests[found.method, found.path] = requests.get((found.method, found.path), 0) + count
    blocks = tuple(
        block for (host, port), requests in sorted(wanted.items()) for block in _blocks(host, port, requests, routes)
    )
    unused, kept = _unused(observed, profile, routes, provided)
    return Proposal(blocks=blocks, unused=unused, left=(*left, *kept))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _routable(asked: Denied, routes: RouteSet) -> Denied | None:
    """The request as a route would hold it, None when the profile allows it by now; Refusal when no route may."""
    if asked.why in _NEVER:
        raise Refusal(_NEVER[asked.why])
    host = hostname.parse(asked.host)
    if host.startswith("*."):
        raise Refusal("it is no host but a wildcard")
    if "." not in host or host.endswith(tuple(f".{name}" for name in _LOCAL)):
        raise Refusal("it is a name of the host's own network: write it by hand if it is meant")
    rules = covering(routes, host, asked.port)
    if rules and rules.host != host:
        raise Refusal(f"'{rules.host}' decides for it, whose place a route of its own would take: write it by hand")
    if not asked.method:
        return None if rules else Denied(host=host, port=asked.port, why=asked.why)
    if fields.method(asked.method) != asked.method:
        raise Refusal("a route holds methods in capitals alone")
    path = normalise(asked.path)
    if path is None:
        raise Refusal(_NEVER["ambiguous-path"])
    if "*" in path:
        raise Refusal("its path holds '*', which a profile reads as a wildcard")
    fields.path_pattern(path)
    if decide(routes, host, asked.port, asked.method, path, http2=True).allowed:
        return None
    return Denied(host=host, port=asked.port, why=asked.why, method=asked.method, path=path)


def _blocks(host: str, port: int, requests: Mapping[tuple[str, str], int], routes: RouteSet) -> Iterator[Block]:
    """One block for each set of methods that paths were asked with, so that no pair is allowed that was not seen."""
    methods: dict[str, set[str]] = {}
    for method, path in requests:
        if method:
            methods.setdefault(path, set()).add(method)
    if not methods:
        known = f"only this host is known, as a tunnel to it was refused ({_times(sum(requests.values()))});"
        more = "run again with `up --observe` to see what it is asked, and write paths then"
        yield Block(host=host, port=port, methods=("GET", "HEAD"), notes=(known, more))
        return
    rules = covering(routes, host, port)
    alike: dict[tuple[str, ...], list[str]] = {}
    for path, seen_with in methods.items():
        alike.setdefault(tuple(sorted(seen_with)), []).append(path)
    for used, paths in sorted(alike.items()):
        count = sum(count for (_, path), count in requests.items() if path in paths)
        joined, notes = _joined(sorted(paths), rules)
        judged = "from now on the paths of this host are judged: spellings such as %2f are refused"
        new = (judged,) if rules and not rules.restricts_paths else ()
        yield Block(host=host, port=port, methods=used, paths=joined, notes=(f"refused {_times(count)}", *notes, *new))


def _joined(paths: list[str], rules: HostRules | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`paths`, with a `*` for each place where at least SIBLINGS names stood, and notes that say which.

    Not where the pattern would meet a rule of the host: that one may add a credential.
    """
    families: dict[tuple[str, ...], list[str]] = {}
    for path in paths:
        segments = path[1:].split("/")
        for index in range(1, len(segments)):
            if segments[index]:
                families.setdefault((*segments[:index], "*", *segments[index + 1 :]), []).append(path)
    there = [pattern for rule in rules.rules for pattern in rule.paths] if rules else []
    single, result, notes = dict.fromkeys(paths), [], []
    for family, alike in sorted(families.items(), key=lambda item: (-len(item[1]), item[0])):
        members = [path for path in alike if path in single]
        pattern = PathPattern(family)
        if len(members) < SIBLINGS or any(pattern.overlaps(other) for other in there):
            continue
        names = [path[1:].split("/")[family.index("*")] for path in members]
        more = f" and {len(names) - SIBLINGS} more" if len(names) > SIBLINGS else ""
        notes.append(f"the * in {pattern} stands for {', '.join(names[:SIBLINGS])}{more}")
        result.append(str(pattern))
        for path in members:
            del single[path]
    return tuple(sorted([*single, *result])), tuple(sorted(notes))


def _key(route: Route) -> RuleKey:
    same = normal(route)
    return RuleKey(host=same.host, port=same.port, methods=same.methods, paths=same.paths)


def _unused(
    observed: Observed, profile: Profile, routes: RouteSet, provided: Iterable[Route]
) -> tuple[tuple[int, ...], list[Left]]:
    """Routes of the profile's own file that no run used and that can go, and the other ones that no run used."""
    never = {rule for rule, count in observed.rules if count == 0}
    owners = inheritance.owners(profile.sources, ("egress", "routes"))
    provided = tuple(provided)
    left = [Left(what=f"route {_named(r)}", reason="unused, and the provider's") for r in provided if _key(r) in never]
    unused = [index for index, route in enumerate(profile.routes) if _key(route) in never]
    own = [index for index in unused if owners[index][0] is profile.sources[-1]]
    needed = dict.fromkeys(set(unused) - set(own), "of another file")
    while more := _needed(profile, routes, provided, going=frozenset(own) - needed.keys()):
        needed |= more
    for index in sorted(needed):
        what = str(profile.where("egress", "routes", index))
        left.append(Left(what=what, reason=f"unused, and {needed[index]}"))
    return tuple(owners[index][1] for index in own if index not in needed), left


def _named(route: Route) -> str:
    return f"to {shown(route.host)} ({' '.join(route.methods) or 'any method'}, {' '.join(route.paths) or 'any path'})"


def _needed(
    profile: Profile, routes: RouteSet, provided: tuple[Route, ...], *, going: frozenset[int]
) -> dict[int, str]:
    """The routes among those `going` without which more would pass, or would pass unread, each with the reason."""
    kept = [route for index, route in enumerate(profile.routes) if index not in going]
    after = compile_routes((*provided, *kept), profile.tokens)
    reasons: dict[int, str] = {}
    for index in going:
        route = profile.routes[index]
        before, rules = (covering(compiled, route.host, route.port) for compiled in (routes, after))
        if route.tls_passthrough is False:
            reasons[index] = "it has this host inspected"
        elif rules and rules.host != route.host:
            reasons[index] = f"it stands in the way of '{rules.host}'"
        elif before and rules and route.paths and before.restricts_paths and not rules.restricts_paths:
            reasons[index] = "without it the paths of this host would not be judged any more"
    return reasons
