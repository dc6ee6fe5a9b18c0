"""The runtimes there are, and which of them runs a given bottle."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bottlegen.errors import HostError, RuntimeFailure
from runtime.base import Runtime
from runtime.host import Host
from runtime.state import State

if TYPE_CHECKING:
    from bottlegen.manifest import Manifest

_ISOLATION: Final = {
    "docker": "container",
    "bubblewrap": "process",
    "smolmachines": "vm",
}
_STRENGTH: Final = ("process", "container", "vm")


def make(name: str, host: Host) -> Runtime:
    """The runtime of that name, its library imported only now; HostError for a name that is none of ours."""
    if name == "docker":
        from runtime.docker import DockerRuntime

        return DockerRuntime(host.env, host.cache, host.ca_file)
    if name == "bubblewrap":
        from runtime.bubblewrap.runtime import BubblewrapRuntime

        return BubblewrapRuntime(host.env, host.cache, State.of(host.env, host.home).root, host.ca_file)
    raise HostError(f"no runtime '{name}'", fix="use one of: docker, bubblewrap, auto")


def installed(host: Host) -> tuple[Runtime, ...]:
    """Every runtime whose bottles can be listed on this host."""
    docker = () if _engine_is_missing(host) else (make("docker", host),)
    return (*docker, make("bubblewrap", host))


def choose(asked: str, manifest: Manifest, host: Host) -> Runtime:
    """What was asked for, else what the profile says, else host.toml, else the strongest that is here.

    RuntimeFailure when it isolates less than the profile demands.
    """
    named = next((name for name in (asked, manifest.runtime, host.config.runtime) if name not in ("", "auto")), "")
    name = named or _strongest(manifest, host)
    runtime = make(name, host)
    if _STRENGTH.index(_ISOLATION[name]) < _STRENGTH.index(manifest.isolation):
        raise RuntimeFailure(
            f"profile '{manifest.name}' demands isolation '{manifest.isolation}',"
            f" runtime '{name}' gives '{_ISOLATION[name]}'",
            fix=f"--runtime with one that gives '{manifest.isolation}'",
        )
    return runtime


def _strongest(manifest: Manifest, host: Host) -> str:
    """Docker where an engine answers, else bubblewrap where the profile and this host allow it; says which and why."""
    from runtime.docker.engine import connect

    try:
        connect(host.env).api.close()
    except RuntimeFailure as e:
        first = e.problems[0].what
        if manifest.isolation != "process" or host.env.get("DOCKER_HOST"):
            raise  # an engine is what was meant
        from runtime.bubblewrap import tools

        try:
            tools.find(host.env)
        except RuntimeFailure as also:
            raise RuntimeFailure([*e.problems, *also.problems]) from also
        print(f"runtime: bubblewrap ({first})", file=sys.stderr)
        return "bubblewrap"
    print("runtime: docker (an engine answers)", file=sys.stderr)
    return "docker"


def _engine_is_missing(host: Host) -> bool:
    """Whether no engine answers, and none was named: then there are no bottles of it to speak of."""
    if host.env.get("DOCKER_HOST"):
        return False
    from runtime.docker.engine import connect

    try:
        connect(host.env).api.close()
    except RuntimeFailure:
        return True
    return False
