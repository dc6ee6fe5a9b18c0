"""The routes of one host: what no rule covers is refused, and a credential goes out only where a rule injects it."""

from collections.abc import Iterable, Iterator

from bottlegen.decide import AMBIGUOUS
from bottlegen.paths import PathPattern
from bottlegen.plan import Slot
from bottlegen.routes import HostRules, RouteSet, Rule
from bottlegen.sidecars.envoy_answers import AMBIGUOUS_PATH, ECHO_METHOD, misdirected, unknown_request
from bottlegen.sidecars.envoy_types import ROUTE_FILTER, Json, answer, decided, typed
from bottlegen.sidecars.envoy_upstream import cluster_names

CREDENTIAL_HEADERS = frozenset(
    {
        "authorization",
        "api-key",
        "apikey",
        "deploy-token",
        "job-token",
        "private-token",
        "x-access-token",
        "x-api-key",
        "x-api-token",
        "x-auth-key",
        "x-auth-token",
        "x-goog-api-key",
        "x-token",
        "x-vault-token",
    }
)
"""Headers that carry credentials at common APIs. Where a rule injects one, the agent's own others are dropped."""

ECHO = {"exact": "TRACE", "ignore_case": True}
"""Answers of this method repeat the request's headers (RFC 9110 9.3.8): the injected credential among them."""

_REGEX_BYTES = 1000


def virtual_hosts(profile: str, rules: HostRules, routes: RouteSet, unread: tuple[str, ...] | None) -> list[Json]:
    """The host itself, and 421 for every other Host header: it must agree with the TLS server name.

    A wildcard leaves out what has an entry of its own, or its rules would stand in for stricter ones. `unread` are the
    headers that pipelock does not scan; None without one.
    """
    others = ["*"] + [domain for other in routes.hosts if _is_within(other, rules) for domain in _domains(other)]
    mismatch = {
        "name": "host-sni-mismatch",
        "match": {"prefix": "/"},
        "direct_response": answer(421, misdirected(rules)),
        "metadata": decided("deny"),
    }
    return [
        {"name": "host", "domains": _domains(rules), "routes": list(_routes(profile, rules, routes.slots, unread))},
        {"name": "other", "domains": others, "routes": [mismatch]},
    ]


def _domains(rules: HostRules) -> list[str]:
    """The Host headers that name this entry."""
    named = f"{rules.host}:{rules.port}"
    return [rules.host, named] if rules.port == 443 else [named]


def _is_within(other: HostRules, rules: HostRules) -> bool:
    if rules is other or not rules.host.startswith("*."):
        return False
    return other.port == rules.port and other.host.endswith(rules.host[1:])


def _routes(profile: str, rules: HostRules, slots: tuple[Slot, ...], unread: tuple[str, ...] | None) -> Iterator[Json]:
    injected = {slot.name: slot.header.lower() for slot in slots}
    ways = cluster_names(rules.port, passed=rules.tls_passthrough, chained=unread is not None)
    if rules.restricts_paths:
        yield {
            "name": "ambiguous-path",
            "match": {"safe_regex": {"regex": AMBIGUOUS}},
            "direct_response": answer(400, AMBIGUOUS_PATH),
            "metadata": decided("deny"),
        }
    yield {
        "name": "echo",
        "match": {"prefix": "/", "headers": [{"name": ":method", "string_match": ECHO}]},
        "direct_response": answer(403, ECHO_METHOD),
        "metadata": decided("deny"),
    }
    for rule in rules.rules:
        dropped = _dropped(rule, injected)
        shown = _shown(rule, injected, () if rules.tls_passthrough else unread or ())
        for path in _path_matches(rule.paths):
            yield from _rule_routes(rule, path, dropped, ways, shown)
    yield {
        "name": "no-rule",
        "match": {"prefix": "/"},
        "direct_response": answer(403, unknown_request(profile, rules)),
        "metadata": decided("deny"),
    }


def _dropped(rule: Rule, injected: dict[str, str]) -> list[str]:
    """Credential headers of the agent to drop; not the injected one, since this happens after the injection."""
    if not rule.slot:
        return []
    return sorted((CREDENTIAL_HEADERS | set(injected.values())) - {injected[rule.slot]})


def _shown(rule: Rule, injected: dict[str, str], unread: tuple[str, ...]) -> list[Json]:
    """What the agent itself sends in a header that pipelock leaves unread, repeated in one that it reads and drops, as
    every proxy does (RFC 9110 11.7.2). What this rule injects is left out."""
    own = injected.get(rule.slot)
    return [{"header": {"key": "proxy-authorization", "value": f"%REQ({name})%"}} for name in unread if name != own]


def _path_matches(paths: Iterable[PathPattern]) -> Iterator[Json]:
    """Anchored expressions, split so that none nears the size at which RE2 would refuse it."""
    chunk: list[str] = []
    for path in paths:
        if chunk and sum(map(len, chunk)) + len(path.regex()) > _REGEX_BYTES:
            yield _regex_match(chunk)
            chunk = []
        chunk.append(path.regex())
    yield _regex_match(chunk) if chunk else {"prefix": "/"}


def _regex_match(regexes: list[str]) -> Json:
    return {"safe_regex": {"regex": "|".join(regexes)}}


def _rule_routes(
    rule: Rule, path: Json, dropped: list[str], ways: tuple[str, str], shown: list[Json]
) -> Iterator[Json]:
    """The rule for websockets (a GET, over HTTP/1.1 alone), then for all else. No timeout: answers may stream."""
    base = {
        "name": rule.name,
        "metadata": decided("allow", rule.slot),
        **({"request_headers_to_remove": dropped} if dropped else {}),
        **({"request_headers_to_add": shown} if shown else {}),
        **({"typed_per_filter_config": {rule.slot: typed(ROUTE_FILTER, config={})}} if rule.slot else {}),
    }
    method = [{"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(rule.methods)}}}]
    methods = method if rule.methods else []
    if not rule.methods or "GET" in rule.methods:
        upgrade = {"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}
        allowed = [{"upgrade_type": "websocket", "enabled": True}]
        action = {"cluster": ways[1], "timeout": "0s", "upgrade_configs": allowed}
        yield {**base, "match": {**path, "headers": [*methods, upgrade]}, "route": action}
    yield {
        **base,
        "match": {**path, **({"headers": methods} if methods else {})},
        "route": {"cluster": ways[0], "timeout": "0s"},
    }
