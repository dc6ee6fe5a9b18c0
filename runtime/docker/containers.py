"""A service of the manifest as the engine's create request: every hardening the bundle promises is spelled out here.

A start sends these requests and `verify` compares containers with them: neither has another idea of a container.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bottlegen.plan import HOME, MATERIAL, PROXY_HOST
from runtime.base import LaunchSpec
from runtime.docker import naming
from runtime.docker.engine import Engine
from runtime.host import split_address
from runtime.service_env import env_of, sidecar_names
from runtime.workspace import Bind

if TYPE_CHECKING:
    from bottlegen.manifest import Service

SIDECAR_USER = (65532, 65532)
_SHM = 64 * 1024 * 1024
_MATERIAL_SIZE = 32 * 1024 * 1024
_HOME_SIZE = 2 * 1024 * 1024 * 1024
_IMPATIENT = {"net.ipv4.tcp_syn_retries": "2"}
"""For who connects inside the bottle alone: that a neighbour is dead is known after 7 s instead of two minutes."""

_LOGS = {"max-size": "32m", "max-file": "2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlace:
    """What only the agent's container has: who it runs as, what it sees of the host, and where names lead."""

    user: tuple[int, int]
    binds: tuple[Bind, ...]
    hosts: tuple[tuple[str, str], ...]
    network: str


def create(engine: Engine, spec: LaunchSpec, service: str, request: Mapping[str, Any]) -> str:
    """The id of the container, not started."""
    created = engine.api.create_container_from_config(request, name=naming.container(spec.bottle, service))
    return str(created["Id"])


def sidecar(engine: Engine, spec: LaunchSpec, name: str, image: str, network: str) -> dict[str, Any]:
    """The request for a sidecar that has stdin open for its material."""
    service = spec.bundle.manifest.services[name]
    listening = service.listening
    assert listening is not None  # a sidecar's has one
    host = _host_config(
        engine, service, _tmpfs(service.tmpfs, SIDECAR_USER),
        network_mode=network,
        mounts=[_scratch(spec, name, path) for path in service.scratch],
        # 443 for clients that know no proxy; and packets are never passed on, only requests.
        extra_hosts=_fixed(spec) if "outside" in service.networks else None,
        sysctls={
            "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ip_forward": "0",
            **({} if "outside" in service.networks else _IMPATIENT),
        },
    )  # fmt: skip
    env = env_of(spec.bundle, name) | {
        "BOTTLEGEN_BOTTLE": spec.bottle,
        "BOTTLEGEN_BUNDLE": spec.bundle.hash,
        "BOTTLEGEN_PORT": str(listening.ports[0]),
        "BOTTLEGEN_TRUST": listening.trust,
    }
    return dict(engine.api.create_container_config(
        image, list(service.command), hostname=name, user=_user(SIDECAR_USER), environment=env,
        labels=naming.labels(spec, name), host_config=host, stdin_open=True,
    ))  # fmt: skip


def _fixed(spec: LaunchSpec) -> dict[str, str]:
    """The host's fixed addresses of names, for a sidecar that resolves names itself."""
    return {name: split_address(target, 443)[0] for name, target in spec.static_hosts}


def agent(engine: Engine, spec: LaunchSpec, image: str, place: AgentPlace) -> dict[str, Any]:
    """The request for the agent's container, whose entry script will wait at the gate."""
    service = spec.bundle.manifest.services[naming.AGENT]
    sizes = {MATERIAL: _MATERIAL_SIZE} | ({} if spec.home else {HOME: _HOME_SIZE}) | service.tmpfs
    host = _host_config(
        engine, service, _tmpfs(sizes, place.user),
        network_mode=place.network,
        # A resolver that nobody is: names outside of the hosts file do not resolve, not even by the engine.
        dns=["127.0.0.1"], dns_opt=["timeout:1", "attempts:1"], dns_search=["."],
        extra_hosts=dict(place.hosts),
        mounts=[_mount(bind) for bind in place.binds],
        userns_mode="host" if engine.remapped else None,
        runtime=spec.oci_runtime or None,
        sysctls=None if spec.oci_runtime else _IMPATIENT,  # whose kernel may be another, which has no such setting
    )  # fmt: skip
    workspace = spec.bundle.manifest.workspace
    env = env_of(spec.bundle, naming.AGENT) | dict(spec.terminal_env) | {"HOME": HOME}
    return dict(engine.api.create_container_config(
        image, list(spec.command or service.command), hostname=spec.bottle[:63].strip("-."), user=_user(place.user),
        environment=env, labels=naming.labels(spec, naming.AGENT), host_config=host, tty=spec.tty,
        stdin_open=spec.interactive,
        detach=spec.tty,  # which is how the SDK says that stdin outlives the first who leaves; a pipe ends with it
        working_dir=workspace.path if spec.workspace else HOME,
    ))  # fmt: skip


def _host_config(engine: Engine, service: Service, tmpfs: dict[str, str], **more: Any) -> Any:
    from docker.types import LogConfig, Ulimit

    limits = service.limits
    return engine.api.create_host_config(
        read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges:true"], init=True, tmpfs=tmpfs,
        # Equal limits: no swap, so what lies in memory-backed directories is never written to a disk.
        mem_limit=limits.memory, memswap_limit=limits.memory, mem_swappiness=0 if engine.cgroup_v1 else None,
        nano_cpus=int(min(limits.cpus, engine.cpus) * 1e9), pids_limit=limits.pids, shm_size=min(_SHM, limits.memory),
        ulimits=[Ulimit(name="core", soft=0, hard=0)],
        log_config=LogConfig(type="json-file", config=_LOGS), restart_policy={"Name": "no"},
        **{key: value for key, value in more.items() if value is not None},
    )  # fmt: skip


def _tmpfs(sizes: dict[str, int], user: tuple[int, int]) -> dict[str, str]:
    """Private to the service's user, except for the two that every program expects to be shared."""
    options = {}
    for path, size in sizes.items():
        shared = path in ("/tmp", "/var/tmp")  # noqa: S108 - a path inside the bottle
        runs = "exec" if shared or path == HOME else "noexec"
        owner = "mode=1777" if shared else f"mode=0700,uid={user[0]},gid={user[1]}"
        options[path] = f"rw,nosuid,nodev,{runs},size={size},{owner}"
    return options


def _mount(bind: Bind) -> Any:
    from docker.types import Mount

    # A mount rather than a `-v` string: it fails when the source is missing, and colons in paths are just colons.
    return Mount(target=bind.target, source=str(bind.source), type="bind", read_only=bind.read_only)


def _scratch(spec: LaunchSpec, service: str, path: str) -> Any:
    """A volume without a name: it begins as the image's folder of that path, and goes with the container."""
    from docker.types import Mount

    return Mount(target=path, source=None, type="volume", labels=naming.labels(spec, service))


def _user(user: tuple[int, int]) -> str:
    return f"{user[0]}:{user[1]}"


def hosts(spec: LaunchSpec, names: Sequence[str], addresses: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The sidecars that the agent may speak to by their names, and the exact hosts of the routes at the proxy."""
    found = dict.fromkeys(names, addresses[PROXY_HOST])
    for service, called in sidecar_names(spec.bundle):
        found |= dict.fromkeys(called, addresses[service])
    return tuple(sorted(found.items()))
