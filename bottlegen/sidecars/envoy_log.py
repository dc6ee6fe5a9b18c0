"""Audit lines: one JSON object per request, tunnel and failed handshake, made of fields that no credential can enter.

No header but Host and no body is ever logged, and a query where the profile asks for it. `decision` is the policy's
word; a request refused before a route was chosen (a malformed path, say) has null there and its reason in `details`.
"""

from functools import cache

from bottlegen.render import Fixed
from bottlegen.sidecars.envoy_types import STDOUT_LOG, Json, extension

BOTTLE_VARIABLE = "BOTTLEGEN_BOTTLE"
BUNDLE_VARIABLE = "BOTTLEGEN_BUNDLE"

_COMMON = {
    "ts": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "bottle": f"%ENVIRONMENT({BOTTLE_VARIABLE})%",
    "bundle": f"%ENVIRONMENT({BUNDLE_VARIABLE})%",
    "sni": "%REQUESTED_SERVER_NAME%",
    "flags": "%RESPONSE_FLAGS%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "ms": "%DURATION%",
    "upstream": "%UPSTREAM_REMOTE_ADDRESS%",
    "upstream_error": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "tls_error": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
}
# Lengths: a header may have 96 KiB, a log line that long would push others out of the buffer.
_HTTP = {
    "decision": "%METADATA(ROUTE:egress:decision)%",
    "route": "%ROUTE_NAME%",
    "slot": "%METADATA(ROUTE:egress:slot)%",
    "method": "%REQ(:METHOD):32%",
    "host": "%REQ(:AUTHORITY):300%",
    "path": "%PATH(NQ):2000%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
}


_QUERY = {"target": "%PATH(WQ):4000%"}


@cache
def http_log(event: str, *, queries: bool = False) -> Json:
    """Logger of a connection manager; `event` is `connect` for tunnels and `request` for what goes through them.

    With `queries` also the path with its query, as `target`."""
    return Fixed(_logger({**_COMMON, **_HTTP, **(_QUERY if queries else {}), "event": event}))


def unmatched_log() -> Json:
    """Logger of connections that no filter chain takes: an unknown or missing server name, or no TLS at all."""
    fields = {**_COMMON, "event": "handshake", "decision": "deny", "details": "%CONNECTION_TERMINATION_DETAILS%"}
    return {**_logger(fields), "filter": {"response_flag_filter": {"flags": ["NR"]}}}


def _logger(fields: dict[str, str]) -> Json:
    return extension("envoy.access_loggers.stdout", STDOUT_LOG, log_format={"json_format": fields})
