"""What kind of machine this host is, in the words of pins and images, and which downloads are for one."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bottlegen.manifest import ArtifactSpec

_MACHINES = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}


def own_platform() -> str:
    """`linux/amd64` and the like; a machine that has no other name there keeps its own."""
    return _MACHINES.get(platform.machine(), f"linux/{platform.machine()}")


def for_platform(every: Sequence[ArtifactSpec], machine: str) -> tuple[ArtifactSpec, ...] | None:
    """Those that make a service on `machine`, in their order; None when it is among those for others alone."""
    own = {artifact.platform for artifact in every} - {"any"}
    if own and machine not in own:
        return None
    return tuple(artifact for artifact in every if artifact.platform in (machine, "any"))


def platforms(every: Sequence[ArtifactSpec]) -> str:
    """The platforms that there are artifacts for, as words."""
    return ", ".join(sorted({artifact.platform for artifact in every} - {"any"}))
