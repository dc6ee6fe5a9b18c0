"""One start as a sidecar's module sees it: what the bundle says, and what exists only now."""

from collections.abc import Mapping
from dataclasses import dataclass

from bottlegen.bundle import Bundle
from bottlegen.secret import Secret
from runtime.ca import Authority, Signer

EXTRA_CA = "extra-ca.pem"
"""Trust of the host, placed beside a sidecar's `listening.trust`; its entry joins it with the system's roots there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """`addresses` tell where each sidecar of the bottle is reached, `listens` what it must bind (see `Endpoints`).

    `values` are this sidecar's by slot, `every_value` those of all. `signer` is pipelock's CA, None without it.
    `static_hosts` are the host's fixed addresses of names; `extra_trust` is PEM that joins the system's roots.
    """

    bundle: Bundle
    addresses: Mapping[str, str]
    listens: Mapping[str, str]
    authority: Authority
    signer: Signer | None
    values: Mapping[str, Secret]
    every_value: tuple[Secret, ...]
    static_hosts: Mapping[str, str]
    extra_trust: bytes
