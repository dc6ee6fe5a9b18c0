"""One start as a sidecar's module sees it: what the bundle says, and what exists only now."""

from collections.abc import Mapping
from dataclasses import dataclass

from bottlegen.bundle import Bundle
from bottlegen.secret import Secret
from runtime.ca import Authority, Signer

EXTRA_CA = "extra-ca.pem"
"""Trust of the host, placed beside a sidecar's `listening.trust`; its entry joins it with the system's roots there."""


SHORTEST = 16
"""Characters of a value that is looked for in what leaves; a shorter one would be found in innocent text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What can be known again of a start, for there is no secret in it and no chance."""

    bundle: Bundle
    addresses: Mapping[str, str]
    listens: Mapping[str, str]
    static_hosts: Mapping[str, str]
    extra_trust: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What `refresh` replaces in a running bottle: `values` are this sidecar's by slot, `every_value` those of all.

    `static_hosts` are the host's fixed addresses of names.
    """

    bundle: Bundle
    values: Mapping[str, Secret]
    every_value: tuple[Secret, ...]
    static_hosts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin(Held):
    """`addresses` tell where each sidecar of the bottle is reached, `listens` what it must bind (see `Endpoints`).

    `signer` is pipelock's CA, None without it. `extra_trust` is PEM that joins the system's roots.
    """

    addresses: Mapping[str, str]
    listens: Mapping[str, str]
    authority: Authority
    signer: Signer | None
    extra_trust: bytes

    @property
    def setting(self) -> Setting:
        return Setting(
            bundle=self.bundle,
            addresses=self.addresses,
            listens=self.listens,
            static_hosts=self.static_hosts,
            extra_trust=self.extra_trust,
        )
