"""Containers and networks beside the requests that make them: every field that the engine tells has its row.

A field that the request leaves out must be one that says nothing. One that is not known here cannot be judged, so it is
told as unknown rather than passed: see docs/decisions/0024.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bottlegen.wording import shown
from runtime.base import Finding, MaterialFile
from runtime.docker import known_fields
from runtime.docker.known_fields import plain

_NO_NEW_PRIVILEGES, _FILTER = "no-new-privileges", "seccomp"


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
    yield newer(expected.service, known_fields.unknown(found))


def finding(part: str, check: str, differences: Iterable[str]) -> Finding:
    """Equal when there is no difference."""
    told = "; ".join(differences)
    return Finding(part=part, check=check, state="differs" if told else "equal", found=told)


def newer(part: str, unknown: Iterable[str]) -> Finding:
    """What cannot be judged here: a start goes on and says so, as any engine newer than this program may tell more."""
    told = "; ".join(unknown)
    return Finding(part=part, check="newer fields", state="unknown" if told else "equal", found=told, stops=False)


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
        # Since API 1.52 an image is told without what it does not set, and a container still with it, as "".
        if (config.get(name) or None) != (expected.request[name] or image.get(name) or None):
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
        if plain(wanted.get(name)) != plain(has.get(name)):
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
    yield from _host_fields("isolation", expected, found)
    yield from (f"{shown(option[:60])} is set" for option in _options(found) if not option.startswith(_FILTER))
    host = found["HostConfig"]
    for name, least in known_fields.COVERED.items():
        if name in host and (missing := sorted(least - {*(host[name] or ())})):
            yield f"{name} is empty" if not host[name] else f"{name} is without {', '.join(missing)}"


def _host_fields(row: str, expected: Expected, found: Mapping[str, Any]) -> Iterator[str]:
    yield from _differences(known_fields.ROWS[row], expected, found["HostConfig"])


def _differences(names: Iterable[str], expected: Expected, host: Mapping[str, Any]) -> Iterator[str]:
    request = expected.request["HostConfig"]
    host = known_fields.asked(request, host)
    for name in names:
        wanted, has = plain(request.get(name)), plain(host.get(name))
        if has != wanted and not (wanted is None and has in known_fields.unasked(name, expected.default_runtime)):
            yield f"{name} is {shown(_said(has))}, not {shown(_said(wanted))}"


def _said(value: Any) -> str:
    return "nothing" if value is None else str(value)


def network(
    part: str, request: Mapping[str, Any], services: Iterable[str], found: Mapping[str, Any]
) -> Iterator[Finding]:
    """Rows of a network of the bottle's own; `services` are the containers that are on it."""
    yield finding(part, "flags", _flags(request, found))
    yield newer(part, known_fields.unknown_of_network(found))
    has = {str(each["Name"]) for each in (found.get("Containers") or {}).values()}
    wanted = set(services)
    yield finding(part, "attached", [
        f"{shown(name)} is on it" if name in has else f"{name} is not on it" for name in sorted(wanted ^ has)
    ])  # fmt: skip
    yield finding(part, "labels", _by_key("label ", request["labels"], found.get("Labels") or {}))


def _flags(request: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    wanted = request["options"] or {}
    yield from _by_key("option ", wanted, known_fields.options(wanted, found.get("Options") or {}))
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
