"""The runtimes there are, and which of them runs a given bottle."""

import os
from pathlib import Path
from typing import Final

from bottlegen.errors import HostError, RuntimeFailure
from bottlegen.manifest import Manifest
from runtime.base import Runtime
from runtime.host import HostConfig

_ISOLATION: Final = {
    "docker": "container",
    "bubblewrap": "process",
    "smolmachines": "vm",
}
_STRENGTH: Final = ("process", "container", "vm")


def make(name: str, ca_file: str | None = None) -> Runtime:
    """The runtime of that name, its library imported only now; HostError for a name that is none of ours.

    `ca_file` is trusted beside the usual roots while images are fetched and built."""
    if name == "docker":
        from runtime.docker import DockerRuntime

        env = dict(os.environ)
        cache = Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bottlegen"
        return DockerRuntime(env, cache, Path(ca_file).expanduser() if ca_file else None)
    raise HostError(f"no runtime '{name}'", fix="use one of: docker, auto")


def installed() -> tuple[Runtime, ...]:
    """Every runtime whose bottles can be listed on this host."""
    return (make("docker"),)


def choose(asked: str, manifest: Manifest, config: HostConfig) -> Runtime:
    """What was asked for, else what the profile says, else host.toml, else the strongest that is here.

    RuntimeFailure when it isolates less than the profile demands.
    """
    name = next(
        (name for name in (asked, manifest.runtime, config.runtime) if name not in ("", "auto")),
        "docker",
    )
    runtime = make(name, config.upstream.ca_file)
    if _STRENGTH.index(_ISOLATION[name]) < _STRENGTH.index(manifest.isolation):
        raise RuntimeFailure(
            f"profile '{manifest.name}' demands isolation '{manifest.isolation}', runtime '{name}' gives '{_ISOLATION[name]}'",
            fix=f"--runtime with one that gives '{manifest.isolation}'",
        )
    return runtime
