"""Envoy's wire forms that every part of its config needs: JSON objects, typed extensions, text with substitutions."""

from typing import Any

Json = dict[str, Any]
"""A JSON object of Envoy's config; `Any` because its shape is Envoy's, and Envoy itself checks it."""

CREDENTIAL_INJECTOR = "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector"
FORWARD_PROXY_CLUSTER = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"
FORWARD_PROXY_FILTER = "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig"
GENERIC_CREDENTIAL = "envoy.extensions.http.injected_credentials.generic.v3.Generic"
HEADER_MUTATION = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
HEADER_TO_METADATA = "envoy.extensions.filters.http.header_to_metadata.v3.Config"
CONNECTION_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
RESOLVER = "envoy.filters.http.dynamic_forward_proxy"
ROUTE_FILTER = "envoy.config.route.v3.FilterConfig"
ROUTER = "envoy.extensions.filters.http.router.v3.Router"
STDOUT_LOG = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
TLS_DOWNSTREAM = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
TLS_INSPECTOR = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
TLS_UPSTREAM = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def typed(kind: str, **fields: object) -> Json:
    """A protobuf `Any` holding a message of type `kind`."""
    return {"@type": f"type.googleapis.com/{kind}", **fields}


def extension(name: str, kind: str, **fields: object) -> Json:
    """An extension as Envoy wants it: a name and its typed config."""
    return {"name": name, "typed_config": typed(kind, **fields)}


def literal(text: str) -> str:
    """`text` as it must stand in a substitution format, where `%` opens an operator."""
    return text.replace("%", "%%")


def answer(status: int, text: str) -> Json:
    """A direct response; `text` may hold substitution operators. Plain text, so nothing in it can act as markup."""
    return {"status": status, "body_format": text_format(text)}


def text_format(text: str) -> Json:
    return {"text_format_source": {"inline_string": text}, "content_type": "text/plain; charset=utf-8"}


def router() -> Json:
    return extension("envoy.filters.http.router", ROUTER, suppress_envoy_headers=True)


def decided(decision: str, slot: str = "") -> Json:
    """Route metadata that the audit line shows."""
    return {"filter_metadata": {"egress": {"decision": decision, **({"slot": slot} if slot else {})}}}
