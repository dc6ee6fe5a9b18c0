"""What the git gate gets at a start: the rules as the bundle has them, this host's addresses, credentials, trust."""

import base64
import hashlib
from collections.abc import Iterator, Mapping

from bottlegen.bundle import Bundle
from bottlegen.errors import Problem
from bottlegen.render import canonical_json
from bottlegen.sidecars import git_gate as paths
from bottlegen.sidecars.material import PIPELOCK_PORT
from runtime.base import MaterialFile
from runtime.sidecars.begin import EXTRA_CA, SHORTEST, Begin, Held, Setting

START = f"{paths.BASE}/start.json"
KNOWN = f"{paths.BASE}/known.json"
_INSPECTING = "pipelock"
_BEGINNING = 4
"""Bytes of a value that the gate has in clear: enough to look in few places, of no use to who takes it over."""


def check(_bundle: Bundle, _static_hosts: Mapping[str, str]) -> tuple[Problem, ...]:
    """It honours everything that host.toml can say."""
    return ()


def material(begin: Begin) -> tuple[MaterialFile, ...]:
    """Credentials, trust, what this host adds, and last the rules, unchanged, whose arrival starts the gate."""
    return (*credentials(begin), *settings(begin.setting))


def settings(setting: Setting) -> tuple[MaterialFile, ...]:
    """Trust and addresses of this host, and the rules."""
    start = {
        "address": setting.addresses[paths.NAME],
        "static_hosts": dict(setting.static_hosts),
        "proxy": _proxy(setting),
    }
    return (
        MaterialFile(path=f"{paths.BASE}/{EXTRA_CA}", mode=0o644, data=setting.extra_trust),
        MaterialFile(path=START, mode=0o600, data=canonical_json(start)),
        MaterialFile(path=paths.CONFIG, mode=0o600, data=setting.bundle.data(paths.RULES)),
    )


def credentials(held: Held) -> tuple[MaterialFile, ...]:
    """A file for each slot, which the gate reads anew whenever a remote asks, and what it knows of all other values."""
    keys = {slot.name for slot in held.bundle.manifest.slots if slot.sidecar == paths.NAME and not slot.header}
    slots = (
        MaterialFile(
            path=f"{paths.BASE}/slots/{slot}",
            mode=0o600,
            # ssh wants a line's end after a key.
            data=(value.reveal() + ("\n" if slot in keys else "")).encode(),
        )
        for slot, value in sorted(held.values.items())
    )
    known = sorted({mark for value in held.every_value for mark in _marks(value.reveal().encode())})
    return (*slots, MaterialFile(path=KNOWN, mode=0o600, data=canonical_json([list(mark) for mark in known])))


def _marks(value: bytes) -> Iterator[tuple[str, int, str]]:
    """How the gate recognises a value that it does not hold: first bytes, length and hash of each of its forms."""
    if len(value) < SHORTEST:
        return
    safe = base64.urlsafe_b64encode(value)
    for form in {value, base64.b64encode(value).rstrip(b"="), safe.rstrip(b"="), value.hex().encode()}:
        yield form[:_BEGINNING].hex(), len(form), hashlib.sha256(form).hexdigest()


def _proxy(setting: Setting) -> str:
    """Where the inspecting proxy is, for a gate that has no other way out: `address:port`, or a unix socket's path."""
    if "chain" not in setting.bundle.manifest.services[paths.NAME].networks:
        return ""
    address = setting.addresses[_INSPECTING]
    return f"{address}/{PIPELOCK_PORT}" if address.startswith("/") else f"{address}:{PIPELOCK_PORT}"
