"""Inside the tunnel: the server name picks one host's filter chain, whose rules alone then decide.

Envoy prefers an exact server name to a wildcard and a longer wildcard to a shorter one, as a route set does.
"""

from functools import cache

from bottlegen.plan import Slot
from bottlegen.render import Fixed
from bottlegen.routes import HostRules, RouteSet
from bottlegen.sidecars.envoy_answers import local_replies
from bottlegen.sidecars.envoy_log import http_log, unmatched_log
from bottlegen.sidecars.envoy_routes import virtual_hosts
from bottlegen.sidecars.envoy_types import (
    CONNECTION_MANAGER,
    CREDENTIAL_INJECTOR,
    FORWARD_PROXY_FILTER,
    GENERIC_CREDENTIAL,
    HEADER_MUTATION,
    RESOLVER,
    TLS_DOWNSTREAM,
    TLS_INSPECTOR,
    Json,
    extension,
    router,
)
from bottlegen.sidecars.envoy_upstream import dns_cache
from bottlegen.sidecars.material import leaf_file, leaf_parts, leaf_secret, token_file

_HOP_HEADERS = ("forwarded", "proxy-authorization", "via")
_OVERRIDE_HEADERS = (
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
)
"""Some servers let these replace the method or path that was judged here."""


def inner_name(port: int) -> str:
    """Name of the internal listener, and of the cluster that leads to it, for hosts of one port."""
    return f"inner_{port}"


def inner_listener(profile: str, port: int, routes: RouteSet, unread: tuple[str, ...] | None, *, queries: bool) -> Json:
    """The listener for one port: a tunnel to another port never gets here, whatever server name it then sends."""
    parts = leaf_parts(rules.host for rules in routes.hosts)
    mine = [rules for rules in routes.hosts if rules.port == port]
    return {
        "name": inner_name(port),
        "internal_listener": {},
        "listener_filters_timeout": "10s",
        "access_log": [unmatched_log()],
        "listener_filters": [extension("envoy.filters.listener.tls_inspector", TLS_INSPECTOR)],
        "filter_chains": [
            _chain(rules, _manager(profile, rules, routes, unread, queries=queries), parts[rules.host])
            for rules in mine
        ],
    }


def _chain(rules: HostRules, manager: Json, part: int) -> Json:
    tls = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [_watched(leaf_secret(part), leaf_file(part))],
    }
    return {
        "name": f"{rules.host}:{rules.port}",
        "filter_chain_match": {"server_names": [rules.host]},
        "transport_socket_connect_timeout": "10s",
        "transport_socket": extension("envoy.transport_sockets.tls", TLS_DOWNSTREAM, common_tls_context=tls),
        "filters": [manager],
    }


def _manager(
    profile: str, rules: HostRules, routes: RouteSet, unread: tuple[str, ...] | None, *, queries: bool
) -> Json:
    return connection_manager(
        "inner",
        filters=_filters(rules, routes.slots, resolves=unread is None),
        hosts=virtual_hosts(profile, rules, routes, unread),
        paths=_path_handling(rules),
        replies=local_replies(restricts_paths=rules.restricts_paths),
        queries=queries,
        judged=_judges(rules) or any(rule.slot for rule in rules.rules),
    )


def connection_manager(
    name: str, *, filters: list[Json], hosts: list[Json], paths: Json, replies: Json, judged: bool, queries: bool
) -> Json:
    """What every connection of the agent's is held to, whatever it may then ask for.

    `judged` where a header is removed or replaced: servers behind CGI, WSGI and the like read '_' in its name as '-'
    (RFC 3875 4.1.18), so what is spelled so is dropped there, as nginx does everywhere.
    """
    spelling: Json = {"headers_with_underscores_action": "DROP_HEADER"} if judged else {}
    return extension(
        "envoy.filters.network.http_connection_manager",
        CONNECTION_MANAGER,
        stat_prefix=name,
        upgrade_configs=[{"upgrade_type": "websocket", "enabled": False}],  # routes turn it on
        http2_protocol_options={"max_concurrent_streams": 128},  # no RFC 8441: clients take HTTP/1.1 for websockets
        **paths,
        strip_trailing_host_dot=True,
        server_header_transformation="PASS_THROUGH",
        generate_request_id=False,
        skip_xff_append=True,
        # Bounds on slow clients that leave silent streams alone: headers must come, bodies may take their time.
        request_headers_timeout="10s",
        stream_idle_timeout="0s",
        common_http_protocol_options={"idle_timeout": "600s", "max_headers_count": 200, **spelling},
        max_request_headers_kb=96,
        access_log=[http_log("request", queries=queries)],
        http_filters=filters,
        local_reply_config=replies,
        route_config={"virtual_hosts": hosts},
    )


def _path_handling(rules: HostRules) -> Json:
    """Judged paths are forwarded as judged; where none is judged they pass untouched (npm: `/@scope%2fname`)."""
    if rules.restricts_paths:
        return {
            "normalize_path": True,
            "merge_slashes": True,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
        }
    return {"normalize_path": False, "merge_slashes": False, "path_with_escaped_slashes_action": "KEEP_UNCHANGED"}


def _filters(rules: HostRules, slots: tuple[Slot, ...], *, resolves: bool) -> list[Json]:
    used = {rule.slot for rule in rules.rules}
    return [
        header_filter(judged=_judges(rules)),
        *(injector(slot) for slot in slots if slot.name in used),
        *([resolver()] if resolves else []),  # else pipelock does
        router(),
    ]


def _judges(rules: HostRules) -> bool:
    return rules.restricts_paths or rules.restricts_methods


def resolver() -> Json:
    """Looks up the host that is asked for, and refuses private addresses."""
    return extension(RESOLVER, FORWARD_PROXY_FILTER, dns_cache_config=dns_cache())


@cache
def header_filter(*, judged: bool) -> Json:
    """Drops what would tell of a proxy or lie about the request, before anything is injected."""
    names = _HOP_HEADERS + (_OVERRIDE_HEADERS if judged else ())
    prefixes = ("x-envoy-", "x-forwarded-")
    mutations: list[Json] = [{"remove": name} for name in names]
    mutations += [{"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in prefixes]
    removal = {"request_mutations": mutations}
    return Fixed(extension("envoy.filters.http.header_mutation", HEADER_MUTATION, mutations=removal))


def injector(slot: Slot) -> Json:
    """Off until a route turns it on by name; refuses with 401 while its secret is missing or empty."""
    prefix = {"header_value_prefix": f"{slot.scheme} "} if slot.scheme else {}
    secret = _watched(slot.name, token_file(slot.name))
    credential = extension(
        "envoy.http.injected_credentials.generic", GENERIC_CREDENTIAL, header=slot.header, credential=secret, **prefix
    )
    injector = extension(slot.name, CREDENTIAL_INJECTOR, overwrite=True, credential=credential)
    return {**injector, "disabled": True}


def _watched(name: str, path: str) -> Json:
    """A secret in a file of its own, which is used anew whenever another file takes its place."""
    return {"name": name, "sds_config": {"path_config_source": {"path": path}}}
