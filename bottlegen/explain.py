"""Why one request is allowed or denied: the sidecar's own decision, and the lines of the profile that it comes from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bottlegen.decide import HTTP1_METHODS, Decision, covering, decide
from bottlegen.errors import UsageError, Where
from bottlegen.pipeline import Preview
from bottlegen.plan import Route, Slot
from bottlegen.profile import Profile
from bottlegen.routes import HostRules, Rule, normal
from bottlegen.wording import shown

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#\\]*)([^#]*)", re.DOTALL)
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110 5.6.2
_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as a client would send it; `target` is path and query as they are typed."""

    method: str
    scheme: str
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        port = f":{self.port}" if self.port != _PORTS[self.scheme] else ""
        return f"{self.method} {self.scheme}://{self.host}{port}{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`reason` says why a request is denied; `rules` and `rule` are those of the host that decides, where there is one.

    `lines` are the routes of the profile that make the rule; `provided` when the provider makes it, too or alone;
    `http2_only` when HTTP/1.1 has no such method in the sidecar; `inspected` when pipelock reads the request's content.
    """

    asked: Asked
    decision: Decision
    reason: str = ""
    host_rules: HostRules | None = None
    rule: Rule | None = None
    slot: Slot | None = None
    lines: tuple[Where, ...] = ()
    provided: bool = False
    inspected: bool = False

    @property
    def http2_only(self) -> bool:
        return self.decision.allowed and self.asked.method not in HTTP1_METHODS


def parse(request: str) -> Asked:
    """`METHOD URL`, or a URL alone for a GET; nothing of the path is tidied up."""
    words = request.split(" ", 1)
    method, url = words if len(words) == 2 and "://" not in words[0] else ("GET", request)
    match = _URL.match(url)
    if not match or match[1].lower() not in _PORTS:
        raise UsageError(f"{shown(url)} is no URL", fix='--request "POST https://api.example.com/path"')
    if not _METHOD.match(method):
        raise UsageError(f"{shown(method)} is no method", fix='--request "POST https://api.example.com/path"')
    scheme, authority, rest = match[1].lower(), match[2], match[3]
    if "@" in authority:
        raise UsageError("the URL holds user information ('@')", fix="write the host alone")
    host, _, port = authority.partition(":")
    if not host or (port and not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536)):
        raise UsageError(f"{shown(authority)} is no host with a port", fix="write it as https://HOST:PORT/PATH")
    target = rest if rest.startswith("/") else f"/{rest}"
    return Asked(method=method, scheme=scheme, host=host.lower(), port=int(port or _PORTS[scheme]), target=target)


def explain(asked: Asked, profile: Profile, view: Preview) -> Explanation:
    """What the sidecar of `view`, which was made of `profile`, does with the request."""
    if asked.scheme in ("http", "ws"):
        return Explanation(
            asked=asked, decision=Decision(allowed=False, status=403), reason="plain HTTP does not leave the bottle"
        )
    decision = decide(view.routes, asked.host, asked.port, asked.method, asked.target, http2=True)
    rules = covering(view.routes, asked.host, asked.port)
    if not decision.allowed or rules is None:
        return Explanation(asked=asked, decision=decision, reason=_reason(decision, rules, asked), host_rules=rules)
    rule = next(rule for rule in rules.rules if rule.name == decision.rule)
    slot = view.routes.slot(rule.slot) if rule.slot else None
    return Explanation(
        asked=asked,
        decision=decision,
        host_rules=rules,
        rule=rule,
        slot=slot,
        lines=tuple(_lines(profile, rules, rule, slot)),
        provided=any(_makes(route, rules, rule, slot) for route in view.provided),
        inspected=profile.inspection is not None and not rules.tls_passthrough,
    )


def _reason(decision: Decision, rules: HostRules | None, asked: Asked) -> str:
    where = asked.host if asked.port == 443 else f"{asked.host}:{asked.port}"
    if rules is None:
        return f"no route names {shown(where)}"
    if decision.status == 400:
        return "servers read this path differently, which routes with paths cannot judge"
    return f"no route of {shown(rules.host)} covers {asked.method} {shown(decision.path)}"


def _lines(profile: Profile, rules: HostRules, rule: Rule, slot: Slot | None) -> Iterator[Where]:
    for index, route in enumerate(profile.routes):
        if _makes(route, rules, rule, slot):
            yield profile.where("egress", "routes", index)


def _makes(route: Route, rules: HostRules, rule: Rule, slot: Slot | None) -> bool:
    """Whether this route went into the rule: the same requests, and no other credential."""
    same = normal(route)
    if (same.host, same.port, same.methods) != (rules.host, rules.port, rule.methods):
        return False
    if same.paths != tuple(map(str, rule.paths)):
        return False
    auth = same.auth
    return auth is None or (
        slot is not None and (auth.token_ref, auth.header, auth.scheme) == (slot.token_ref, slot.header, slot.scheme)
    )
