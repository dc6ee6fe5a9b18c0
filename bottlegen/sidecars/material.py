"""Where the egress sidecar finds what exists only at start; nothing here outlives the sidecar's memory."""

from collections.abc import Iterable

BASE = "/run/egress"
"""Memory-backed directory of the sidecar. A runtime without mounts of its own moves it with `specialise`."""

CONFIG = f"{BASE}/envoy.json"
UPSTREAM_CA = f"{BASE}/upstream-ca.pem"
PIPELOCK_CA = f"{BASE}/pipelock-ca.pem"
"""Of the pipelock behind this sidecar: trusted for inspected hosts, and for these alone."""

PIPELOCK_PORT = 8888
NOWHERE = "192.0.2.1"
"""Where pipelock would be (RFC 5737: an address of nobody), until a start says where it is."""


LEAF_HOSTS = 50
"""Host patterns that share one leaf certificate. With one each, the files that Envoy watches would soon use up what
Linux grants (see `token_file`), and clients bound the work of checking one leaf's names against the CA's constraints
(Go and webpki: 250,000 comparisons of a name and a constraint)."""


def leaf_parts(hosts: Iterable[str]) -> dict[str, int]:
    """For each host pattern of the routes the number of the leaf that serves it."""
    return {host: number // LEAF_HOSTS for number, host in enumerate(sorted(set(hosts)))}


def leaf_secret(part: int) -> str:
    """What Envoy calls the leaf."""
    return f"leaf-{part}"


def leaf_file(part: int) -> str:
    """Says which term's certificate is in use: Envoy watches it, two inotify instances for each leaf."""
    return f"{BASE}/tls/{part}.json"


def leaf_chain(part: int, term: int) -> str:
    return f"{BASE}/tls/{part}-{term}.pem"


def leaf_key(part: int, term: int) -> str:
    return f"{BASE}/tls/{part}-{term}.key"


def token_file(slot: str) -> str:
    """One file per slot: Envoy refuses a secrets file that holds more than the one it was asked for.

    Each costs the sidecar one inotify instance, of 128 that Linux grants a uid by default across all its processes.
    """
    return f"{BASE}/sds/{slot}.json"
