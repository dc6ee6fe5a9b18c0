"""Where the egress sidecar finds what exists only at start; nothing here outlives the sidecar's memory."""

BASE = "/run/egress"
"""Memory-backed directory of the sidecar. A runtime without mounts of its own moves it with `specialise`."""

CONFIG = f"{BASE}/envoy.json"
UPSTREAM_CA = f"{BASE}/upstream-ca.pem"
PIPELOCK_CA = f"{BASE}/pipelock-ca.pem"
"""Of the pipelock behind this sidecar: trusted for inspected hosts, and for these alone."""

PIPELOCK_PORT = 8888
NOWHERE = "192.0.2.1"
"""Where pipelock would be (RFC 5737: an address of nobody), until a start says where it is."""


def leaf_name(host: str) -> str:
    """The file stem of a host's certificate: `*.example.org` is stored as `_wildcard.example.org`."""
    return "_wildcard" + host[1:] if host.startswith("*.") else host


def leaf_chain(host: str) -> str:
    return f"{BASE}/tls/{leaf_name(host)}.pem"


def leaf_key(host: str) -> str:
    return f"{BASE}/tls/{leaf_name(host)}.key"


def token_file(slot: str) -> str:
    """One file per slot: Envoy refuses a secrets file that holds more than the one it was asked for.

    Each costs the sidecar one inotify instance, of 128 that Linux grants a uid by default across all its processes.
    """
    return f"{BASE}/sds/{slot}.json"
