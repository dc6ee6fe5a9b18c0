"""The runtimes there are, and which of them runs a given bottle: none that isolates less than its profile demands."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bottlegen.errors import HostError, Problem, RuntimeFailure
from runtime.base import Runtime
from runtime.host import Host
from runtime.state import State

if TYPE_CHECKING:
    from bottlegen.manifest import Manifest

_STRENGTH: Final = ("process", "container", "vm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One runtime. `isolation` is the least that it gives on any host, `found` why `auto` takes it where it can run.

    `why_not` is empty when this host can run it, else what is missing, each with a fix. `meant` is whether this host's
    settings speak of it, so that `auto` fails rather than passes it by. `listed` is whether its bottles can be listed.
    """

    isolation: str
    found: str
    make: Callable[[Host], Runtime]
    why_not: Callable[[Host], tuple[Problem, ...]]
    meant: Callable[[Host], bool] = lambda _: False
    listed: Callable[[Host], bool] = lambda _: True


def _docker(host: Host) -> Runtime:
    from runtime.docker import DockerRuntime

    return DockerRuntime(host.env, host.cache, host.ca_file, State.of(host.env, host.home).root)


def _no_engine(host: Host) -> tuple[Problem, ...]:
    from runtime.docker.engine import connect

    try:
        connect(host.env).api.close()
    except RuntimeFailure as e:
        return tuple(e.problems)
    return ()


def _engine_is_named(host: Host) -> bool:
    return bool(host.env.get("DOCKER_HOST"))


def _smolmachines(host: Host) -> Runtime:
    from runtime.smolmachines.runtime import SmolmachinesRuntime

    return SmolmachinesRuntime(host)


def _no_machines(host: Host) -> tuple[Problem, ...]:
    """Without trying a boot: a host of which it is doubtful is passed by."""
    from runtime.smolmachines import preflight
    from runtime.smolmachines.image import Images

    if found := preflight.problems(preflight.facts()):
        return tuple(found)
    rootfs = host.config.smolmachines.rootfs
    return tuple(Images(env=host.env, cache=host.cache, ca_file=host.ca_file, rootfs=rootfs).problems())


def _has_machines(host: Host) -> bool:
    """Whether there can be machines to list: their engine is here, and somebody has used it."""
    used = Path(host.env.get("XDG_DATA_HOME") or host.home / ".local" / "share") / "smolvm"
    kept = State.of(host.env, host.home).root / "smolmachines"
    return (used.exists() or kept.exists()) and importlib.util.find_spec("smol") is not None


def _bubblewrap(host: Host) -> Runtime:
    from runtime.bubblewrap.runtime import BubblewrapRuntime

    return BubblewrapRuntime(host.env, host.cache, State.of(host.env, host.home).root, host.ca_file)


def _no_namespaces(host: Host) -> tuple[Problem, ...]:
    from runtime.bubblewrap import tools

    try:
        tools.find(host.env)
    except RuntimeFailure as e:
        return tuple(e.problems)
    return ()


RUNTIMES: Final[Mapping[str, Entry]] = {
    "smolmachines": Entry(
        isolation="vm",
        found="this host boots microVMs",
        make=_smolmachines,
        why_not=_no_machines,
        listed=_has_machines,
    ),
    "docker": Entry(
        isolation="container",
        found="an engine answers",
        make=_docker,
        why_not=_no_engine,
        meant=_engine_is_named,
        listed=lambda host: _engine_is_named(host) or not _no_engine(host),
    ),
    "bubblewrap": Entry(isolation="process", found="namespaces of this host", make=_bubblewrap, why_not=_no_namespaces),
}
"""The strongest first, which is the order of `auto`."""


def make(name: str, host: Host) -> Runtime:
    """The runtime of that name, its library imported only now; HostError for a name that is none of ours."""
    if entry := RUNTIMES.get(name):
        return entry.make(host)
    names = f"use one of: {', '.join((*RUNTIMES, 'auto'))}"
    gvisor = '\ngVisor is an option of docker: [docker] oci_runtime = "runsc" in host.toml'
    raise HostError(f"no runtime '{name}'", fix=names + (gvisor if name in ("runsc", "gvisor") else ""))


def installed(host: Host) -> tuple[Runtime, ...]:
    """Every runtime whose bottles can be listed on this host."""
    return tuple(entry.make(host) for entry in RUNTIMES.values() if entry.listed(host))


def choose(asked: str, manifest: Manifest, host: Host) -> Runtime:
    """What was asked for, else what the profile says, else host.toml, else the strongest that is here.

    RuntimeFailure when it isolates less than the profile demands, whoever named it.
    """
    profile = manifest.runtime if manifest.runtime != "auto" else ""
    named = asked or profile or host.config.runtime
    if named == "auto":
        return _strongest(manifest, host)
    runtime = make(named, host)
    if not _holds(RUNTIMES[named], manifest):
        raise RuntimeFailure(
            f"profile '{manifest.name}' demands isolation '{manifest.isolation}',"
            f" runtime '{named}' gives '{RUNTIMES[named].isolation}'",
            fix=_stronger(manifest),
        )
    return runtime


def _holds(entry: Entry, manifest: Manifest) -> bool:
    return _STRENGTH.index(entry.isolation) >= _STRENGTH.index(manifest.isolation)


def _stronger(manifest: Manifest) -> str:
    names = [name for name, entry in RUNTIMES.items() if _holds(entry, manifest)]
    if names:
        return f"--runtime {' or '.join(names)}"
    return f"no runtime gives '{manifest.isolation}' yet: lower isolation in the profile"


def _strongest(manifest: Manifest, host: Host) -> Runtime:
    """The first that this host can run and that the profile allows; says which and why in one line."""
    problems: list[Problem] = []
    passed_by: list[str] = []
    for name, entry in RUNTIMES.items():
        if not _holds(entry, manifest):
            continue
        missing = entry.why_not(host)
        if not missing:
            print(f"runtime: {name} ({'; '.join([*passed_by, entry.found])})", file=sys.stderr)
            return entry.make(host)
        problems += missing
        passed_by.append(f"not {name}: {missing[0].what}")
        if entry.meant(host):
            break
    raise RuntimeFailure(
        problems
        or [
            Problem(
                what=f"profile '{manifest.name}' demands isolation '{manifest.isolation}', which no runtime here gives",
                fix=_stronger(manifest),
            )
        ]
    )
