"""The steps of runtime.base.Runtime through the docker SDK; every object made carries the bottle's labels."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cached_property
from pathlib import Path
from typing import Any

from bottlegen.errors import Problem, RuntimeFailure, Where
from bottlegen.plan import HOME
from runtime import terminal, workspace
from runtime.artifacts import ArtifactStore
from runtime.audit import runs
from runtime.audit.writer import Order
from runtime.base import BottleStatus, Endpoints, Finding, LaunchSpec, MaterialFile, Progress, Run, Surroundings
from runtime.docker import comparing, containers, listing, naming, networks, removal, streams, surroundings
from runtime.docker.build import Images
from runtime.docker.engine import Engine, connect, translated
from runtime.docker.holder import READY
from runtime.docker.holding import Held, Holding
from runtime.docker.streams import Stream
from runtime.docker.tarball import pack
from runtime.images import ImagePlan
from runtime.service_env import first_port
from runtime.state import State
from runtime.workspace_users import WorkspaceUsers

DETACH_KEYS = "ctrl-p,ctrl-q"
_PLACE = ("/usr/libexec/bottle/place.sh",)
_RESIZE_TRIES = 10
_INSTALL = {"runsc": "apt install runsc && runsc install && systemctl restart docker"}
"""How an engine comes to an OCI runtime: https://gvisor.dev/docs/user_guide/quick_start/docker/"""

_AGAIN = "bottlegen down, then up"
_NOBODY = (1000, 1000)
"""Who the agent is when there is no workspace to own files of and the caller is root."""


class DockerRuntime:
    """`env` is this host's environment (DOCKER_HOST, proxies, registries); `cache` holds downloads.

    `ca_file` is an extra CA for downloads and builds; `state` is where bottles of all runtimes say what they use, the
    user's own when None."""

    name = naming.RUNTIME

    def __init__(
        self, env: Mapping[str, str], cache: Path, ca_file: Path | None = None, state: Path | None = None
    ) -> None:
        self._env = env
        self._users = WorkspaceUsers(state or State.of(env, Path.home()).root)
        self._store = ArtifactStore(cache / "artifacts", env, ca_file)
        self._ca_file = ca_file
        self._images: dict[str, str] = {}
        self._addresses: dict[str, dict[str, str]] = {}
        self._waiting: dict[tuple[str, str], Stream] = {}
        self._begun: dict[tuple[str, str], Stream] = {}
        self._held: dict[str, list[MaterialFile]] = {}
        self._holding: dict[str, Holding] = {}
        self._orders: dict[tuple[str, str], Order | None] = {}
        self._recorded: dict[tuple[str, str], Held] = {}
        self._starts = ThreadPoolExecutor(max_workers=4)
        self._starting: dict[tuple[str, str], Future[None]] = {}

    @cached_property
    def engine(self) -> Engine:
        return connect(self._env)

    def close(self) -> None:
        """Give back the connections to the engine; what runs there stays."""
        self._starts.shutdown()
        for stream in (*self._waiting.values(), *self._begun.values()):
            stream.close()
        for held in self._recorded.values():
            held.close()
        for holding in self._holding.values():
            holding.close()
        if "engine" in self.__dict__:
            self.engine.api.close()

    def check(self, spec: LaunchSpec) -> None:
        found = [
            *self._remote_problems(spec),
            *self._audit_problems(spec),
            *self._workspace_problems(spec),
            *self._oci_problems(spec),
        ]
        if found:
            raise RuntimeFailure(found)

    def _remote_problems(self, spec: LaunchSpec) -> Iterator[Problem]:
        if self.engine.local:
            return
        for folder, field, fix in (
            (spec.workspace, "workspace.mode", 'workspace.mode = "none", or unset DOCKER_HOST'),
            (spec.home, "home", 'home = "ephemeral", or unset DOCKER_HOST'),
        ):
            if folder is not None:
                what = f"the docker engine is on another machine and cannot see '{folder}'"
                yield Problem(what=what, where=Where(file=spec.bundle.manifest.name, field=field), fix=fix)

    def _audit_problems(self, spec: LaunchSpec) -> Iterator[Problem]:
        if spec.recording is None or self.engine.plain:
            return
        what = "the audit cannot be written here: the connection to the docker engine is encrypted in one process"
        if spec.bundle.manifest.audit.on_failure == "warn":
            print(f"warning: {what}", file=sys.stderr)
            return
        where = Where(file=spec.bundle.manifest.name, field="on_audit_failure")
        yield Problem(what=what, where=where, fix='on_audit_failure = "warn", or DOCKER_HOST with a plain socket')

    def _workspace_problems(self, spec: LaunchSpec) -> Iterator[Problem]:
        if spec.workspace is None:
            return
        yield from workspace.problems(spec.workspace, spec.bundle.manifest.workspace)
        if spec.workspace.is_dir() and workspace.owner(spec.workspace)[0] == 0 and not self.engine.rootless:
            yield workspace.owned_by_root(spec.workspace)

    def _oci_problems(self, spec: LaunchSpec) -> Iterator[Problem]:
        wanted = spec.oci_runtime
        if wanted and wanted not in self.engine.runtimes:
            yield Problem(
                what=f"the docker engine has no OCI runtime '{wanted}', only {', '.join(self.engine.runtimes)}",
                where=Where(file="host.toml", field="docker.oci_runtime"),
                fix=f"{_INSTALL.get(wanted, 'configure it in /etc/docker/daemon.json')}\nor take the line out",
            )

    def prepare(self, spec: LaunchSpec, progress: Progress) -> None:
        self._images = Images(self.engine, self._store, self._env, self._ca_file).have(spec, progress)

    def image(self, service: str) -> str:
        """The tag of a service's image; `prepare` comes first."""
        return self._images[service]

    def create(self, spec: LaunchSpec) -> Endpoints:
        api = self.engine.api
        with translated(f"look for bottle '{spec.bottle}'"):
            if api.containers(all=True, filters=naming.selects(spec.bottle)):
                raise _taken(spec.bottle)
        try:
            with translated(f"begin bottle '{spec.bottle}'"):
                place = {naming.WORKSPACE: str(spec.workspace)} if spec.workspace else {}
                api.create_volume(naming.marker(spec.bottle, spec.session), labels=naming.labels(spec) | place)
            self._users.begin(self.name, spec)  # after the marker: who finds neither that nor a container may forget it
            return self._create(spec)
        except BaseException:
            self._forget(spec.bottle)
            removal.remove(self.engine, self._users, spec.bottle, spec.session)
            raise

    def _create(self, spec: LaunchSpec) -> Endpoints:
        networks.create(self.engine, spec)
        sidecars = [name for name in spec.bundle.manifest.services if name != naming.AGENT]
        if spec.recording and self.engine.plain:
            self._holding[spec.bottle] = Holding(spec.recording.folder)
            self._orders |= {(spec.bottle, name): runs.order(spec, name) for name in sidecars}
        with ThreadPoolExecutor(max_workers=4) as pool:
            addresses = dict(zip(sidecars, pool.map(lambda name: self._sidecar(spec, name), sidecars), strict=True))
        self._addresses[spec.bottle] = addresses
        listens = {name: f"{address}:{first_port(spec.bundle, name)}" for name, address in addresses.items()}
        return Endpoints(addresses=addresses, listens=listens)

    def _sidecar(self, spec: LaunchSpec, name: str) -> str:
        """Start one sidecar, which waits for its material on the stream kept here; its address inside the bottle."""
        api = self.engine.api
        # The way out first: the engine makes the first network's gateway the default.
        joined = networks.joined(spec, name)
        with translated(f"start service '{name}' of bottle '{spec.bottle}'"):
            try:
                request = containers.sidecar(self.engine, spec, name, self._images[name], joined[0])
                container = containers.create(self.engine, spec, name, request)
            except Exception as e:
                if getattr(e, "status_code", None) == 409:
                    raise _taken(spec.bottle) from e
                raise
            for network in joined[1:]:
                api.connect_container_to_network(container, network, aliases=[name])
            stream = streams.attach(api, container, tty=False, stdin=True, output=True)
            self._waiting[spec.bottle, name] = stream
            # A start takes 0.4 s, its address is known after 0.03 s: the agent's container need not wait for the rest.
            starting = self._starting[spec.bottle, name] = self._starts.submit(api.start, container)
            return networks.address(api, container, joined[-1], starting)

    def place(self, bottle: str, service: str, files: Sequence[MaterialFile]) -> None:
        if service == naming.AGENT and bottle in self._held:
            # The agent waits at its gate and reads nothing yet: one exec brings all of it and opens.
            self._held[bottle].extend(files)
            return
        stream = self._waiting.pop((bottle, service), None)
        if stream is None:
            self._exec_place(bottle, service, files, opens=False)
            return
        holding, tar = self._holding.get(bottle), pack(files)
        with translated(f"hand its material to service '{service}'"):
            stream.send(b"%d %s\n" % (len(tar), b"held" if holding else b"free"))
            stream.send(tar)
            if not holding:
                stream.end_input()
                self._begun[bottle, service] = stream
                return
        held = holding.take(bottle, service, stream, self._orders.pop((bottle, service), None))
        self._recorded[bottle, service] = held
        held.recording()

    def _exec_place(self, bottle: str, service: str, files: Sequence[MaterialFile], *, opens: bool) -> None:
        api = self.engine.api
        argv = [*_PLACE, *(["--open"] if opens else []), *(file.path for file in files)]
        with translated(f"hand its material to service '{service}'"):
            created = api.exec_create(naming.container(bottle, service), argv, stdin=True)
            stream = streams.start_exec(api, created["Id"], tty=False)
            stream.send(pack(files, ".new"))
            stream.end_input()
            output = b"".join(data for _, data in stream.output()).decode(errors="replace").strip()
            stream.close()
            status = api.exec_inspect(created["Id"])["ExitCode"]
        if status != 0:
            raise RuntimeFailure(
                f"service '{service}' of bottle '{bottle}' took no material: {output or f'exit status {status}'}",
                fix="bottlegen up again; if it stays, the kept home may be in the way: "
                f"bottlegen down --purge --name {bottle}",
            )

    def wait_ready(self, bottle: str, service: str, seconds: float) -> None:
        """The entry script says when the port listens, on the stream that brought the material: nothing is polled."""
        api, container = self.engine.api, naming.container(bottle, service)
        if starting := self._starting.pop((bottle, service), None):
            with translated(f"start service '{service}' of bottle '{bottle}'"):
                starting.result()
        if held := self._recorded.pop((bottle, service), None):
            ready = held.ready(seconds)
            held.close()
        else:
            ready = self._says_ready(bottle, service, seconds)
        if ready:
            return
        with translated(f"wait for service '{service}'"):
            running = api.inspect_container(container)["State"]["Running"]
            last = api.logs(container, tail=15).decode(errors="replace").strip()
        what = f"is not ready after {seconds:g} s" if running else "ended instead of getting ready"
        lines = "\n".join(f"  | {line}" for line in last.splitlines()) or "  | (no output)"
        raise RuntimeFailure(f"service '{service}' of bottle '{bottle}' {what}:\n{lines}", fix="bottlegen up again")

    def _says_ready(self, bottle: str, service: str, seconds: float) -> bool:
        api, container = self.engine.api, naming.container(bottle, service)
        stream = self._begun.pop((bottle, service), None)
        if stream is None:  # another process brought it: what was said since is in the log
            with translated(f"wait for service '{service}'"):
                stream = streams.attach(api, container, tty=False, stdin=False, output=True, since_start=True)
        ready = stream.says(READY, seconds)
        stream.close()
        return ready

    def create_agent(self, spec: LaunchSpec, names: Sequence[str]) -> None:
        api = self.engine.api
        with translated(f"start the agent of bottle '{spec.bottle}'"):
            request = self._agent(spec, names, self._addresses[spec.bottle], self._images[naming.AGENT])
            container = containers.create(self.engine, spec, naming.AGENT, request)
            self._held[spec.bottle] = []
            api.start(container)
            api.remove_volume(naming.marker(spec.bottle, spec.session))

    def _agent(
        self, spec: LaunchSpec, names: Sequence[str], addresses: Mapping[str, str], image: str
    ) -> dict[str, Any]:
        place = containers.AgentPlace(
            user=self._user(spec),
            binds=((workspace.Bind(source=spec.home, target=HOME),) if spec.home else ()) + spec.binds,
            hosts=containers.hosts(spec, names, addresses),
            network=naming.network(spec.bottle, spec.session, networks.INSIDE),
        )
        return containers.agent(self.engine, spec, image, place)

    def _user(self, spec: LaunchSpec) -> tuple[int, int]:
        """Numeric uid and gid as the engine's containers count them."""
        if self.engine.rootless:
            return (0, 0)  # the caller's own uid, as a rootless engine maps it
        owner = workspace.owner(spec.workspace) if spec.workspace else (os.getuid(), os.getgid())
        return owner if owner[0] != 0 else _NOBODY

    def release_agent(self, bottle: str) -> None:
        self._exec_place(bottle, naming.AGENT, self._held.pop(bottle, []), opens=True)
        if holding := self._holding.pop(bottle, None):
            holding.close()

    def attach(self, bottle: str, *, release: bool) -> int | None:
        api, container = self.engine.api, naming.container(bottle, naming.AGENT)
        with translated(f"attach to bottle '{bottle}'"):
            config = api.inspect_container(container)["Config"]
            stream = streams.attach(
                api, container, tty=config["Tty"], stdin=config["OpenStdin"], output=True,
                detach_keys=DETACH_KEYS if config["Tty"] else "",
            )  # fmt: skip
            if release:
                self.release_agent(bottle)
            terminal.join(
                stream, tty=config["Tty"], stdin=config["OpenStdin"],
                resize=lambda rows, columns: _resize(api.resize, container, rows, columns),
            )  # fmt: skip
            return _agent_status(api, container)

    def exec(self, bottle: str, argv: Sequence[str], *, tty: bool, env: Mapping[str, str]) -> int:
        api, container = self.engine.api, naming.container(bottle, naming.AGENT)
        with translated(f"run '{argv[0]}' in bottle '{bottle}'"):
            created = api.exec_create(container, list(argv), stdin=True, tty=tty, environment=dict(env))
            stream = streams.start_exec(api, created["Id"], tty=tty)
            terminal.join(
                stream, tty=tty, stdin=True,
                resize=lambda rows, columns: _resize(api.exec_resize, created["Id"], rows, columns),
            )  # fmt: skip
            status = api.exec_inspect(created["Id"])["ExitCode"]
        return 0 if status is None else int(status)

    def capture(self, bottle: str, argv: Sequence[str]) -> tuple[int, bytes]:
        with translated(f"run '{argv[0]}' in bottle '{bottle}'"):
            return comparing.capture(self.engine.api, naming.container(bottle, naming.AGENT), argv)

    def compare(self, run: Run) -> Sequence[Finding]:
        plans = Images(self.engine, self._store, self._env, self._ca_file).planned(run.spec)
        return comparing.compare(self.engine, run, plans, self.requests(run, plans))

    def requests(self, run: Run, plans: Mapping[str, ImagePlan]) -> dict[str, Mapping[str, Any]]:
        """What a start would ask of the engine now, for each service."""
        spec = run.spec
        agent = self._agent(spec, run.names, run.endpoints.addresses, plans[naming.AGENT].tag)
        return {naming.AGENT: agent} | {
            name: containers.sidecar(self.engine, spec, name, plan.tag, networks.joined(spec, name)[0])
            for name, plan in plans.items()
            if name != naming.AGENT
        }

    def surroundings(self, run: Run) -> Surroundings:
        with translated(f"look around bottle '{run.spec.bottle}'"):
            return surroundings.of(self.engine.api, run)

    def logs(self, bottle: str, service: str, *, follow: bool) -> Iterator[bytes]:
        with translated(f"read the logs of service '{service}' of bottle '{bottle}'"):
            yield from self.engine.api.logs(naming.container(bottle, service), stream=True, follow=follow)

    def read(self, bottle: str, service: str, path: str) -> bytes:
        with translated(f"read '{path}' of service '{service}' of bottle '{bottle}'"):
            status, data = streams.printed(self.engine.api, naming.container(bottle, service), ["cat", path])
        if status:
            raise RuntimeFailure(f"service '{service}' of bottle '{bottle}' has no '{path}'", fix=_AGAIN)
        return data

    def list(self) -> tuple[BottleStatus, ...]:
        return listing.bottles(self.engine)

    def remove(self, bottle: str, *, session: str = "") -> bool:
        self._forget(bottle)
        return removal.remove(self.engine, self._users, bottle, session)

    def _forget(self, bottle: str) -> None:
        # What is still starting is let start: it could not be removed before.
        wait([self._starting.pop(key) for key in [*self._starting] if key[0] == bottle])
        for kept in (self._waiting, self._begun):
            for key in [key for key in kept if key[0] == bottle]:
                kept.pop(key).close()
        for key in [key for key in self._recorded if key[0] == bottle]:
            self._recorded.pop(key).close()
        if holding := self._holding.pop(bottle, None):
            holding.close()
        self._held.pop(bottle, None)
        self._addresses.pop(bottle, None)


def _taken(bottle: str) -> RuntimeFailure:
    return RuntimeFailure(
        f"bottle '{bottle}' is already up",
        fix=f"bottlegen attach --name {bottle}, bottlegen down --name {bottle}, or take another --name",
    )


def _resize(call: Any, target: str, rows: int, columns: int) -> None:
    """A window change may come when the process has not begun, which is worth waiting for, or has just ended."""
    from docker.errors import APIError

    for _ in range(_RESIZE_TRIES):
        try:
            call(target, height=rows, width=columns)
        except APIError:
            time.sleep(0.02)
        else:
            return


def _agent_status(api: Any, container: str) -> int | None:
    """Exit status once the engine knows it, a moment after the streams ended; None when the agent runs on."""
    for _ in range(50):
        state = api.inspect_container(container)["State"]
        if not state["Running"]:
            return int(state["ExitCode"])
        time.sleep(0.02)
    return None
