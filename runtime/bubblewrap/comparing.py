"""A running bottle beside what its start was told: by what the kernel says of its first processes, asked from outside.

No process of the bottle is asked anything, so none can lie; and nothing is changed.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from resource import RLIMIT_CORE, RLIMIT_DATA, RLIMIT_NPROC
from typing import Any

from bottlegen.wording import shown
from runtime.base import Finding, MaterialFile, Run
from runtime.bubblewrap import cgroup, kernel, records, seccomp
from runtime.bubblewrap.expected_mounts import mounted
from runtime.bubblewrap.orders import Order
from runtime.bubblewrap.records import Folder

_BOUNDS = {
    RLIMIT_CORE: "Max core file size", RLIMIT_DATA: "Max data size", RLIMIT_NPROC: "Max processes",
}  # fmt: skip
_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_OWN = ("ipc", "mnt", "pid", "uts")
_ROWS_OF_LAUNCH = {"env": "env", "uid": "user", "gid": "user", "limits": "limits"}
"""Which row a word of the first process's orders belongs to; every other one is in the row `command`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One service: what it was told, and its processes as its keeper wrote them down."""

    order: Order
    bwrap: int
    first: int


def compare(run: Run, folder: Folder, orders: Iterable[Order]) -> list[Finding]:
    """Rows of every service, and of the bottle."""
    found: list[Finding] = []
    told = [*orders]
    for order in told:
        found += _service(order)
        if files := run.settings.get(order.service.name):
            found.append(_settings(order, files))
    return [*found, *_bottle(run, folder, {order.service.name for order in told})]


def _service(order: Order) -> Iterator[Finding]:
    name = order.service.name
    known = _processes(order)
    if not known:
        yield finding(name, "running", ["it is not"])
        return
    held = Held(order=order, bwrap=known[1], first=known[2])
    rows: dict[str, Callable[[Held], Iterator[str]]] = {
        "running": lambda _: iter(()), "command": _command, "user": _user, "env": _env, "mounts": _mounts,
        "networks": _networks, "limits": _limits, "capabilities": _capabilities,
        "no-new-privileges": _no_new_privileges, "seccomp": _seccomp, "read-only root": _root, "isolation": _isolation,
    }  # fmt: skip
    for check, look in rows.items():
        try:
            yield finding(name, check, look(held))
        except OSError as e:
            yield Finding(part=name, check=check, state="unknown", found=f"{e.strerror}: {e.filename}")


def finding(part: str, check: str, differences: Iterable[str]) -> Finding:
    """Equal when there is no difference."""
    told = "; ".join(differences)
    return Finding(part=part, check=check, state="differs" if told else "equal", found=told)


def _processes(order: Order) -> list[int]:
    """Keeper, bwrap and the first process, when all of them run."""
    known = records.processes(order.service.path)
    return [each["pid"] for each in known] if len(known) == 3 and all(map(records.alive, known)) else []


def _command(held: Held) -> Iterator[str]:
    if kernel.command_line(held.bwrap) != [*held.order.argv]:
        yield "bwrap was started otherwise"
    yield from _told(held, "command")


def _env(held: Held) -> Iterator[str]:
    """By name alone: a value that should not be there may be a secret."""
    wanted, has = held.order.launch.get("env") or {}, _launch(held).get("env") or {}
    for name in sorted(wanted.keys() | has.keys()):
        if wanted.get(name) != has.get(name):
            is_there = "is set, and is not the bundle's" if name not in wanted else "is missing or another"
            yield f"{shown(name)} {is_there}"


def _told(held: Held, row: str) -> Iterator[str]:
    wanted, has = json.loads(json.dumps(held.order.launch)), _launch(held)
    for name in sorted(wanted.keys() | has.keys()):
        if _ROWS_OF_LAUNCH.get(name, "command") == row and wanted.get(name) != has.get(name):
            yield f"its first process was told another '{name}'"


def _launch(held: Held) -> dict[str, Any]:
    return dict(json.loads(held.order.service.launch.read_bytes()))


def _user(held: Held) -> Iterator[str]:
    status, launch = kernel.status(held.first), held.order.launch
    for name, wanted in (("Uid", launch["uid"]), ("Gid", launch["gid"])):
        if set(status[name]) != {str(wanted)}:
            yield f"{name} is {' '.join(status[name])}, not {wanted}"
    yield from _told(held, "user")


def _mounts(held: Held) -> Iterator[str]:
    wanted = mounted(held.order.argv)
    root = f"/proc/{held.first}/root"
    has = {mount.path: mount for mount in kernel.mounts(held.first) if mount.path != "/"}
    for path in sorted(has.keys() - wanted.places.keys()):
        if not wanted.comes_along(path, has[path]):
            yield f"{shown(path)} is mounted too"
    for path, place in sorted(wanted.places.items()):
        if path not in has:
            yield f"{path} is not mounted"
        elif place.read_only and not has[path].read_only:
            yield f"{path} is writable"
        elif place.kind and has[path].kind != place.kind:
            yield f"{path} is {has[path].kind}, not {place.kind}"
        elif place.source and not _same(place.source, root + path):
            yield f"{path} is not {shown(place.source)} any more"


def _same(source: str, seen: str) -> bool:
    """Whether both are one file: it may have been replaced on this host since it was mounted."""
    try:
        ours = os.stat(source)  # noqa: PTH116 - bwrap follows links there too
    except FileNotFoundError:
        return False
    theirs = os.lstat(seen)
    return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)


def _networks(held: Held) -> Iterator[str]:
    own = kernel.namespace(held.first, "net") != kernel.namespace("self", "net")
    if own != held.order.enclosed:
        yield "it has a network of its own" if own else "it is on this host's network"
    if held.order.enclosed and own:
        yield from (f"it has the interface {shown(name)}" for name in kernel.interfaces(held.first) if name != "lo")


def _limits(held: Held) -> Iterator[str]:
    yield from _told(held, "limits")
    bounds = kernel.bounds(held.first)
    for number, bound in held.order.launch["limits"]:
        if bounds[_BOUNDS[number]] != str(bound):
            yield f"{_BOUNDS[number].lower()} is {bounds[_BOUNDS[number]]}, not {bound}"
    if cgroup.possible():
        yield from cgroup.differences(held.order.service.group, held.order.service.limits)
        yield from _outside_of_groups(held)


def _outside_of_groups(held: Held) -> Iterator[str]:
    for group in cgroup.paths(held.order.service.group):
        if str(held.first) not in (Path(group) / "cgroup.procs").read_text().split():
            yield f"it is not in the control group {group}"


def _capabilities(held: Held) -> Iterator[str]:
    status = kernel.status(held.first)
    yield from (f"{name} is {status[name][0]}" for name in _SETS if int(status[name][0], 16))


def _no_new_privileges(held: Held) -> Iterator[str]:
    if kernel.status(held.first)["NoNewPrivs"] != ["1"]:
        yield "programs can gain rights"


def _seccomp(held: Held) -> Iterator[str]:
    if kernel.status(held.first)["Seccomp"] != ["2"]:
        yield "no system call is refused"
    if (held.order.service.folder.path / "filter").read_bytes() != seccomp.program():
        yield "the filter is another one"


def _root(held: Held) -> Iterator[str]:
    if not all(mount.read_only for mount in kernel.mounts(held.first) if mount.path == "/"):
        yield "it can be written"


def _isolation(held: Held) -> Iterator[str]:
    for kind in _OWN:
        if kernel.namespace(held.first, kind) == kernel.namespace("self", kind):
            yield f"it has this host's {kind} namespace"


def _settings(order: Order, files: Iterable[MaterialFile]) -> Finding:
    """By hash, through the sidecar's own view; of what holds a secret nothing is read."""
    known = _processes(order)
    name = order.service.name
    if not known:
        return Finding(part=name, check="config", state="unknown", found="it does not run")
    try:
        return finding(name, "config", [*_other_files(files, known[2])])
    except OSError as e:
        return Finding(part=name, check="config", state="unknown", found=f"{e.strerror}: {e.filename}")


def _other_files(files: Iterable[MaterialFile], pid: int) -> Iterator[str]:
    wanted: dict[str, set[bytes]] = {}
    for file in files:
        wanted.setdefault(file.path, set()).add(hashlib.sha256(file.data).digest())
    for path, digests in wanted.items():
        try:
            if hashlib.sha256(Path(f"/proc/{pid}/root{path}").read_bytes()).digest() not in digests:
                yield f"{path} is another one"
        except FileNotFoundError:
            yield f"{path} is not there"


def _bottle(run: Run, folder: Folder, services: set[str]) -> Iterator[Finding]:
    told: Mapping[str, Any] = folder.told()
    wanted = {
        "bottle": run.spec.bottle, "profile": run.spec.bundle.manifest.name, "hash": run.spec.bundle.hash,
        "session": run.spec.session,
    }  # fmt: skip
    yield finding("bottle", "labels", [f"{name} is another one" for name in wanted if told.get(name) != wanted[name]])
    yield finding(
        "bottle", "parts", [f"{shown(name)} is none of its services" for name in {*folder.services()} - services]
    )
    for network in ("bottle", "chain"):
        yield finding(f"network {network}", "attached", _doors(run, folder, network))


def _doors(run: Run, folder: Folder, network: str) -> Iterator[str]:
    """The sockets by which services meet, which are the ports of the sidecars on that network."""
    services = run.spec.bundle.manifest.services.values()
    wanted = {
        str(port) for service in services if service.listening and network in service.networks
        for port in service.listening.ports
    }  # fmt: skip
    has = {path.name for path in folder.sockets(network).iterdir()}
    yield from (f"{shown(name)} is offered there" for name in sorted(has - wanted))
