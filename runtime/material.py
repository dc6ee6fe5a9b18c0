"""The files that exist only in memory of a running bottle: config of this start, leaf keys, credentials, trust."""

from collections.abc import Mapping

from bottlegen.bundle import Bundle
from bottlegen.errors import BundleError
from bottlegen.secret import Secret
from bottlegen.sidecars import material as paths
from runtime import egress
from runtime.base import MaterialFile
from runtime.ca import Authority

EXTRA_CA = f"{paths.BASE}/extra-ca.pem"
"""Trust of the host beside the image's roots; the sidecar's entry joins both into one bundle."""


def route_hosts(bundle: Bundle) -> tuple[str, ...]:
    """Every host pattern that the bundle's routes name; BundleError when routes.json is not of this format."""
    try:
        return egress.leaf_names(bundle.data("routes.json"))
    except (ValueError, KeyError, TypeError) as e:
        raise BundleError("routes.json of the bundle is not of this format", fix="bottlegen build") from e


def exact_hosts(bundle: Bundle) -> tuple[str, ...]:
    """The hosts that can stand in a hosts file: patterns have no address."""
    return tuple(host for host in route_hosts(bundle) if not host.startswith("*."))


def egress_files(
    config: bytes, authority: Authority, tokens: tuple[MaterialFile, ...], extra_trust: bytes
) -> tuple[MaterialFile, ...]:
    """All that the egress sidecar waits for. The config comes last: its presence starts the sidecar."""
    leaves = (
        file
        for leaf in authority.leaves
        for file in (
            MaterialFile(path=paths.leaf_chain(leaf.host), mode=0o600, data=leaf.chain),
            MaterialFile(path=paths.leaf_key(leaf.host), mode=0o600, data=leaf.key),
        )
    )
    return (
        *leaves,
        MaterialFile(path=EXTRA_CA, mode=0o644, data=extra_trust),
        *tokens,
        MaterialFile(path=paths.CONFIG, mode=0o600, data=config),
    )


def token_files(bundle: Bundle, values: Mapping[str, Secret]) -> tuple[MaterialFile, ...]:
    """The credentials, a file for each slot, as the sidecar reads them; placed again, they rotate without a restart."""
    schemes = {slot.name: slot.scheme for slot in bundle.manifest.slots}
    files = egress.sds_files(values, schemes)
    return tuple(MaterialFile(path=path, mode=0o600, data=data) for path, data in files.items())
