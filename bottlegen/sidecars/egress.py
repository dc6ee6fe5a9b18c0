"""The egress sidecar's config and routes.json, both made of one route set and nothing else.

What the config does was tried against the pinned Envoy; each claim is kept by a test in tests/dataplane.
"""

from bottlegen.pins import Pins
from bottlegen.plan import PROXY_PORT, TRANSPARENT_PORT, Image, Listening, RenderedFile, Resources, SidecarPlan
from bottlegen.profile import Profile
from bottlegen.render import canonical_json
from bottlegen.routes import HostRules, RouteSet, Rule
from bottlegen.sidecars import cred_proxy, pipelock
from bottlegen.sidecars.envoy_front import connect_listener, inner_cluster, transparent_listener
from bottlegen.sidecars.envoy_inner import inner_listener
from bottlegen.sidecars.envoy_types import Json, extension
from bottlegen.sidecars.envoy_upstream import clusters, hops
from bottlegen.sidecars.material import BASE, CONFIG, UPSTREAM_CA

ROUTES_FORMAT = 1
ARGUMENTS = (
    "-c", CONFIG,
    "--disable-hot-restart",  # several sidecars on one host would collide on its base id
    "--concurrency", "1",
    "--log-level", "error",  # never debug: that level prints injected headers
    "--file-flush-interval-msec", "200",  # the default keeps audit lines back for 10 s
)  # fmt: skip
"""Arguments of the sidecar's `envoy`."""

_MIB = 1024 * 1024
_TMPFS_BYTES = 16 * _MIB
_MEMORY_BYTES = 512 * _MIB
_MAX_CONNECTIONS = 1000
_RE2_PROGRAM = 100_000
"""The default of 100 instructions refuses ordinary paths; routes keep each expression near a kilobyte."""


def render(profile_name: str, routes: RouteSet, *, chained: bool = False, queries: bool = False) -> bytes:
    """The complete Envoy bootstrap. `profile_name` stands in the answers to refused requests.

    `chained` when pipelock stands behind it: then that is the only way out, and resolves names. `queries` when audit
    lines hold the query too.
    """
    unread = pipelock.injected_headers(routes) if chained else None
    ports = sorted({rules.port for rules in routes.hosts})
    listeners = [connect_listener(profile_name, routes)]
    if 443 in ports:
        listeners.append(transparent_listener())
    listeners += [inner_listener(profile_name, port, routes, unread, queries=queries) for port in ports]
    listeners += [cred_proxy.listener(profile_name, routes, chained=chained, queries=queries)] if routes.tokens else []
    listeners += hops(routes) if chained else []
    return canonical_json(
        {
            "node": {"id": "egress", "cluster": "bottlegen"},  # Envoy wants a node wherever a file is watched
            "layered_runtime": {"layers": [_runtime_layer()]},
            "overload_manager": {"resource_monitors": [_connection_limit()]},
            "bootstrap_extensions": [_internal_listeners()],
            "static_resources": {
                "listeners": listeners,
                "clusters": [*(inner_cluster(port) for port in ports), *clusters(routes, chained=chained)],
            },
        }
    )


def routes_json(routes: RouteSet) -> bytes:
    """What the sidecar enforces, for people and tools: slots by name, neither values nor the host's names of them."""
    entries = [_entry(rules, rule, routes) for rules in routes.hosts for rule in rules.rules]
    return canonical_json({"format": ROUTES_FORMAT, "routes": entries})


def _entry(rules: HostRules, rule: Rule, routes: RouteSet) -> Json:
    auth: Json | None = None
    if rule.slot:
        slot = routes.slot(rule.slot)
        auth = {"scheme": slot.scheme, "header": slot.header, "slot": slot.name}
    return {
        "name": rule.name,
        "host": rules.host,
        "port": rules.port,
        "methods": list(rule.methods),
        "paths": [str(path) for path in rule.paths],
        "upstream": f"https://{rules.host}" + (f":{rules.port}" if rules.port != 443 else ""),
        "auth": auth,
        "tls_passthrough": rules.tls_passthrough,
    }


def _runtime_layer() -> Json:
    return {"name": "static", "static_layer": {"re2.max_program_size.error_level": _RE2_PROGRAM}}


def _connection_limit() -> Json:
    return extension(
        "envoy.resource_monitors.global_downstream_max_connections",
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=_MAX_CONNECTIONS,
    )


def _internal_listeners() -> Json:
    return extension(
        "envoy.bootstrap.internal_listener", "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
    )


def prepare(profile: Profile, routes: RouteSet, pins: Pins) -> SidecarPlan:
    """Every bottle has this sidecar, also one without routes: it is what says no."""
    chained, queries = profile.inspection is not None, profile.audit_queries
    return SidecarPlan(
        name="egress",
        image=Image(context="images/egress", base=pins.base, artifacts=pins.artifacts("envoy")),
        command=("envoy", *ARGUMENTS),
        files=(),
        routed=lambda: (
            RenderedFile(
                path="sidecars/egress/envoy.json", data=render(profile.name, routes, chained=chained, queries=queries)
            ),
            RenderedFile(path="routes.json", data=routes_json(routes), mode=0o600),
            *([cred_proxy.routes_file(routes)] if routes.tokens else []),
        ),
        networks=("bottle", "chain") if chained else ("bottle", "outside"),
        listening=Listening(
            ports=(PROXY_PORT, TRANSPARENT_PORT, *((cred_proxy.PORT,) if routes.tokens else ())),
            names=(cred_proxy.NAME,) if routes.tokens else (),
            config=CONFIG,
            trust=UPSTREAM_CA,
        ),
        agent=cred_proxy.agent_share(routes),
        tmpfs=((BASE, _TMPFS_BYTES), ("/tmp", _TMPFS_BYTES)),  # noqa: S108 - in the sidecar
        resources=Resources(cpus=2, memory=_MEMORY_BYTES, pids=64),
        slots=routes.slots,
    )
