"""What the egress sidecar gets at a start: its config for this host, leaf keys, credentials, trust."""

from collections.abc import Mapping

from bottlegen.bundle import Bundle
from bottlegen.errors import BundleError, Problem
from bottlegen.sidecars import material as paths
from bottlegen.sidecars.pipelock import NAME as PIPELOCK
from runtime.base import MaterialFile
from runtime.sidecars import egress_config
from runtime.sidecars.begin import EXTRA_CA, Begin, Held, Setting


def route_hosts(bundle: Bundle) -> tuple[str, ...]:
    """Every host pattern that the bundle's routes name; BundleError when routes.json is not of this format."""
    try:
        return egress_config.leaf_names(bundle.data("routes.json"))
    except (ValueError, KeyError, TypeError) as e:
        raise BundleError("routes.json of the bundle is not of this format", fix="bottlegen build") from e


def exact_hosts(bundle: Bundle) -> tuple[str, ...]:
    """The hosts that can stand in a hosts file: patterns have no address."""
    return tuple(host for host in route_hosts(bundle) if not host.startswith("*."))


def check(_bundle: Bundle, _static_hosts: Mapping[str, str]) -> tuple[Problem, ...]:
    """It honours everything that host.toml can say."""
    return ()


def material(begin: Begin) -> tuple[MaterialFile, ...]:
    """Leaf certificates and keys, trust, credentials, and the config, whose arrival starts the sidecar."""
    inspector = begin.signer.certificate if begin.signer else b""
    leaves = (
        file
        for leaf in begin.authority.leaves
        for file in (
            MaterialFile(path=paths.leaf_chain(leaf.part, leaf.term), mode=0o600, data=leaf.chain),
            MaterialFile(path=paths.leaf_key(leaf.part, leaf.term), mode=0o600, data=leaf.key),
        )
    )
    return (
        *leaves,
        *certificates(begin.bundle, 0),
        MaterialFile(path=paths.PIPELOCK_CA, mode=0o644, data=inspector),
        *credentials(begin),
        *settings(begin.setting),
    )


def settings(setting: Setting) -> tuple[MaterialFile, ...]:
    """What the host adds to the trust, and the config for where the sidecar is."""
    config = egress_config.specialise(
        setting.bundle.data("sidecars/egress/envoy.json"),
        address=setting.addresses["egress"],
        static_hosts=setting.static_hosts,
        pipelock=setting.addresses.get(PIPELOCK, ""),
    )
    return (
        MaterialFile(path=f"{paths.BASE}/{EXTRA_CA}", mode=0o644, data=setting.extra_trust),
        MaterialFile(path=paths.CONFIG, mode=0o600, data=config),
    )


def credentials(held: Held) -> tuple[MaterialFile, ...]:
    """A file for each slot, as Envoy reads and watches them."""
    schemes = {slot.name: slot.scheme for slot in held.bundle.manifest.slots}
    files = egress_config.sds_files(held.values, schemes)
    return tuple(MaterialFile(path=path, mode=0o600, data=data) for path, data in files.items())


def certificates(bundle: Bundle, term: int) -> tuple[MaterialFile, ...]:
    """The files that say which term's leaves are in use; placed again, they renew what the agent is shown."""
    parts = -(-len(route_hosts(bundle)) // paths.LEAF_HOSTS)
    files = egress_config.leaf_files(parts, term)
    return tuple(MaterialFile(path=path, mode=0o600, data=data) for path, data in files.items())
