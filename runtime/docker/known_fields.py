"""Fields that engines of API 1.41 to 1.55 (20.10 to 29.7) tell, each in the row that compares it; others are unknown.

https://github.com/moby/moby: api/docs/v1.41.yaml to v1.55.yaml, api/docs/CHANGELOG.md, api/types/container.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bottlegen.wording import shown

ROWS = {
    "mounts": ("Mounts", "Binds", "Tmpfs", "VolumesFrom", "VolumeDriver"),
    "networks": (
        "NetworkMode", "ExtraHosts", "Dns", "DnsOptions", "DnsSearch", "Links", "PortBindings", "PublishAllPorts",
    ),
    "limits": (
        "Memory", "MemorySwap", "MemorySwappiness", "MemoryReservation", "NanoCpus", "PidsLimit", "ShmSize", "Ulimits",
        "CpuShares", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpusetCpus", "CpusetMems",
        "CpuCount", "CpuPercent", "BlkioWeight", "OomKillDisable", "KernelMemory", "KernelMemoryTCP",
    ),
    "capabilities": ("CapAdd", "CapDrop", "Privileged", "Capabilities"),
    "read-only root": ("ReadonlyRootfs",),
    "user": ("GroupAdd", "UsernsMode"),
    # Annotations came with API 1.43: an OCI runtime takes settings from them.
    "isolation": (
        "Annotations", "AutoRemove", "BlkioDeviceReadBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteBps",
        "BlkioDeviceWriteIOps", "BlkioWeightDevice", "Cgroup", "CgroupParent", "CgroupnsMode", "DeviceCgroupRules",
        "DeviceRequests", "Devices", "DiskQuota", "IOMaximumBandwidth", "IOMaximumIOps", "Init", "IpcMode", "Isolation",
        "LogConfig", "PidMode", "RestartPolicy", "Runtime", "StorageOpt", "Sysctls", "UTSMode",
    ),
}  # fmt: skip
"""Fields of HostConfig by the row that compares them: what the request leaves out must say nothing there."""

COVERED = {
    "MaskedPaths": frozenset((
        "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
        "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/firmware",
    )),
    "ReadonlyPaths": frozenset(("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")),
}  # fmt: skip
"""What every engine since 20.10 covers of /proc and /sys unasked; newer ones cover more."""

_TOLD = ("ConsoleSize", "ContainerIDFile", "OomScoreAdj", "MemorySwappiness", "SecurityOpt")
"""Fields that engines fill in by themselves, each in its own way, and that say nothing of a wall; and one that has
rows of its own."""

_CONFIG = (
    "AttachStderr", "AttachStdin", "AttachStdout", "ArgsEscaped", "Cmd", "Domainname", "Entrypoint", "Env",
    "ExposedPorts", "Healthcheck", "Hostname", "Image", "Labels", "MacAddress", "NetworkDisabled", "OnBuild",
    "OpenStdin", "Shell", "StdinOnce", "StopSignal", "StopTimeout", "Tty", "User", "Volumes", "WorkingDir",
)  # fmt: skip
"""Fields of Config. Those that no row compares open nothing: mounts, networks and programs have their rows."""

_NETWORK = (
    "Attachable", "ConfigFrom", "ConfigOnly", "Containers", "Created", "Driver", "EnableIPv4", "EnableIPv6", "IPAM",
    "Id", "Ingress", "Internal", "Labels", "Name", "Options", "Peers", "Scope", "Services", "Status",
)  # fmt: skip

_BOUNDED = ("nofile", "nproc", "memlock", "stack")
"""Limits that an engine's owner may give every container (`default-ulimits`): Memory and PidsLimit bind more."""

_FAMILIES = ("com.docker.network.enable_ipv4", "com.docker.network.enable_ipv6")
"""Options of a network that newer engines add, and that its own fields tell too."""

_SIZES = ("com.docker.network.driver.mtu",)
"""Options that an engine's owner may give every network (`default-network-opts`) and that open nothing."""

_DECISIVE = ("com.docker.network.bridge.", "com.docker.network.driver.", "com.docker.network.container_")
"""How the names of options begin that say who is on a bridge and what passes it."""


def plain(value: Any) -> Any:
    """A value in one form, whatever says nothing as None: what an engine leaves out, and what it says by default."""
    if isinstance(value, Mapping):
        kept = {name: said for name, item in sorted(value.items()) if (said := plain(item)) is not None}
        return kept or None
    if isinstance(value, list | tuple):
        return sorted((plain(item) for item in value), key=repr) or None
    return value or None


def unasked(name: str, default_runtime: str) -> tuple[Any, ...]:
    """What the engine says of a field that it was asked nothing of."""
    given = {
        "IpcMode": ("private", "shareable"), "CgroupnsMode": ("host", "private"), "Isolation": ("default",),
        "Runtime": (default_runtime,), "MemorySwappiness": (-1,), "PidsLimit": (-1,),
    }  # fmt: skip
    return given.get(name, ())


def asked(request: Mapping[str, Any], host: Mapping[str, Any]) -> Mapping[str, Any]:
    """HostConfig as found, without the limits that the engine's owner adds and that open nothing."""
    wanted = {limit["Name"] for limit in request.get("Ulimits") or ()}
    kept = [limit for limit in host.get("Ulimits") or () if limit["Name"] in wanted or limit["Name"] not in _BOUNDED]
    return {**host, "Ulimits": kept}


def unknown(found: Mapping[str, Any]) -> Iterator[str]:
    """What a container is told to have that is in no list of this module, and says something."""
    known = {name for names in ROWS.values() for name in names} | {*_TOLD, *COVERED}
    for part, names in (("HostConfig", known), ("Config", {*_CONFIG})):
        for name, value in sorted(found[part].items()):
            if name not in names and plain(value) is not None:
                yield f"{part}.{shown(name)} is {shown(str(value)[:60])}"


def unknown_of_network(found: Mapping[str, Any]) -> Iterator[str]:
    """The same of a network and of its options."""
    for name, value in sorted(found.items()):
        if name not in _NETWORK and plain(value) is not None:
            yield f"{shown(name)} is {shown(str(value)[:60])}"
    for name, value in sorted((found.get("Options") or {}).items()):
        if not name.startswith((*_DECISIVE, *_FAMILIES)):
            yield f"option {shown(name)} is {shown(str(value)[:60])}"


def options(asked_of: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """A network's options as found that are to be compared."""
    compared = (name for name in found if name in asked_of or (name.startswith(_DECISIVE) and name not in _SIZES))
    return {name: found[name] for name in compared}
