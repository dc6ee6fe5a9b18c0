"""Whether this host can boot microVMs, told before anything is made: what it cannot do from what is merely not set up.

The engine's own check opens /dev/kvm and no more; a host with paravirtual KVM passes it and boots nothing.
"""

import importlib.util
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bottlegen.errors import Problem

_INSTEAD = "use --runtime docker or bubblewrap"
_INSTALL = "pip install 'bottlegen[microvm]'"
_HARDWARE = ("vmx", "svm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """This host as far as it matters here. `code` and `reason` are the engine's own, empty when nothing is amiss."""

    euid: int
    system: str
    machine: str
    installed: str
    series: str
    cli: str
    code: str
    reason: str
    flags: frozenset[str]
    paravirtual: bool
    kvm: bool


def facts() -> Facts:
    """Asked of this host; the engine is loaded only where it is installed."""
    cpu = Path("/proc/cpuinfo")
    found: dict[str, str] = {"installed": "", "series": "", "cli": "", "code": "", "reason": ""}
    kvm = Path("/dev/kvm").exists()
    # Half a second that `up` with another runtime need not spend: without KVM, or as root, no answer would matter.
    if kvm and os.geteuid() != 0 and importlib.util.find_spec("smol"):
        from runtime.smolmachines import engine

        _, code, reason = engine.availability()
        found = {
            "installed": engine.version(), "series": engine.SERIES, "cli": engine.cli_version(),
            "code": code, "reason": reason,
        }  # fmt: skip
    return Facts(
        euid=os.geteuid(),
        system=platform.system(),
        machine=platform.machine(),
        flags=frozenset(cpu.read_text().split()) if cpu.is_file() else frozenset(),
        paravirtual=Path("/sys/module/kvm_pvm").exists(),
        kvm=kvm,
        **found,
    )


def suspicious(host: Facts) -> str:
    """Why a boot is likely to fail although the engine sees nothing amiss; empty when nothing speaks against it."""
    if host.paravirtual:
        return "its KVM is paravirtual (kvm_pvm)"
    if host.machine == "x86_64" and not host.flags & set(_HARDWARE):
        return "its processor shows no hardware virtualisation (vmx, svm)"
    return ""


def cannot(host: Facts) -> list[Problem]:
    """What nobody can set right on this host, apart from another host."""
    if host.system != "Linux":
        what = f"bottlegen runs microVMs on Linux alone so far, not on {host.system}: sidecars need its namespaces"
        return [Problem(what=what, fix=_INSTEAD)]
    if host.code == "UNSUPPORTED_PLATFORM":
        return [Problem(what=f"this host cannot boot microVMs: {host.reason}", fix=_INSTEAD)]
    if not host.kvm:
        return [
            Problem(
                what="this host cannot boot microVMs: there is no /dev/kvm",
                fix=f"on hardware of your own: switch virtualisation on in its firmware, and modprobe kvm\n"
                f"in a virtual machine: switch nested virtualisation on for it\nor: {_INSTEAD}",
            )
        ]
    return []


def misconfigured(host: Facts) -> list[Problem]:
    """What its owner can set right; beside root, all of it at once."""
    found = []
    if host.euid == 0:
        what = "a microVM of root's would run as a user who can open neither /dev/kvm nor your files"
        return [Problem(what=what, fix="run as a user of group kvm: sudo usermod -aG kvm USER")]
    if not host.installed:
        found.append(Problem(what="the package smolmachines is not installed", fix=_INSTALL))
    elif not host.installed.startswith(host.series) or host.cli != host.installed:
        what = f"smolmachines {host.installed} (its smol-vmm: {host.cli or 'does not run'}) is not {host.series}*"
        found.append(Problem(what=what, fix=_INSTALL))
    if "permission" in host.reason.lower():
        found.append(Problem(what="you may not open /dev/kvm", fix="sudo usermod -aG kvm $USER, then log in again"))
    elif host.code:
        found.append(Problem(what=f"microVMs are not set up here: {host.reason}", fix=_INSTALL))
    return found


def problems(host: Facts, probe: Callable[[], str] | None = None) -> list[Problem]:
    """Why no microVM can run here; with `probe`, which boots one, a doubt is settled and otherwise it is enough."""
    if found := cannot(host) or misconfigured(host):
        return found
    if not (doubt := suspicious(host)):
        return []
    said = probe() if probe else "not tried"
    return [Problem(what=f"this host cannot boot microVMs: {doubt} ({said})", fix=_INSTEAD)] if said else []
