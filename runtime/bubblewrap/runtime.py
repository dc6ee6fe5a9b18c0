"""The steps of runtime.base.Runtime with bubblewrap: no daemon, every process held by a keeper of its bottle."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from bottlegen.errors import Problem, RuntimeFailure
from runtime import sidecars, terminal, workspace
from runtime.audit import runs
from runtime.base import BottleStatus, Endpoints, Finding, LaunchSpec, MaterialFile, Progress, Run, Surroundings
from runtime.bubblewrap import cgroup, client, command, comparing, launching, orders, records, seccomp, tools
from runtime.bubblewrap.binaries import Binaries, pinned
from runtime.bubblewrap.records import Folder
from runtime.service_env import agent_ports, sidecar_names
from runtime.workspace_users import WorkspaceUsers, of_workspace

if TYPE_CHECKING:
    from runtime.artifacts import ArtifactStore

RUNTIME = "bubblewrap"
_AGENT = "agent"
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
        self._users = WorkspaceUsers(state)
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
                if not shutil.which(program, path=orders.path(self.tools, name)):
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
            "ready": orders.ready(spec),
        }
        with translated(f"begin bottle '{spec.bottle}'"):
            try:
                folder = records.claim(self._root, spec.bottle, told)
            except FileExistsError as e:
                raise _taken(spec.bottle) from e
        self._users.begin(self.name, spec)
        names = sidecars.of(spec.bundle)
        with translated(f"start the sidecars of bottle '{spec.bottle}'"):
            (folder.path / "filter").write_bytes(seccomp.program())
            listens = {name: self._start_sidecar(spec, folder, name) for name in names}
        return Endpoints(
            addresses={name: command.SOCKETS[orders.network(spec, name)] for name in names}, listens=listens
        )

    def _start_sidecar(self, spec: LaunchSpec, folder: Folder, name: str) -> str:
        """Start the keeper of one sidecar, which waits for its material; where the sidecar must listen."""
        declared = spec.bundle.manifest.services[name]
        assert declared.listening is not None  # a sidecar's has one
        port = launching.free_port() if declared.listening.tcp_only else 0
        order = orders.of_sidecar(self.tools, self._programs[name], spec, folder, name, port=port)
        launching.begin(order.service)
        launching.tell(order.service, order.launch)
        if spec.static_hosts:
            launching.write_hosts(order.service, spec.static_hosts)
        launching.make_own(order.service, *orders.sidecar_user(self.tools), declared.scratch)
        launching.hold(order.service, order.argv, enclosed=order.enclosed, audit=runs.order(spec, name))
        return f"127.0.0.1:{port}" if port else orders.door(spec, name)

    def place(self, bottle: str, service: str, files: Sequence[MaterialFile]) -> None:
        self._place(bottle, service, files, release=False)

    def _place(self, bottle: str, service: str, files: Sequence[MaterialFile], *, release: bool) -> None:
        folder = self._folder(bottle)
        try:
            client.place(folder.service(service), files, release=release, held=lambda: not folder.lost(service))
        except OSError as e:
            _status_soon(folder, service)  # its keeper says why before it writes down the end
            what = f"service '{service}' of bottle '{bottle}' is not there: {e.strerror}:"
            raise RuntimeFailure(f"{what}\n{_last_lines(folder, service)}", fix="bottlegen down, then up") from e

    def wait_ready(self, bottle: str, service: str, seconds: float) -> None:
        folder, end = self._folder(bottle), time.monotonic() + seconds
        network, port = folder.told()["ready"][service]
        while not (client.connects(folder.sockets(network), str(port)) and folder.recording(service)):
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
            service = orders.service_of(spec, folder, _AGENT)
            launching.begin(service)
            uid, gid = launching.owner(workspace.owner(spec.workspace) if spec.workspace else None)
            called = [name for _, every in sidecar_names(spec.bundle) for name in every]
            etc = launching.etc(service)
            launching.write_etc(etc, bottle=spec.bottle, uid=uid, gid=gid, names=[*called, *names])
            remember_guards(folder, orders.agent_binds(spec))
            order = orders.of_agent(self.tools, self._programs[_AGENT], spec, folder)
            launching.tell(service, order.launch)
            launching.hold(service, order.argv, order.doors, enclosed=order.enclosed)

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

    def capture(self, bottle: str, argv: Sequence[str]) -> tuple[int, bytes]:
        folder = self._folder(bottle).service(_AGENT)
        with translated(f"run '{argv[0]}' in bottle '{bottle}'"):
            return client.capture(folder, argv)

    def compare(self, run: Run) -> Sequence[Finding]:
        with translated(f"look at bottle '{run.spec.bottle}'"):
            return comparing.compare(run, self._folder(run.spec.bottle), self._orders(run))

    def _orders(self, run: Run) -> list[orders.Order]:
        """What a start would tell each service now."""
        spec, folder = run.spec, self._folder(run.spec.bottle)
        found = [self._agent_order(run, folder)]
        for name, listens in run.endpoints.listens.items():
            port = 0 if listens.startswith("/") else int(listens.rpartition(":")[2])
            programs = self._binaries.place(spec.bundle, name)
            found.append(orders.of_sidecar(self.tools, programs, spec, folder, name, port=port))
        return found

    def _agent_order(self, run: Run, folder: Folder) -> orders.Order:
        return orders.of_agent(self.tools, self._binaries.place(run.spec.bundle, _AGENT), run.spec, folder)

    def surroundings(self, run: Run) -> Surroundings:
        argv = self._agent_order(run, self._folder(run.spec.bottle)).argv
        first = tuple(argv[argv.index("--") + 1 : argv.index("-I")])
        doors = tuple(("127.0.0.1", port) for port in sorted(agent_ports(run.spec.bundle)))
        return Surroundings(doors=doors, pythons=(first, ("python3",)))

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
        others = partial(self._guards_of_others, bottle)
        if not folder.path.is_dir():
            self._users.forget(self.name, bottle, session, there=folder.path.is_dir, others=others)
            return False
        if session and told.get("session") != session:
            return False
        records.end(folder, bottle)
        for service in folder.services():
            cgroup.remove(launching.groups_of(folder, service))
        self._users.end(self.name, bottle, session, made=partial(_guards, folder), others=others)
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


def remember_guards(folder: Folder, binds: Sequence[workspace.Bind]) -> None:
    found = [str(bind.source) for bind in binds if bind.source.name == "commondir"]
    (folder.path / "guards").write_text(json.dumps(found))


def _guards(folder: Folder) -> set[str]:
    """Those that a bottle's start wrote down, and those of its workspace that it may have made before it could."""
    here = of_workspace(folder.told().get("workspace", ""))
    try:
        return here | set(json.loads((folder.path / "guards").read_text()))
    except (FileNotFoundError, ValueError):
        return here


def _taken(bottle: str) -> RuntimeFailure:
    return RuntimeFailure(
        f"bottle '{bottle}' is already up",
        fix=f"bottlegen attach --name {bottle}, bottlegen down --name {bottle}, or take another --name",
    )


def _last_lines(folder: Folder, service: str) -> str:
    log = folder.service(service) / "log"
    lines = log.read_text(errors="replace").splitlines()[-_LAST_LINES:] if log.exists() else []
    return "\n".join(f"  | {line}" for line in lines) or "  | (no output)"


def _status_soon(folder: Folder, service: str = _AGENT) -> int | None:
    """Its exit status, which its keeper writes a moment after the streams ended; None when it runs on."""
    end = time.monotonic() + _END_SECONDS
    while time.monotonic() < end:
        if (status := folder.exit(service)) is not None:
            return status
        if not folder.running(service):
            return 137
        time.sleep(_PAUSE)
    return None


def _status(bottle: str, folder: Folder) -> BottleStatus:
    told, begun = folder.told(), folder.services()
    states = {name: _service_state(folder, name) for name in begun} | {
        name: "missing" for name in (_AGENT, *told.get("ready", {})) if name not in begun
    }
    return BottleStatus(
        bottle=bottle,
        profile=str(told.get("profile", "")),
        hash=str(told.get("hash", "")),
        session=str(told.get("session", "")),
        runtime=RUNTIME,
        state=_state(states),
        created=str(told.get("created", "")),
        services=tuple(sorted(states.items())),
    )


def _service_state(folder: Folder, service: str) -> str:
    if folder.running(service):
        return "running"
    return "dead" if folder.exit(service) is None else "exited"


def _state(states: Mapping[str, str]) -> str:
    if states[_AGENT] == "exited":
        return "stopped"
    return "running" if set(states.values()) == {"running"} else "broken"
