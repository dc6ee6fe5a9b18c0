"""The runtimes there are, and which of them runs a given bottle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bottlegen.errors import HostError, RuntimeFailure
from runtime.base import Runtime
from runtime.host import Host

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
    raise HostError(f"no runtime '{name}'", fix="use one of: docker, auto")


def installed(host: Host) -> tuple[Runtime, ...]:
    """Every runtime whose bottles can be listed on this host."""
    return (make("docker", host),)


def choose(asked: str, manifest: Manifest, host: Host) -> Runtime:
    """What was asked for, else what the profile says, else host.toml, else the strongest that is here.

    RuntimeFailure when it isolates less than the profile demands.
    """
    name = next(
        (name for name in (asked, manifest.runtime, host.config.runtime) if name not in ("", "auto")),
        "docker",
    )
    runtime = make(name, host)
    if _STRENGTH.index(_ISOLATION[name]) < _STRENGTH.index(manifest.isolation):
        raise RuntimeFailure(
            f"profile '{manifest.name}' demands isolation '{manifest.isolation}',"
            f" runtime '{name}' gives '{_ISOLATION[name]}'",
            fix=f"--runtime with one that gives '{manifest.isolation}'",
        )
    return runtime
