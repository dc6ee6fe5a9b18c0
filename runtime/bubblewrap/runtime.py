"""The steps of runtime.base.Runtime with bubblewrap: no daemon, every process held by a keeper of its bottle."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bottlegen.errors import Problem, RuntimeFailure
from bottlegen.plan import HOME, MATERIAL
from runtime import sidecars, terminal, workspace
from runtime.audit import runs
from runtime.base import BottleStatus, Endpoints, LaunchSpec, MaterialFile, Progress
from runtime.bubblewrap import cgroup, client, command, launching, records, seccomp, tools
from runtime.bubblewrap.binaries import Binaries, pinned
from runtime.bubblewrap.launching import Service
from runtime.bubblewrap.records import Folder
from runtime.service_env import agent_ports, env_of, first_port, sidecar_names
from runtime.sources import unlinked

if TYPE_CHECKING:
    from runtime.artifacts import ArtifactStore

RUNTIME = "bubblewrap"
_AGENT = "agent"
_OUTSIDE = "outside"
_SIDECAR_USER = (65532, 65532)
_LAST_LINES = 15
_PAUSE = 0.005
_END_SECONDS = 10.0
_FOLLOW_PAUSE = 0.1


class BubblewrapRuntime:
    """`env` is this host's environment; `cache` holds downloads and programs, `state` what bottles are made of."""

    name = RUNTIME

    def __init__(self, env: Mapping[str, str], cache: Path, state: Path, ca_file: Path | None = None) -> None:
        self._env = env
        self._binaries = Binaries(cache / "programs", lambda: _store(cache / "artifacts", env, ca_file))
        self._root = state / RUNTIME
        self._programs: dict[str, Path] = {}

    @cached_property
    def tools(self) -> tools.Tools:
        return tools.find(self._env)

    def check(self, spec: LaunchSpec) -> None:
        privileged = self.tools.privileged
        for service in spec.bundle.manifest.services:
            pinned(spec.bundle, service)
        if found := [*_workspace_problems(spec, privileged=privileged), *self._missing_programs(spec)]:
            raise RuntimeFailure(found)
        self._say_what_does_not_hold()

    def _say_what_does_not_hold(self) -> None:
        if not cgroup.possible():
            unheld = "limits.cpus" if os.geteuid() else "limits.cpus and limits.pids"
            print(
                "bubblewrap without control groups, as this user may make none here: limits.memory holds for each"
                f" process alone, {unheld} not at all",
                file=sys.stderr,
            )

    def _missing_programs(self, spec: LaunchSpec) -> Iterator[Problem]:
        """A sidecar is a process of this host, and some need programs of it."""
        for name, service in spec.bundle.manifest.services.items():
            for program in service.programs:
                if not shutil.which(program, path=self._path(name)):
                    what = f"service '{name}' needs '{program}', which this host has in none of its system's folders"
                    yield Problem(what=what, fix=f"apt install {program}, or use --runtime docker")

    def prepare(self, spec: LaunchSpec, progress: Progress) -> None:
        for service in spec.bundle.manifest.services:
            self._programs[service] = self._binaries.have(spec.bundle, service, progress)

    def create(self, spec: LaunchSpec) -> Endpoints:
        told = {
            "bottle": spec.bottle,
            "profile": spec.bundle.manifest.name,
            "hash": spec.bundle.hash,
            "session": spec.session,
            "created": datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z"),
            "stdin": spec.interactive,
            "workspace": str(spec.workspace) if spec.workspace else "",
            "ready": {name: [_network(spec, name), first_port(spec.bundle, name)] for name in sidecars.of(spec.bundle)},
        }
        with translated(f"begin bottle '{spec.bottle}'"):
            try:
                folder = records.claim(self._root, spec.bottle, told)
            except FileExistsError as e:
                raise _taken(spec.bottle) from e
        names = sidecars.of(spec.bundle)
        with translated(f"start the sidecars of bottle '{spec.bottle}'"):
            (folder.path / "filter").write_bytes(seccomp.program())
            listens = {name: self._start_sidecar(spec, folder, name) for name in names}
        return Endpoints(addresses={name: command.SOCKETS[_network(spec, name)] for name in names}, listens=listens)

    def _start_sidecar(self, spec: LaunchSpec, folder: Folder, name: str) -> str:
        """Start the keeper of one sidecar, which waits for its material; where the sidecar must listen."""
        service = service_of(spec, folder, name)
        declared = spec.bundle.manifest.services[name]
        listening = declared.listening
        assert listening is not None  # a sidecar's has one
        uid, gid = _SIDECAR_USER if self.tools.privileged else launching.owner(None)
        sockets: dict[str, Path] = {
            network: folder.sockets(network) for network in declared.networks if network != _OUTSIDE
        }
        door = f"{command.SOCKETS[_network(spec, name)]}/{first_port(spec.bundle, name)}"
        port = launching.free_port() if listening.tcp_only else 0
        env = {"PATH": self._path(name), "BOTTLEGEN_BOTTLE": spec.bottle, "BOTTLEGEN_BUNDLE": spec.bundle.hash}
        launch = {
            "bridge": {"door": door, "port": port} if port else None,
            "uid": uid, "gid": gid,
            "owned": [*declared.tmpfs, *declared.scratch, *(command.SOCKETS[network] for network in sockets)],
            "argv": list(declared.command), "env": env_of(spec.bundle, name) | env,
            "begins_with": listening.config, "trust": launching.trust(listening.trust),
            "limits": launching.rlimits(declared.limits, grouped=cgroup.possible()),
        }  # fmt: skip
        launching.begin(service, launch)
        room = self._room(service, uid, gid, hostname=name, tmpfs=declared.tmpfs)
        hosts = launching.write_hosts(service, spec.static_hosts) if spec.static_hosts else None
        own = launching.own(service, uid, gid, declared.scratch)
        argv = command.sidecar(room, sockets, own, hosts)
        launching.hold(service, argv, enclosed=_OUTSIDE not in declared.networks, audit=runs.order(spec, name))
        return f"127.0.0.1:{port}" if port else door

    def _path(self, service: str) -> str:
        """Where a sidecar finds programs: its own first, then this host's, with the Python that runs inside."""
        return f"/opt/{service}:{self.tools.python.parent}:/usr/local/bin:/usr/bin:/bin"

    def _room(self, service: Service, uid: int, gid: int, *, hostname: str, tmpfs: Mapping[str, int]) -> command.Room:
        return command.Room(
            tools=self.tools, hostname=hostname, uid=uid, gid=gid, launch=service.launch,
            programs=self._programs[service.name], tmpfs=tmpfs,
        )  # fmt: skip

    def place(self, bottle: str, service: str, files: Sequence[MaterialFile]) -> None:
        self._place(bottle, service, files, release=False)

    def _place(self, bottle: str, service: str, files: Sequence[MaterialFile], *, release: bool) -> None:
        folder = self._folder(bottle)
        try:
            client.place(folder.service(service), files, release=release, held=lambda: not folder.lost(service))
        except OSError as e:
            what = f"service '{service}' of bottle '{bottle}' is not there: {e.strerror}:"
            raise RuntimeFailure(f"{what}\n{_last_lines(folder, service)}", fix="bottlegen down, then up") from e

    def wait_ready(self, bottle: str, service: str, seconds: float) -> None:
        folder, end = self._folder(bottle), time.monotonic() + seconds
        network, port = folder.told()["ready"][service]
        while not client.connects(folder.sockets(network), str(port)):
            ended = folder.exit(service) is not None
            if ended or time.monotonic() > end:
                what = "ended instead of getting ready" if ended else f"is not ready after {seconds:g} s"
                raise RuntimeFailure(
                    f"service '{service}' of bottle '{bottle}' {what}:\n{_last_lines(folder, service)}",
                    fix="bottlegen up again",
                )
            time.sleep(_PAUSE)

    def create_agent(self, spec: LaunchSpec, names: Sequence[str]) -> None:
        folder = self._folder(spec.bottle)
        with translated(f"start the agent of bottle '{spec.bottle}'"):
            service = service_of(spec, folder, _AGENT)
            declared = spec.bundle.manifest.services[_AGENT]
            uid, gid = launching.owner(workspace.owner(spec.workspace) if spec.workspace else None)
            launching.begin(service, self._agent_launch(spec, uid, gid))
            etc = service.path / "etc"
            called = [name for _, every in sidecar_names(spec.bundle) for name in every]
            launching.write_etc(etc, bottle=spec.bottle, uid=uid, gid=gid, names=[*called, *names])
            binds = command.home(spec.home) + workspace_binds(spec)
            remember_guards(folder, binds)
            sizes = {MATERIAL: command.MATERIAL_SIZE} | ({} if spec.home else {HOME: command.HOME_SIZE})
            room = self._room(service, uid, gid, hostname=spec.bottle, tmpfs=sizes | declared.tmpfs)
            room = replace(room, rootfs=spec.rootfs)
            argv = command.agent(room, folder.sockets("bottle"), etc, binds)
            launching.hold(service, argv, [*agent_ports(spec.bundle)], enclosed=True)

    def _agent_launch(self, spec: LaunchSpec, uid: int, gid: int) -> dict[str, Any]:
        declared = spec.bundle.manifest.services[_AGENT]
        env = env_of(spec.bundle, _AGENT) | dict(spec.terminal_env) | {"HOME": HOME, "PATH": launching.PATH}
        doors = [f"{command.SOCKETS['bottle']}/{port}" for port in agent_ports(spec.bundle)]
        return {
            "uid": uid, "gid": gid, "owned": [MATERIAL, *([] if spec.home else [HOME])], "env": env, "doors": doors,
            "argv": list(spec.command or declared.command), "tty": spec.tty,
            "cwd": spec.bundle.manifest.workspace.path if spec.workspace else HOME,
            "trust": {"of": [command.ROOTS, f"{MATERIAL}/ca.crt"], "into": f"{MATERIAL}/ca-bundle.crt"},
            "limits": launching.rlimits(declared.limits, grouped=cgroup.possible()),
        }  # fmt: skip

    def release_agent(self, bottle: str) -> None:
        self._place(bottle, _AGENT, (), release=True)

    def attach(self, bottle: str, *, release: bool) -> int | None:
        folder = self._folder(bottle)
        if (status := folder.exit(_AGENT)) is not None:
            return status
        with translated(f"attach to bottle '{bottle}'"):
            remote = client.Remote(client.call(folder.service(_AGENT), {"do": "attach"}))
            if release:
                self.release_agent(bottle)
            terminal.join(remote, tty=remote.tty, stdin=bool(folder.told().get("stdin")), resize=remote.resize)
        if remote.left:
            return None
        # Its keeper writes the end down a moment after the streams ended: who asks next must not find it running.
        ended = _status_soon(folder)
        return ended if remote.status is None else remote.status

    def exec(self, bottle: str, argv: Sequence[str], *, tty: bool, env: Mapping[str, str]) -> int:
        folder = self._folder(bottle).service(_AGENT)
        with translated(f"run '{argv[0]}' in bottle '{bottle}'"):
            request = {"do": "exec", "argv": list(argv), "env": dict(env), "tty": tty}
            remote = client.Remote(client.call(folder, request))
            terminal.join(remote, tty=tty, stdin=True, resize=remote.resize)
        return 137 if remote.status is None else remote.status

    def logs(self, bottle: str, service: str, *, follow: bool) -> Iterator[bytes]:
        folder = self._folder(bottle)
        path = folder.service(service)
        if (before := path / "log.1").exists():
            yield before.read_bytes()
        with translated(f"read the logs of service '{service}' of bottle '{bottle}'"):
            while not (path / "log").exists() and folder.running(service):
                time.sleep(_PAUSE)
            with (path / "log").open("rb") as log:
                while True:
                    over = not follow or not folder.running(service)
                    while data := log.read(1 << 20):
                        yield data
                    if over:
                        return
                    time.sleep(_FOLLOW_PAUSE)

    def read(self, bottle: str, service: str, path: str) -> bytes:
        folder = self._folder(bottle)
        try:
            return client.read(folder.service(service), path)
        except OSError as e:
            what = f"service '{service}' of bottle '{bottle}' is not there, or has no '{path}': {e.strerror}"
            raise RuntimeFailure(what, fix="bottlegen down, then up") from e

    def list(self) -> tuple[BottleStatus, ...]:
        return tuple(_status(bottle, folder) for bottle, folder in records.every(self._root))

    def remove(self, bottle: str, *, session: str = "") -> bool:
        records.sweep(self._root)
        folder = Folder(self._root / bottle)
        told = folder.told()
        if not folder.path.is_dir() or (session and told.get("session") != session):
            return False
        records.end(folder, bottle)
        for service in folder.services():
            cgroup.remove(launching.groups_of(folder, service))
        workspace.remove_guards([Path(path) for path in _guards(folder) - self._guards_of_others(bottle)])
        records.forget(folder)
        return True

    def _guards_of_others(self, bottle: str) -> set[str]:
        return {path for name, folder in records.every(self._root) if name != bottle for path in _guards(folder)}

    def _folder(self, bottle: str) -> Folder:
        folder = Folder(self._root / bottle)
        if not folder.path.is_dir():
            raise RuntimeFailure(f"no bottle '{bottle}' is up", fix="bottlegen up --profile …")
        return folder


def _store(folder: Path, env: Mapping[str, str], ca_file: Path | None) -> "ArtifactStore":
    from runtime.artifacts import ArtifactStore

    return ArtifactStore(folder, env, ca_file)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        named = f" '{e.filename}'" if e.filename else ""
        raise RuntimeFailure(f"cannot {doing}: {e.strerror or e}{named}", fix="bottlegen down, then up") from e


def _network(spec: LaunchSpec, sidecar: str) -> str:
    """The network on which others reach it: the agent's, or else that of the sidecars."""
    return "bottle" if "bottle" in spec.bundle.manifest.services[sidecar].networks else "chain"


def _workspace_problems(spec: LaunchSpec, *, privileged: bool) -> Iterator[Problem]:
    if spec.workspace is None:
        return
    yield from workspace.problems(spec.workspace, spec.bundle.manifest.workspace)
    if not spec.workspace.is_dir():
        return
    uid = workspace.owner(spec.workspace)[0]
    if uid == 0 and privileged:
        yield workspace.owned_by_root(spec.workspace)
    elif not privileged and uid != launching.owner(None)[0]:
        yield Problem(
            what=f"the workspace '{spec.workspace}' belongs to another user, and without root an agent is only you",
            fix="--workspace with a folder of yours, or --runtime docker",
        )


def workspace_binds(spec: LaunchSpec) -> tuple[workspace.Bind, ...]:
    if spec.workspace is None:
        return ()
    binds = workspace.binds(spec.workspace, spec.bundle.manifest.workspace, spec.protected)
    return unlinked(spec.workspace, binds)


def remember_guards(folder: Folder, binds: Sequence[workspace.Bind]) -> None:
    found = [str(bind.source) for bind in binds if bind.source.name == "commondir"]
    (folder.path / "guards").write_text(json.dumps(found))


def _guards(folder: Folder) -> set[str]:
    """Those that a bottle's start wrote down, and those of its workspace that it may have made before it could."""
    place = folder.told().get("workspace", "")
    here = {str(path) for path in workspace.guards(Path(place))} if place else set()
    try:
        return here | set(json.loads((folder.path / "guards").read_text()))
    except (FileNotFoundError, ValueError):
        return here


def service_of(spec: LaunchSpec, folder: Folder, name: str) -> Service:
    limits = spec.bundle.manifest.services[name].limits
    return Service(folder=folder, name=name, group=f"{spec.bottle}-{spec.session}-{name}", limits=limits)


def _taken(bottle: str) -> RuntimeFailure:
    return RuntimeFailure(
        f"bottle '{bottle}' is already up",
        fix=f"bottlegen attach --name {bottle}, bottlegen down --name {bottle}, or take another --name",
    )


def _last_lines(folder: Folder, service: str) -> str:
    log = folder.service(service) / "log"
    lines = log.read_text(errors="replace").splitlines()[-_LAST_LINES:] if log.exists() else []
    return "\n".join(f"  | {line}" for line in lines) or "  | (no output)"


def _status_soon(folder: Folder) -> int | None:
    """The agent's exit status, which its keeper writes a moment after the streams ended; None when it runs on."""
    end = time.monotonic() + _END_SECONDS
    while time.monotonic() < end:
        if (status := folder.exit(_AGENT)) is not None:
            return status
        if not folder.running(_AGENT):
            return 137
        time.sleep(_PAUSE)
    return None


def _status(bottle: str, folder: Folder) -> BottleStatus:
    told = folder.told()
    states = {
        name: "running" if folder.running(name) else "exited" if folder.exit(name) is not None else "dead"
        for name in folder.services()
    }
    return BottleStatus(
        bottle=bottle,
        profile=str(told.get("profile", "")),
        hash=str(told.get("hash", "")),
        session=str(told.get("session", "")),
        runtime=RUNTIME,
        state=_state(states, {_AGENT, *told.get("ready", {})}),
        created=str(told.get("created", "")),
        services=tuple(sorted(states.items())),
    )


def _state(states: Mapping[str, str], expected: set[str]) -> str:
    if states.get(_AGENT) == "exited":
        return "stopped"
    whole = states.keys() >= expected and set(states.values()) == {"running"}
    return "running" if whole else "broken"
