"""Containers and networks beside the requests that make them: every field that the engine tells has its row.

A field that the request leaves out must be one that says nothing, so what somebody added is found without being known.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bottlegen.wording import shown
from runtime.base import Finding, MaterialFile

_LIMITS = (
    "Memory", "MemorySwap", "MemorySwappiness", "MemoryReservation", "NanoCpus", "PidsLimit", "ShmSize", "Ulimits",
    "CpuShares", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpusetCpus", "CpusetMems",
    "CpuCount", "CpuPercent", "BlkioWeight", "OomKillDisable", "KernelMemory", "KernelMemoryTCP",
)  # fmt: skip
_FIELDS = {
    "mounts": ("Mounts", "Binds", "Tmpfs", "VolumesFrom", "VolumeDriver"),
    "networks": (
        "NetworkMode", "ExtraHosts", "Dns", "DnsOptions", "DnsSearch", "Links", "PortBindings", "PublishAllPorts",
    ),
    "limits": _LIMITS,
    "capabilities": ("CapAdd", "CapDrop", "Privileged"),
    "read-only root": ("ReadonlyRootfs",),
    "user": ("GroupAdd", "UsernsMode"),
}  # fmt: skip
"""Which row a field of HostConfig belongs to; every other one is in the row `isolation`."""

_NO_NEW_PRIVILEGES, _FILTER = "no-new-privileges", "seccomp"
_COVERED = ("MaskedPaths", "ReadonlyPaths")
"""What the engine covers of /proc and /sys: it tells the lists, and only a container without this wall has none."""

_TOLD = ("ConsoleSize", "ContainerIDFile", "OomScoreAdj", "MemorySwappiness")
"""Fields that engines fill in by themselves, each in its own way, and that say nothing of a wall."""

_FAMILIES = ("com.docker.network.enable_ipv4", "com.docker.network.enable_ipv6")
"""Options of a network that newer engines add, and that its own fields tell too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One service: the request for its container, the image that must be behind the tag, its networks and, for a
    sidecar, its address on the innermost of them."""

    service: str
    request: Mapping[str, Any]
    image: Mapping[str, Any]
    base_layers: tuple[str, ...]
    networks: frozenset[str]
    address: tuple[str, str] | None
    default_runtime: str


def container(expected: Expected, found: Mapping[str, Any]) -> Iterator[Finding]:
    """Every row of one container, as `docker inspect` tells it."""
    rows: dict[str, Callable[[Expected, Mapping[str, Any]], Iterator[str]]] = {
        "running": _running, "image": _image, "command": _command, "user": _user, "env": _env, "labels": _labels,
        "mounts": _mounts, "networks": _networks, "limits": _limits, "capabilities": _capabilities,
        _NO_NEW_PRIVILEGES: _no_new_privileges, "seccomp": _seccomp, "read-only root": _root, "isolation": _isolation,
    }  # fmt: skip
    for check, look in rows.items():
        yield finding(expected.service, check, look(expected, found))


def finding(part: str, check: str, differences: Iterable[str]) -> Finding:
    """Equal when there is no difference."""
    told = "; ".join(differences)
    return Finding(part=part, check=check, state="differs" if told else "equal", found=told)


def _running(_: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    state = found["State"]
    if not state.get("Running") or state.get("Paused") or state.get("Restarting"):
        yield f"it is {state.get('Status')}"


def _image(expected: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    tag = expected.request["Image"]
    if found["Config"].get("Image") != tag:
        yield f"runs {shown(str(found['Config'].get('Image')))}, and the bundle's is {tag}"
    if not expected.image:
        yield f"the engine has no image {tag}"
    elif found["Image"] != expected.image["Id"]:
        yield f"runs {found['Image'][:19]}, and {tag} is {expected.image['Id'][:19]}"
    layers = tuple((expected.image.get("RootFS") or {}).get("Layers") or ())
    if expected.image and layers[: len(expected.base_layers)] != expected.base_layers:
        yield f"{tag} does not stand on its base image"


def _command(expected: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    config, image = found["Config"], expected.image.get("Config") or {}
    for name in ("Cmd", "Tty", "OpenStdin", "Hostname"):
        if config.get(name) != expected.request[name]:
            yield f"{name} is {shown(str(config.get(name)))}"
    for name in ("Entrypoint", "WorkingDir"):
        if config.get(name) != (expected.request[name] or image.get(name)):
            yield f"{name} is {shown(str(config.get(name)))}"
    if config.get("Healthcheck"):
        yield "a health check runs in it"


def _user(expected: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    if (user := found["Config"].get("User")) != expected.request["User"]:
        yield f"runs as {shown(str(user))}, not {expected.request['User']}"
    yield from _host_fields("user", expected, found)


def _env(expected: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    """By name alone: a value that should not be there may be a secret."""
    image = expected.image.get("Config") or {}
    wanted = _variables(image.get("Env")) | _variables(expected.request["Env"])
    has = _variables(found["Config"].get("Env"))
    for name in sorted(wanted.keys() | has.keys()):
        if name not in wanted:
            yield f"{shown(name)} is set, and is not the bundle's"
        elif name not in has:
            yield f"{name} is missing"
        elif has[name] != wanted[name]:
            yield f"{name} has another value"


def _variables(env: Iterable[str] | None) -> dict[str, str]:
    pairs = (line.partition("=") for line in env or ())
    return {name: value for name, _, value in pairs}


def _labels(expected: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    image = (expected.image.get("Config") or {}).get("Labels") or {}
    yield from _by_key("label ", {**image, **expected.request["Labels"]}, found["Config"].get("Labels") or {})


def _by_key(what: str, wanted: Mapping[str, Any], has: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(wanted.keys() | has.keys()):
        if _plain(wanted.get(name)) != _plain(has.get(name)):
            yield f"{what}{shown(name)} is {shown(str(has.get(name)))}, not {shown(str(wanted.get(name)))}"


def _mounts(expected: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    yield from _host_fields("mounts", expected, found)
    wanted = {
        (mount["Target"], mount["Type"], not mount.get("ReadOnly")): mount.get("Source")
        for mount in expected.request["HostConfig"].get("Mounts") or ()
    }
    has = {(mount["Destination"], mount["Type"], mount["RW"]): mount["Source"] for mount in found["Mounts"]}
    for place in sorted(wanted.keys() ^ has.keys()):
        yield f"{shown(place[0])} {'is mounted too' if place in has else 'is not mounted so'}"
    for place in sorted(wanted.keys() & has.keys()):
        if wanted[place] and wanted[place] != has[place]:  # a volume without a name lies where the engine likes
            yield f"{place[0]} is {shown(has[place])}"


def _networks(expected: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    yield from _host_fields("networks", expected, found)
    joined = found["NetworkSettings"]["Networks"] or {}
    for name in sorted(expected.networks ^ joined.keys()):
        yield f"is on {shown(name)} too" if name in joined else f"is not on {name}"
    network, address = expected.address or ("", "")
    if network in joined and joined[network]["IPAddress"] != address:
        yield f"has the address {joined[network]['IPAddress']}, not {address}"
    if any(each.get("GlobalIPv6Address") for each in joined.values()):
        yield "has an IPv6 address"


def _limits(expected: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    yield from _host_fields("limits", expected, found)


def _capabilities(expected: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    yield from _host_fields("capabilities", expected, found)


def _root(expected: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    yield from _host_fields("read-only root", expected, found)


def _no_new_privileges(_: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    options = found["HostConfig"].get("SecurityOpt") or ()
    if not {_NO_NEW_PRIVILEGES, f"{_NO_NEW_PRIVILEGES}:true"} & set(options):
        yield "programs can gain rights"


def _seccomp(_: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    """The default filter is what no option says."""
    yield from (f"{shown(option[:60])} is set" for option in _options(found) if option.startswith(_FILTER))


def _options(found: Mapping[str, Any]) -> list[str]:
    """All that is set of the kernel's security but what the bundle asks for."""
    options = found["HostConfig"].get("SecurityOpt") or ()
    return [option for option in options if option not in (_NO_NEW_PRIVILEGES, f"{_NO_NEW_PRIVILEGES}:true")]


def _isolation(expected: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    assigned = {name for names in _FIELDS.values() for name in names} | {"SecurityOpt", *_TOLD, *_COVERED}
    host = found["HostConfig"]
    yield from _differences([name for name in sorted(host) if name not in assigned], expected, host)
    yield from (f"{shown(option[:60])} is set" for option in _options(found) if not option.startswith(_FILTER))
    for name in _COVERED:
        if name in host and not host[name]:
            yield f"{name} is empty"


def _host_fields(row: str, expected: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    yield from _differences(_FIELDS[row], expected, found["HostConfig"])


def _differences(names: Iterable[str], expected: Expected, host: Mapping[str, Any]) -> Iterator[str]:
    request = expected.request["HostConfig"]
    for name in names:
        wanted, has = _plain(request.get(name)), _plain(host.get(name))
        if has != wanted and not (wanted is None and has in _unasked(name, expected)):
            yield f"{name} is {shown(_said(has))}, not {shown(_said(wanted))}"


def _unasked(name: str, expected: Expected) -> tuple[Any, ...]:
    """What the engine says of a field that it was asked nothing of."""
    given = {
        "IpcMode": ("private", "shareable"), "CgroupnsMode": ("host", "private"), "Isolation": ("default",),
        "Runtime": (expected.default_runtime,), "MemorySwappiness": (-1,), "PidsLimit": (-1,),
    }  # fmt: skip
    return given.get(name, ())


def _said(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _plain(value: Any) -> Any:
    """A value in one form, whatever says nothing as None: what an engine leaves out, and what it says by default."""
    if isinstance(value, Mapping):
        kept = {name: plain for name, item in sorted(value.items()) if (plain := _plain(item)) is not None}
        return kept or None
    if isinstance(value, list | tuple):
        return sorted((_plain(item) for item in value), key=repr) or None
    return value or None


def network(
    part: str, request: Mapping[str, Any], services: Iterable[str], found: Mapping[str, Any]
) -> Iterator[Finding]:
    """Rows of a network of the bottle's own; `services` are the containers that are on it."""
    yield finding(part, "flags", _flags(request, found))
    has = {str(each["Name"]) for each in (found.get("Containers") or {}).values()}
    wanted = set(services)
    yield finding(part, "attached", [
        f"{shown(name)} is on it" if name in has else f"{name} is not on it" for name in sorted(wanted ^ has)
    ])  # fmt: skip
    yield finding(part, "labels", _by_key("label ", request["labels"], found.get("Labels") or {}))


def _flags(request: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    options = {name: value for name, value in (found.get("Options") or {}).items() if name not in _FAMILIES}
    yield from _by_key("option ", request["options"] or {}, options)
    for name, wanted in (
        ("Internal", request["internal"]), ("EnableIPv6", request["enable_ipv6"]), ("Driver", request["driver"]),
        ("Attachable", False), ("Ingress", False), ("ConfigOnly", False),
    ):  # fmt: skip
        if (has := found.get(name, False)) != wanted:
            yield f"{name} is {has}, not {wanted}"


def parts(wanted: Iterable[str], found: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What carries the bottle's label and is none of its parts; what is missing has rows of its own."""
    names = set(wanted)
    for each in found:
        name = str(each["Names"][0]).lstrip("/") if "Names" in each else str(each["Name"])
        if name not in names:
            yield f"{shown(name)} carries the label of this bottle"


def settings(service: str, files: Iterable[MaterialFile], told: str) -> Finding:
    """`told` is what sha256sum said of the files, in the sidecar."""
    has = {path.lstrip("*"): digest for digest, _, path in (line.partition(" ") for line in told.splitlines())}
    has = {path.strip(): digest for path, digest in has.items()}
    wanted: dict[str, set[str]] = {}
    for file in files:
        wanted.setdefault(file.path, set()).add(hashlib.sha256(file.data).hexdigest())
    return finding(service, "config", [
        f"{path} is {'another one' if path in has else 'not there'}"
        for path in sorted(wanted) if has.get(path) not in wanted[path]
    ])  # fmt: skip


def missing(service: str) -> Finding:
    return Finding(part=service, check="running", state="differs", found="it has no container")
