"""What a service's first process and bwrap are told: a start sends it, and `verify` compares what runs with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bottlegen.plan import HOME, MATERIAL
from runtime import sidecars, workspace
from runtime.base import LaunchSpec
from runtime.bubblewrap import cgroup, command, launching
from runtime.bubblewrap.launching import Service
from runtime.bubblewrap.records import Folder
from runtime.bubblewrap.tools import Tools
from runtime.service_env import agent_ports, env_of, first_port

AGENT = "agent"
OUTSIDE = "outside"
SIDECAR_USER = (65532, 65532)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`launch` is what the first process reads, `argv` the command line of bwrap. `enclosed` is whether the service has
    a network of its own, with `doors` and nothing else in it."""

    service: Service
    launch: Mapping[str, Any]
    argv: Sequence[str]
    doors: tuple[int, ...]
    enclosed: bool


def service_of(spec: LaunchSpec, folder: Folder, name: str) -> Service:
    limits = spec.bundle.manifest.services[name].limits
    return Service(folder=folder, name=name, group=f"{spec.bottle}-{spec.session}-{name}", limits=limits)


def network(spec: LaunchSpec, sidecar: str) -> str:
    """The network on which others reach it: the agent's, or else that of the sidecars."""
    return "bottle" if "bottle" in spec.bundle.manifest.services[sidecar].networks else "chain"


def door(spec: LaunchSpec, name: str) -> str:
    """The socket on which others reach a sidecar."""
    return f"{command.SOCKETS[network(spec, name)]}/{first_port(spec.bundle, name)}"


def path(tools: Tools, service: str) -> str:
    """Where a sidecar finds programs: its own first, then this host's, with the Python that runs inside."""
    return f"/opt/{service}:{tools.python.parent}:/usr/local/bin:/usr/bin:/bin"


def of_sidecar(tools: Tools, programs: Path, spec: LaunchSpec, folder: Folder, name: str, *, port: int) -> Order:
    """`port` is one of this host's loopback for a sidecar that can bind no socket, else 0."""
    service = service_of(spec, folder, name)
    declared = spec.bundle.manifest.services[name]
    listening = declared.listening
    assert listening is not None  # a sidecar's has one
    uid, gid = sidecar_user(tools)
    sockets: dict[str, Path] = {each: folder.sockets(each) for each in declared.networks if each != OUTSIDE}
    env = {"PATH": path(tools, name), "BOTTLEGEN_BOTTLE": spec.bottle, "BOTTLEGEN_BUNDLE": spec.bundle.hash}
    launch = {
        "bridge": {"door": door(spec, name), "port": port} if port else None,
        "uid": uid, "gid": gid,
        "owned": [*declared.tmpfs, *declared.scratch, *(command.SOCKETS[each] for each in sockets)],
        "argv": list(declared.command), "env": env_of(spec.bundle, name) | env,
        "begins_with": listening.config, "trust": launching.trust(listening.trust),
        "limits": launching.rlimits(declared.limits, grouped=cgroup.possible()),
    }  # fmt: skip
    room = _room(tools, programs, service, uid, gid, hostname=name, tmpfs=declared.tmpfs)
    hosts = launching.hosts(service) if spec.static_hosts else None
    argv = command.sidecar(room, sockets, launching.own(service, declared.scratch), hosts)
    return Order(service=service, launch=launch, argv=argv, doors=(), enclosed=OUTSIDE not in declared.networks)


def sidecar_user(tools: Tools) -> tuple[int, int]:
    return SIDECAR_USER if tools.privileged else launching.owner(None)


def of_agent(tools: Tools, programs: Path, spec: LaunchSpec, folder: Folder) -> Order:
    """Its made-up files of /etc have to be there."""
    service = service_of(spec, folder, AGENT)
    declared = spec.bundle.manifest.services[AGENT]
    uid, gid = launching.owner(workspace.owner(spec.workspace) if spec.workspace else None)
    sizes = {MATERIAL: command.MATERIAL_SIZE} | ({} if spec.home else {HOME: command.HOME_SIZE})
    room = _room(tools, programs, service, uid, gid, hostname=spec.bottle, tmpfs=sizes | declared.tmpfs)
    argv = command.agent(
        replace(room, rootfs=spec.rootfs), folder.sockets("bottle"), launching.etc(service), agent_binds(spec)
    )
    return Order(
        service=service, launch=agent_launch(spec, uid, gid), argv=argv, doors=tuple(agent_ports(spec.bundle)),
        enclosed=True,
    )  # fmt: skip


def agent_binds(spec: LaunchSpec) -> tuple[workspace.Bind, ...]:
    return command.home(spec.home) + spec.binds


def agent_launch(spec: LaunchSpec, uid: int, gid: int) -> dict[str, Any]:
    """What the agent's first process is told, in a microVM too."""
    declared = spec.bundle.manifest.services[AGENT]
    env = env_of(spec.bundle, AGENT) | dict(spec.terminal_env) | {"HOME": HOME, "PATH": launching.PATH}
    doors = [f"{command.SOCKETS['bottle']}/{port}" for port in agent_ports(spec.bundle)]
    return {
        "uid": uid, "gid": gid, "owned": [MATERIAL, *([] if spec.home else [HOME])], "env": env, "doors": doors,
        "argv": list(spec.command or declared.command), "tty": spec.tty,
        "cwd": spec.bundle.manifest.workspace.path if spec.workspace else HOME,
        "trust": {"of": [command.ROOTS, f"{MATERIAL}/ca.crt"], "into": f"{MATERIAL}/ca-bundle.crt"},
        "limits": launching.rlimits(declared.limits, grouped=cgroup.possible()),
    }  # fmt: skip


def _room(
    tools: Tools, programs: Path, service: Service, uid: int, gid: int, *, hostname: str, tmpfs: Mapping[str, int]
) -> command.Room:
    return command.Room(
        tools=tools, hostname=hostname, uid=uid, gid=gid, launch=service.launch, programs=programs, tmpfs=tmpfs
    )


def ready(spec: LaunchSpec) -> dict[str, list[Any]]:
    """Each sidecar's network and the port that is open when it is ready."""
    return {name: [network(spec, name), first_port(spec.bundle, name)] for name in sidecars.of(spec.bundle)}
