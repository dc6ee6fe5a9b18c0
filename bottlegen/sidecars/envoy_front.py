"""The doors towards the agent: CONNECT for clients that know a proxy, and :443 for those that do not.

Both only lead to the internal listeners; nothing is forwarded from here.
"""

from bottlegen.plan import PROXY_PORT, TRANSPARENT_PORT
from bottlegen.routes import RouteSet
from bottlegen.sidecars.envoy_answers import plain_http, unknown_host
from bottlegen.sidecars.envoy_inner import inner_name
from bottlegen.sidecars.envoy_log import http_log
from bottlegen.sidecars.envoy_types import (
    CONNECTION_MANAGER,
    HEADER_TO_METADATA,
    TCP_PROXY,
    Json,
    answer,
    decided,
    extension,
    router,
)

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - a runtime narrows it to the bottle's own network with `specialise`


def connect_listener(profile: str, routes: RouteSet) -> Json:
    """CONNECT to the hosts of the route set; everything else is answered with the lines that would allow it."""
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        CONNECTION_MANAGER,
        stat_prefix="connect",
        upgrade_configs=[{"upgrade_type": "CONNECT"}],
        http_protocol_options={"accept_http_10": True},  # http.client of Python < 3.12 sends CONNECT … HTTP/1.0
        strip_trailing_host_dot=True,
        server_header_transformation="PASS_THROUGH",
        request_headers_timeout="10s",
        stream_idle_timeout="0s",  # a tunnel may be silent for longer than the default 5 minutes
        common_http_protocol_options={"idle_timeout": "600s"},
        access_log=[http_log("connect")],
        http_filters=[_asked_target(), router()],
        route_config={"virtual_hosts": _virtual_hosts(profile, routes)},
    )
    return {"name": "connect", "address": listening_on(PROXY_PORT), "filter_chains": [{"filters": [manager]}]}


def transparent_listener() -> Json:
    """TLS as it comes: the internal listener reads the server name."""
    proxy = extension(
        "envoy.filters.network.tcp_proxy",
        TCP_PROXY,
        stat_prefix="transparent",
        cluster=inner_name(443),
        idle_timeout="0s",
    )
    return {"name": "transparent", "address": listening_on(TRANSPARENT_PORT), "filter_chains": [{"filters": [proxy]}]}


def inner_cluster(port: int) -> Json:
    """The way from a door to the internal listener of `port`."""
    name = inner_name(port)
    endpoint = {"address": {"envoy_internal_address": {"server_listener_name": name}}}
    return {
        "name": name,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    }


def listening_on(port: int) -> Json:
    """A port of the bottle's own network."""
    return {"socket_address": {"address": ANY_ADDRESS, "port_value": port}}


def _virtual_hosts(profile: str, routes: RouteSet) -> list[Json]:
    hosts = [_allowed(profile, port, routes) for port in sorted({rules.port for rules in routes.hosts})]
    return [
        *hosts,
        _denied(profile, "denied_443", "*:443", with_port=False),
        _denied(profile, "denied", "*", with_port=True),
    ]


def _allowed(profile: str, port: int, routes: RouteSet) -> Json:
    tunnel = {
        "name": "tunnel",
        "match": {"connect_matcher": {}},
        "route": {
            "cluster": inner_name(port),
            "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
        },
        "metadata": decided("allow"),
    }
    domains = [f"{rules.host}:{port}" for rules in routes.hosts if rules.port == port]
    return {"name": f"allowed_{port}", "domains": domains, "routes": [tunnel, _plain(profile)]}


def _denied(profile: str, name: str, domain: str, *, with_port: bool) -> Json:
    refusal = {
        "name": "no-route",
        "match": {"connect_matcher": {}},
        "direct_response": answer(403, unknown_host(profile, with_port=with_port)),
        "metadata": decided("deny"),
    }
    return {"name": name, "domains": [domain], "routes": [refusal, _plain(profile)]}


def _plain(profile: str) -> Json:
    return {
        "name": "plain-http",
        "match": {"prefix": "/"},
        "direct_response": answer(403, plain_http(profile)),
        "metadata": decided("deny"),
    }


def _asked_target() -> Json:
    """Takes host and port of the request apart, so that an answer can name them as a profile would."""
    rules = [_authority_part("host", "^(.*?)(:[0-9]+)?$"), _authority_part("port", "^.*?(?::([0-9]+))?$")]
    return extension("envoy.filters.http.header_to_metadata", HEADER_TO_METADATA, request_rules=rules)


def _authority_part(key: str, regex: str) -> Json:
    rewrite = {"pattern": {"regex": regex}, "substitution": "\\1"}
    found = {"metadata_namespace": "egress", "key": key, "regex_value_rewrite": rewrite}
    return {"header": ":authority", "on_header_present": found}
