"""Tokens by kind, as paths of cred-proxy: what each kind reaches stands in one table, and its order is the profile's.

The agent speaks plain HTTP to a path, and the sidecar adds the credential and TLS. Gitea takes some of its tokens under
the scheme `token` alone (go-gitea/gitea issue 16734).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bottlegen.errors import PlanError, Problem
from bottlegen.plan import Auth, Route, Slot, Token


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRoute:
    """Requests below `path` go to `host` and `port`, where `path` becomes `upstream_path`; both end in a slash."""

    path: str
    host: str
    port: int
    upstream_path: str
    slot: str
    tls_passthrough: bool

    @property
    def authority(self) -> str:
        return self.host if self.port == 443 else f"{self.host}:{self.port}"

    @property
    def upstream(self) -> str:
        return f"https://{self.authority}{self.upstream_path.rstrip('/')}"


@dataclass(frozen=True, slots=True)
class _Target:
    path: str
    url: str
    passthrough: bool


_BEARER, _GITEA = "Bearer", "token"


def _targets(token: Token) -> tuple[_Target, ...]:
    """Git passes pipelock unread: it would refuse the compressed requests that git sends."""
    if token.kind == "anthropic":
        return (_Target("/anthropic/", "https://api.anthropic.com", passthrough=True),)
    if token.kind == "github":
        return (
            _Target("/gh-api/", "https://api.github.com", passthrough=False),
            _Target("/gh-git/", "https://github.com", passthrough=True),
        )
    if token.kind == "gitea":
        return (_Target(f"/gitea/{urlsplit(token.url).hostname}/", token.url, passthrough=True),)
    return (_Target("/npm/", "https://registry.npmjs.org", passthrough=False),)


def gh_routes(tokens: Iterable[Token]) -> Iterable[Route]:
    """GitHub's own client speaks TLS alone: its API is also a host of egress, with the same credential."""
    for token in tokens:
        if token.kind == "github":
            yield Route(
                host="api.github.com",
                auth=Auth(token_ref=token.token_ref, scheme=_BEARER),
                tls_passthrough=token.tls_passthrough,
                origin=token.origin,
            )


def compile_tokens(tokens: Sequence[Token]) -> tuple[tuple[TokenRoute, ...], tuple[Slot, ...]]:
    """The routes in order of declaration, and a slot for each secret; PlanError for two entries that want one path."""
    routes: dict[str, tuple[TokenRoute, Token]] = {}
    slots: dict[tuple[str, str], str] = {}
    problems = []
    for token in tokens:
        scheme = _GITEA if token.kind == "gitea" else _BEARER
        slot = slots.setdefault((token.token_ref, scheme), f"CRED_PROXY_TOKEN_{len(slots)}")
        for target in _targets(token):
            if target.path in routes:
                problems.append(_twice(target.path, token, routes[target.path][1]))
            else:
                routes[target.path] = (_route(target, token, slot), token)
    if problems:
        raise PlanError(problems)
    made = tuple(route for route, _ in routes.values())
    return made, tuple(_slots(made, slots))


def _route(target: _Target, token: Token, slot: str) -> TokenRoute:
    parts = urlsplit(target.url)
    return TokenRoute(
        path=target.path,
        host=str(parts.hostname),
        port=parts.port or 443,
        upstream_path=f"{parts.path.rstrip('/')}/",
        slot=slot,
        tls_passthrough=target.passthrough if token.tls_passthrough is None else token.tls_passthrough,
    )


def _slots(routes: Iterable[TokenRoute], slots: dict[tuple[str, str], str]) -> Iterable[Slot]:
    for (token_ref, scheme), name in slots.items():
        hosts = tuple(sorted({route.host for route in routes if route.slot == name}))
        yield Slot(name=name, token_ref=token_ref, scheme=scheme, header="authorization", hosts=hosts)


def _twice(path: str, token: Token, other: Token) -> Problem:
    return Problem(
        what=f"plan conflict: {token.origin} (token_ref '{token.token_ref}') and {other.origin}"
        f" (token_ref '{other.token_ref}') both stand for cred-proxy's path '{path}'",
        fix="remove one of the two: a kind has one token, and gitea one for each host",
    )
