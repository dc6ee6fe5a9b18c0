"""What each sidecar waits for at a start: one module each, found by the service's name, and none knows another's."""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from bottlegen.bundle import Bundle
from bottlegen.errors import BundleError, HostError, Problem
from bottlegen.secret import Secret
from runtime.base import MaterialFile
from runtime.sidecars import egress, git_gate, pipelock
from runtime.sidecars.begin import Begin, Held, Setting


class Sidecar(Protocol):
    """What a sidecar's module defines. Every file it returns goes into the sidecar's memory and nowhere else."""

    def check(self, bundle: Bundle, static_hosts: Mapping[str, str], /) -> Iterable[Problem]:
        """What of the host's settings it could not honour; asked before anything is made."""

    def material(self, begin: Begin) -> tuple[MaterialFile, ...]:
        """All that it waits for. The file that starts it, `listening.config`, comes last."""

    def settings(self, setting: Setting, /) -> tuple[MaterialFile, ...]:
        """Those of them that hold no secret and follow from `setting` alone, so that what a running sidecar has can be
        compared with them. Of a file that may be one of several each is among them."""

    def credentials(self, held: Held, /) -> tuple[MaterialFile, ...]:
        """The files that hold values, or what it knows of them; placed again, they replace what is in use at once."""


SIDECARS: Final[Mapping[str, Sidecar]] = {"egress": egress, "git-gate": git_gate, "pipelock": pipelock}


def of(bundle: Bundle) -> tuple[str, ...]:
    """The names of the bundle's sidecars; BundleError for one that this version cannot supply."""
    names = tuple(name for name, service in bundle.manifest.services.items() if service.listening)
    if unknown := [name for name in names if name not in SIDECARS]:
        raise BundleError(f"no sidecar '{unknown[0]}' in this version of bottlegen", fix="bottlegen build")
    return names


def check(bundle: Bundle, static_hosts: Mapping[str, str]) -> None:
    """Refuse, before anything is made, what a sidecar of the bundle could not do: HostError lists all of it."""
    if problems := [problem for name in of(bundle) for problem in SIDECARS[name].check(bundle, static_hosts)]:
        raise HostError(problems)


def slots(bundle: Bundle, sidecar: str, values: Mapping[str, Secret]) -> dict[str, Secret]:
    """Those of `values` that this sidecar holds."""
    held = {slot.name for slot in bundle.manifest.slots if slot.sidecar == sidecar}
    return {name: value for name, value in values.items() if name in held}
