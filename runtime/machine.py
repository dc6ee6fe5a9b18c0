"""What kind of machine this host is, in the words of pins and images."""

import platform

_MACHINES = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}


def own_platform() -> str:
    """`linux/amd64` and the like; a machine that has no other name there keeps its own."""
    return _MACHINES.get(platform.machine(), f"linux/{platform.machine()}")
