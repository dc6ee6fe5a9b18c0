"""What the git gate gets at a start: the rules as the bundle has them, this host's addresses, credentials, trust."""

from collections.abc import Mapping

from bottlegen.bundle import Bundle
from bottlegen.errors import Problem
from bottlegen.render import canonical_json
from bottlegen.secret import Secret
from bottlegen.sidecars import git_gate as paths
from bottlegen.sidecars.material import PIPELOCK_PORT
from runtime.base import MaterialFile
from runtime.sidecars.begin import EXTRA_CA, Begin

START = f"{paths.BASE}/start.json"
_INSPECTING = "pipelock"


def check(_bundle: Bundle, _static_hosts: Mapping[str, str]) -> tuple[Problem, ...]:
    """It honours everything that host.toml can say."""
    return ()


def material(begin: Begin) -> tuple[MaterialFile, ...]:
    """Credentials, trust, what this host adds, and last the rules, unchanged, whose arrival starts the gate."""
    start = {
        "address": begin.addresses[paths.NAME],
        "static_hosts": dict(begin.static_hosts),
        "proxy": _proxy(begin),
    }
    return (
        *credentials(begin.bundle, begin.values),
        MaterialFile(path=f"{paths.BASE}/{EXTRA_CA}", mode=0o644, data=begin.extra_trust),
        MaterialFile(path=START, mode=0o600, data=canonical_json(start)),
        MaterialFile(path=paths.CONFIG, mode=0o600, data=begin.bundle.data(paths.RULES)),
    )


def credentials(bundle: Bundle, values: Mapping[str, Secret]) -> tuple[MaterialFile, ...]:
    """A file for each slot, which the gate reads anew whenever a remote asks. ssh wants a line's end after a key."""
    keys = {slot.name for slot in bundle.manifest.slots if slot.sidecar == paths.NAME and not slot.header}
    return tuple(
        MaterialFile(
            path=f"{paths.BASE}/slots/{slot}",
            mode=0o600,
            data=(value.reveal() + ("\n" if slot in keys else "")).encode(),
        )
        for slot, value in sorted(values.items())
    )


def _proxy(begin: Begin) -> str:
    """The way out through the inspecting proxy, where the gate is on its network; git can use no folder of sockets."""
    address = begin.addresses.get(_INSPECTING, "")
    chained = "chain" in begin.bundle.manifest.services[paths.NAME].networks
    return f"http://{address}:{PIPELOCK_PORT}" if chained and address and not address.startswith("/") else ""
