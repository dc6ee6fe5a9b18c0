"""Towards the internet: every connection is verified TLS to a public address, by name and by trusted authority."""

from functools import cache

from bottlegen.render import Fixed
from bottlegen.routes import RouteSet
from bottlegen.sidecars.addresses import REFUSED
from bottlegen.sidecars.envoy_types import (
    FORWARD_PROXY_CLUSTER,
    HTTP_OPTIONS,
    TCP_PROXY,
    TLS_INSPECTOR,
    TLS_UPSTREAM,
    Json,
    extension,
    typed,
)
from bottlegen.sidecars.material import NOWHERE, PIPELOCK_CA, PIPELOCK_PORT, UPSTREAM_CA

UP = "up"
UP_H1 = "up_h1"
"""HTTP/1.1 only, for websockets: an h2 server without RFC 8441 would refuse the upgrade."""

PIPELOCK = "pipelock"
HOP = "hop"
INSPECTED, PASSED = "inspected", "passed"


@cache
def dns_cache() -> Json:
    """The one resolver config; Envoy wants it equal in the filter and in both clusters."""
    resolver = typed(
        "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        dns_resolver_options={"no_default_search_domain": True},
        query_timeout_seconds=2,
        query_tries=2,
    )
    return Fixed(
        {
            "name": "egress",
            "dns_lookup_family": "V4_PREFERRED",
            "dns_query_timeout": "5s",
            "dns_failure_refresh_rate": {"base_interval": "2s", "max_interval": "10s"},
            "resolved_address_filter": {"ranges": [{"address_prefix": ip, "prefix_len": bits} for ip, bits in REFUSED]},
            "typed_dns_resolver_config": {"name": "envoy.network.dns_resolver.cares", "typed_config": resolver},
        }
    )


def cluster_names(port: int, *, passed: bool, chained: bool) -> tuple[str, str]:
    """The clusters that lead to a host: the one to use, and its HTTP/1.1 twin for websockets."""
    if not chained:
        return UP, UP_H1
    way = PASSED if passed else INSPECTED
    return f"{way}_{port}", f"{way}_h1_{port}"


def clusters(routes: RouteSet, *, chained: bool) -> list[Json]:
    """One cluster for all hosts and its HTTP/1.1 twin: a cluster per host would cost memory and a DNS wait at start.

    `chained` they all lead to pipelock, and those of inspected hosts trust its CA and nothing else.
    """
    if not chained:
        discovery = {
            "lb_policy": "CLUSTER_PROVIDED",
            "cluster_type": extension(
                "envoy.clusters.dynamic_forward_proxy", FORWARD_PROXY_CLUSTER, dns_cache_config=dns_cache()
            ),
        }
        return _twins((UP, UP_H1), discovery, UPSTREAM_CA)
    ways = {(cluster_names(port, passed=passed, chained=True), passed, port) for _, port, passed in routes.destinations}
    made = [
        cluster
        for pair, passed, port in sorted(ways)
        for cluster in _twins(pair, _to_listener(f"{HOP}_{port}"), UPSTREAM_CA if passed else PIPELOCK_CA)
    ]
    address = {"socket_address": {"address": NOWHERE, "port_value": PIPELOCK_PORT}}
    return [*made, {"name": PIPELOCK, "connect_timeout": "5s", **_static(PIPELOCK, address)}]


def hops(routes: RouteSet) -> list[Json]:
    """A listener for each port, through which a connection for a host of ours becomes a tunnel of pipelock's to it."""
    ports = sorted({port for _, port, _ in routes.destinations})
    return [_hop(each, [host for host, port, _ in routes.destinations if port == each]) for each in ports]


def _hop(port: int, hosts: list[str]) -> Json:
    tunnel = {"hostname": f"%REQUESTED_SERVER_NAME%:{port}"}
    proxy = extension(
        "envoy.filters.network.tcp_proxy",
        TCP_PROXY,
        stat_prefix=HOP,
        cluster=PIPELOCK,
        tunneling_config=tunnel,
        idle_timeout="0s",
    )
    return {
        "name": f"{HOP}_{port}",
        "internal_listener": {},
        "listener_filters": [extension("envoy.filters.listener.tls_inspector", TLS_INSPECTOR)],
        "filter_chains": [{"filter_chain_match": {"server_names": hosts}, "filters": [proxy]}],
    }


def _to_listener(name: str) -> Json:
    return _static(name, {"envoy_internal_address": {"server_listener_name": name}})


def _static(name: str, address: Json) -> Json:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {"type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


def _twins(pair: tuple[str, str], discovery: Json, trust: str) -> list[Json]:
    either: Json = {"auto_config": {"http_protocol_options": {}, "http2_protocol_options": {}}}
    return [
        _cluster(pair[0], either, discovery, trust),
        _cluster(pair[1], {"explicit_http_config": {"http_protocol_options": {}}}, discovery, trust),
    ]


def _cluster(name: str, protocol: Json, discovery: Json, trust: str) -> Json:
    # pipelock looks in a tunnel for the values that it knew when the tunnel began: `refresh` must not wait for its end.
    bounded: Json = {"max_connection_duration": "10s"} if trust == PIPELOCK_CA else {}
    options = typed(
        HTTP_OPTIONS,
        upstream_http_protocol_options={"auto_sni": True, "auto_san_validation": True},
        # Shorter than the keep-alive of common servers, or a request could meet a connection being closed.
        common_http_protocol_options={"idle_timeout": "30s", **bounded},
        **protocol,
    )
    return {
        "name": name,
        "connect_timeout": "10s",
        **discovery,
        "transport_socket": _verified_tls(trust),
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }


def _verified_tls(trust: str) -> Json:
    # Envoy verifies nothing by default and stops at TLS 1.2: both are set here, the name check in `_cluster`.
    versions = {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}
    common = {"tls_params": versions, "validation_context": {"trusted_ca": {"filename": trust}}}
    return extension("envoy.transport_sockets.tls", TLS_UPSTREAM, common_tls_context=common)
