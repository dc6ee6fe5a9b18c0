"""cred-proxy: paths of plain HTTP in the bottle that lead to TLS upstreams with a credential, in egress's own Envoy.

What the agent itself sends as a credential is dropped. A path below one entry never gets to another's upstream.
"""

from bottlegen.plan import AgentShare, RenderedFile
from bottlegen.render import canonical_json
from bottlegen.routes import RouteSet
from bottlegen.sidecars.envoy_answers import local_replies
from bottlegen.sidecars.envoy_front import listening_on
from bottlegen.sidecars.envoy_inner import connection_manager, header_filter, injector, resolver
from bottlegen.sidecars.envoy_routes import CREDENTIAL_HEADERS
from bottlegen.sidecars.envoy_types import RESOLVER, ROUTE_FILTER, Json, answer, decided, literal, router, typed
from bottlegen.sidecars.envoy_upstream import cluster_names
from bottlegen.tokens import TokenRoute

NAME = "cred-proxy"
PORT = 3129
FILE = "sidecars/cred-proxy/routes.json"
FORMAT = 1
PLACEHOLDER = "egress-placeholder"

_ROUTE_HOST = "envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig"
_URL = f"http://{NAME}:{PORT}"


def listener(profile: str, routes: RouteSet, *, chained: bool, queries: bool) -> Json:
    """The door of plain HTTP: only who asks for cred-proxy by name, below a path that there is, gets anywhere."""
    used = {route.slot for route in routes.tokens}
    refused = {
        "name": "other-host",
        "match": {"prefix": "/"},
        "direct_response": answer(421, f"bottlegen: this is {_URL} and no proxy\n"),
        "metadata": decided("deny"),
    }
    hosts = [
        {"name": NAME, "domains": [NAME, f"{NAME}:{PORT}"], "routes": _routes(profile, routes, chained=chained)},
        {"name": "other", "domains": ["*"], "routes": [refused]},
    ]
    manager = connection_manager(
        NAME,
        filters=[
            header_filter(judged=False),
            *(injector(slot) for slot in routes.slots if slot.name in used),
            *([] if chained else [resolver()]),
            router(),
        ],
        hosts=hosts,
        judged=True,
        # `/npm/../gh-api/` is what it says; an encoded slash belongs to the name of an npm package.
        paths={
            "normalize_path": True,
            "merge_slashes": False,
            "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        },
        replies=local_replies(restricts_paths=False),
        queries=queries,
    )
    return {"name": NAME, "address": listening_on(PORT), "filter_chains": [{"filters": [manager]}]}


def _routes(profile: str, routes: RouteSet, *, chained: bool) -> list[Json]:
    unknown = (
        f'bottlegen: the profile "{literal(profile)}" has no token for the path %PATH(NQ)% of {NAME}\n'
        "to add one, name its kind in the profile and start the bottle again:\n\n"
        '[[tokens]]\nkind = "KIND"\ntoken_ref = "NAME"\n'
    )
    refused = {
        "name": "no-token",
        "match": {"prefix": "/"},
        "direct_response": answer(403, unknown),
        "metadata": decided("deny"),
    }
    echo = {
        "name": "echo",
        "match": {
            "prefix": "/",
            "headers": [{"name": ":method", "string_match": {"exact": "TRACE", "ignore_case": True}}],
        },
        "direct_response": answer(403, "bottlegen: TRACE never leaves the bottle\n"),
        "metadata": decided("deny"),
    }
    return [echo, *(_route(route, routes, chained=chained) for route in routes.tokens), refused]


def _route(route: TokenRoute, routes: RouteSet, *, chained: bool) -> Json:
    header = routes.slot(route.slot).header
    asked = {} if chained else {RESOLVER: _asked(route)}
    way = cluster_names(route.port, passed=route.tls_passthrough, chained=chained)[0]
    action = {"cluster": way, "timeout": "0s", "prefix_rewrite": route.upstream_path}
    return {
        "name": f"{NAME}{route.path}",
        "match": {"prefix": route.path},
        "metadata": decided("allow", route.slot),
        "request_headers_to_remove": sorted(CREDENTIAL_HEADERS - {header}),
        "typed_per_filter_config": {route.slot: typed(ROUTE_FILTER, config={}), **asked},
        "route": {**action, "host_rewrite_literal": route.authority} if chained else action,
    }


def _asked(route: TokenRoute) -> Json:
    """Which host to resolve, and to ask: set here, since the resolver stands before the router."""
    return typed(_ROUTE_HOST, host_rewrite_literal=route.authority)


def routes_file(routes: RouteSet) -> RenderedFile:
    """What the paths are, for people and tools: slots by name, neither values nor the host's names of them."""
    entries = [
        {
            "path": route.path,
            "upstream": route.upstream,
            "auth": {"scheme": slot.scheme, "header": slot.header, "slot": slot.name},
            "tls_passthrough": route.tls_passthrough,
        }
        for route in routes.tokens
        for slot in (routes.slot(route.slot),)
    ]
    return RenderedFile(path=FILE, data=canonical_json({"format": FORMAT, "routes": entries}), mode=0o600)


def agent_share(routes: RouteSet) -> AgentShare:
    """What leads the agent's tools there by themselves: variables of Claude, npm and gh, rewritten addresses of git."""
    env: list[tuple[str, str]] = []
    git: list[tuple[str, str]] = []
    for route in routes.tokens:
        base = f"{_URL}{route.path}"
        if route.path == "/anthropic/":
            env += [("ANTHROPIC_BASE_URL", base.rstrip("/")), ("ANTHROPIC_AUTH_TOKEN", PLACEHOLDER)]
        elif route.path == "/npm/":
            env.append(("npm_config_registry", base))
        elif route.path == "/gh-api/":
            env.append(("GH_TOKEN", PLACEHOLDER))  # gh speaks https alone: its way is the egress route of this kind
        elif route.path == "/gh-git/":
            rewritten = ("https://github.com/", "git@github.com:", "ssh://git@github.com/")
            git += [(f"url.{base}.insteadOf", address) for address in rewritten]
        else:
            git.append((f"url.{base}.insteadOf", f"{route.upstream}/"))
    return AgentShare(env=tuple(env), git=tuple(git))
