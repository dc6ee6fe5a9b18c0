"""The steps of runtime.base.Runtime with microVMs: bubblewrap's sidecars and records, and a machine for the agent.

On this host the agent's service is its interceptor: what the guest's first process says comes out of it, and it ends as
the agent ended. So streams, logs and status are bubblewrap's own.
"""

import json
import secrets as random_source
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from resource import RLIMIT_CORE, RLIMIT_NOFILE, RLIMIT_NPROC
from typing import Any

from bottlegen.errors import Problem, RuntimeFailure, Where
from bottlegen.plan import EGRESS_ADDRESS, HOME, MATERIAL, PROXY_HOST
from runtime import workspace
from runtime.audit import runs
from runtime.base import BottleStatus, Finding, LaunchSpec, MaterialFile, Progress, Run, Surroundings
from runtime.bubblewrap import command, inside, launching, orders, seccomp
from runtime.bubblewrap.inside.preamble import HEAD
from runtime.bubblewrap.records import Folder
from runtime.bubblewrap.runtime import BubblewrapRuntime, remember_guards, translated
from runtime.host import Host
from runtime.rootfs_view import TRUST
from runtime.service_env import agent_ports, sidecar_names
from runtime.smolmachines import preflight
from runtime.smolmachines.image import Images, Root
from runtime.state import State

RUNTIME = "smolmachines"
_AGENT = "agent"
_FILES = 65536
"""Open files of the agent; the engine's own bound of 1024 is too low for what agents start."""

_PATIENCE = 20.0
_PAUSE = 0.01


class SmolmachinesRuntime(BubblewrapRuntime):
    """Machines are found by their labels; everything else of a bottle is a folder below `state`, as bubblewrap's."""

    name = RUNTIME

    def __init__(self, host: Host) -> None:
        state = State.of(host.env, host.home).root
        super().__init__(host.env, host.cache, state, host.ca_file)
        self._root = state / RUNTIME
        self._settings = host.config.smolmachines
        self._images = Images(
            env=host.env, cache=host.cache, ca_file=host.ca_file, rootfs=host.config.smolmachines.rootfs
        )
        self._roots: dict[str, Root] = {}

    def check(self, spec: LaunchSpec) -> None:
        if found := [*_elsewhere(self._settings.target), *self.not_here()]:
            raise RuntimeFailure(found)
        from runtime.smolmachines import machine

        manifest = spec.bundle.manifest
        if found := [
            *machine.problems(manifest.name, manifest.services[_AGENT].limits, _memory_of_host()),
            *machine.unmountable(spec),
            *self._images.problems(manifest),
        ]:
            raise RuntimeFailure(found)
        super().check(spec)

    def not_here(self) -> list[Problem]:
        """Why this host boots no microVM; where only a boot can tell, one is made and removed."""

        def probe() -> str:
            from runtime.smolmachines import engine

            return engine.probe()

        return preflight.problems(preflight.facts(), probe)

    def _say_what_does_not_hold(self) -> None:
        """The machine's limits are the agent's, and hold."""

    def prepare(self, spec: LaunchSpec, progress: Progress) -> None:
        root = self._roots[spec.bottle] = self._images.have(spec, progress)
        for service in spec.bundle.manifest.services:
            if service != _AGENT or root.bare:
                self._programs[service] = self._binaries.have(spec.bundle, service, progress)

    def create_agent(self, spec: LaunchSpec, names: Sequence[str]) -> None:
        from runtime.smolmachines import engine, machine

        folder, root = self._folder(spec.bottle), self._roots[spec.bottle]
        with translated(f"start the agent of bottle '{spec.bottle}'"):
            given = self._given(spec, folder, names)
            binding = self._intercept(spec, folder)
        programs = self._programs[_AGENT] / _AGENT if root.bare else None
        created = str(folder.told().get("created", ""))
        engine.create(
            machine.config(spec, image=root.image, programs=programs, given=given, binding=binding, created=created)
        )

    def _place(self, bottle: str, service: str, files: Sequence[MaterialFile], *, release: bool) -> None:
        """What a first process that never came said is known to its machine alone."""
        try:
            super()._place(bottle, service, files, release=release)
        except RuntimeFailure as e:
            if service != _AGENT:
                raise
            from runtime.smolmachines import engine, machine

            if not (said := engine.output(machine.name_of(bottle))):
                raise
            raise RuntimeFailure([replace(e.problems[0], what=f"{e.problems[0].what}\n{said}")]) from e

    def _given(self, spec: LaunchSpec, folder: Folder, names: Sequence[str]) -> Path:
        """What the guest's first process reads, in a folder that it is shown."""
        given = folder.path / "given"
        given.mkdir(mode=0o755)
        package = Path(inside.__file__).parent
        shutil.copytree(
            package, given / "runtime" / "bubblewrap" / "inside", ignore=shutil.ignore_patterns("__pycache__")
        )
        uid, gid = launching.owner(workspace.owner(spec.workspace) if spec.workspace else None)
        called = [name for _, every in sidecar_names(spec.bundle) for name in every]
        launching.write_etc(given / "etc", bottle=spec.bottle, uid=uid, gid=gid, names=[*called, *names])
        _lead_to_egress(given / "etc" / "hosts")
        (given / "filter").write_bytes(seccomp.program())
        shutil.copyfile(self.tools.roots, given / "system-roots.crt")
        remember_guards(folder, spec.binds)
        pinned = [(bind.target, bind.read_only) for bind in spec.binds[1:]]
        (given / "launch.json").write_text(json.dumps(self._guest_launch(spec, uid, gid, pinned)))
        return given

    def _guest_launch(self, spec: LaunchSpec, uid: int, gid: int, pinned: Sequence[tuple[str, bool]]) -> dict[str, Any]:
        from runtime.smolmachines.machine import GIVEN

        declared, workspace_path = spec.bundle.manifest.services[_AGENT], spec.bundle.manifest.workspace.path
        limits = [(RLIMIT_CORE, 0), (RLIMIT_NPROC, declared.limits.pids), (RLIMIT_NOFILE, _FILES)]
        return orders.agent_launch(spec, uid, gid) | {
            "tmpfs": {MATERIAL: command.MATERIAL_SIZE} | declared.tmpfs,
            "etc": f"{GIVEN}/etc",
            "filter": f"{GIVEN}/filter",
            "trust": {"of": [f"{GIVEN}/system-roots.crt", f"{MATERIAL}/ca.crt"], "into": f"{MATERIAL}/ca-bundle.crt"},
            "trust_links": list(TRUST),
            "kept": ["/proc", "/dev", "/sys", HOME, GIVEN, "/opt/agent", workspace_path],
            "own": [] if spec.home else [HOME],
            "pinned": pinned,
            "limits": limits,
        }

    def _intercept(self, spec: LaunchSpec, folder: Folder) -> Any:
        """Start the bottle's interceptor and see it answer: no machine boots before."""
        from runtime.smolmachines.machine import Binding

        _denied(folder).mkdir(mode=0o700)
        with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
            binding = Binding(port=listener.getsockname()[1], token=random_source.token_hex(32))
            order = self._interceptor(spec, folder, binding.token)
            launching.begin(order.service)
            launching.tell(order.service, order.launch)
            # bwrap makes the network that encloses it: the listener is this host's.
            launching.hold(
                order.service, order.argv, enclosed=False, opened=listener,
                audit=runs.order(spec, _AGENT, tail=_denied(folder) / "lines"),
            )  # fmt: skip
        _await_interceptor(folder, binding.port)
        return binding

    def _interceptor(self, spec: LaunchSpec, folder: Folder, token: str) -> orders.Order:
        service = orders.service_of(spec, folder, _AGENT)
        uid, gid = launching.owner(None)
        doors = {port: f"{command.SOCKETS['bottle']}/{port}" for port in agent_ports(spec.bundle)}
        launch = {
            "uid": uid, "gid": gid, "token": token, "bottle": spec.bottle, "bundle": spec.bundle.hash,
            "doors": doors, "denied": f"{command.DENIED}/lines",
            "limits": launching.rlimits(service.limits, grouped=True),
        }  # fmt: skip
        room = command.Room(
            tools=self.tools, hostname=spec.bottle, uid=uid, gid=gid, launch=service.launch, programs=Path(), tmpfs={}
        )
        argv = command.interceptor(room, folder.sockets("bottle"), _denied(folder))
        return orders.Order(service=service, launch=launch, argv=argv, doors=(), enclosed=True)

    def _agent_order(self, run: Run, folder: Folder) -> orders.Order:
        """What stands for the agent on this host. Its token is of this start alone, so it is taken as it is."""
        service = orders.service_of(run.spec, folder, _AGENT)
        told = json.loads(service.launch.read_bytes()) if service.launch.exists() else {}
        return self._interceptor(run.spec, folder, str(told.get("token", "")))

    def compare(self, run: Run) -> Sequence[Finding]:
        from runtime.smolmachines import engine, machine

        created = str(self._folder(run.spec.bottle).told().get("created", ""))
        its = engine.machines(machine.selects(run.spec.bottle))
        return [*machine.findings(run.spec, created, its), *super().compare(run)]

    def surroundings(self, run: Run) -> Surroundings:
        doors = tuple((EGRESS_ADDRESS, port) for port in sorted(agent_ports(run.spec.bundle)))
        return Surroundings(doors=doors, refused=True)

    def logs(self, bottle: str, service: str, *, follow: bool) -> Iterator[bytes]:
        """The audit begins with what never came to the egress: refusals of the interceptor and of the monitor."""
        if service == PROXY_HOST:
            folder = self._folder(bottle)
            yield from _refusals(folder, bottle)
        yield from super().logs(bottle, service, follow=follow)

    def list(self) -> tuple[BottleStatus, ...]:
        from runtime.smolmachines import engine, machine

        machines = {each.labels.get("bottlegen.bottle", ""): each for each in engine.machines(machine.selects())}
        found = []
        for status in super().list():
            its = machines.pop(status.bottle, None)
            found.append(_with_machine(replace(status, runtime=RUNTIME), its.state if its else "missing"))
        return (*found, *(_orphan(bottle, each.labels, each.state) for bottle, each in sorted(machines.items())))

    def remove(self, bottle: str, *, session: str = "") -> bool:
        from runtime.smolmachines import engine, machine

        names = [each.name for each in engine.machines(machine.selects(bottle, session))]
        for name in names:
            engine.delete(name)
        return super().remove(bottle, session=session) or bool(names)


def _denied(folder: Folder) -> Path:
    """Where the interceptor writes down what it refused."""
    return folder.path / "denied"


def _elsewhere(target: str) -> Iterator[Problem]:
    if target == "cloud":
        yield Problem(
            what="bottles do not run in the makers' cloud: sidecars, secrets and the workspace are on this host, and"
            " nobody has tried it",
            where=Where(file="host.toml", field="smolmachines.target"),
            fix='target = "local"',
        )


def _memory_of_host() -> int:
    """In bytes, from proc_meminfo(5)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _lead_to_egress(hosts: Path) -> None:
    """Every name but this machine's own leads to the address behind which the interceptor stands."""
    lines = (line.split() for line in hosts.read_text().splitlines())
    hosts.write_text(
        "".join(f"{address if name == 'localhost' else EGRESS_ADDRESS} {name}\n" for address, name in lines)
    )


def _await_interceptor(folder: Folder, port: int) -> None:
    """Until it hangs up on who shows no token, which is its first act."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and folder.exit(_AGENT) is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
                probe.sendall(bytes(HEAD.size))
                if not probe.recv(1):
                    return
        except OSError:
            pass
        time.sleep(_PAUSE)
    log = folder.service(_AGENT) / "log"
    said = log.read_text(errors="replace").strip() if log.exists() else ""
    raise RuntimeFailure(f"the bottle's interceptor does not answer: {said or '(no output)'}", fix="bottlegen up again")


def _refusals(folder: Folder, bottle: str) -> Iterator[bytes]:
    from runtime.smolmachines import engine, machine

    path = folder.path / "denied" / "lines"
    if path.exists():
        yield path.read_bytes()
    for event in engine.denials(machine.name_of(bottle)):
        line = {
            "ts": event.get("timestamp", ""), "bottle": bottle, "bundle": folder.told().get("hash", ""),
            "decision": "deny", "method": str(event.get("operation", "")).upper(), "host": event.get("dest", ""),
            "reason": "not in the machine's allow list",
        }  # fmt: skip
        yield json.dumps(line).encode() + b"\n"


def _with_machine(status: BottleStatus, machine: str) -> BottleStatus:
    """An agent runs only where its machine does."""
    if machine == "running" or dict(status.services).get(_AGENT) != "running":
        return status
    services = tuple((name, "dead" if name == _AGENT else state) for name, state in status.services)
    return replace(status, state="broken", services=services)


def _orphan(bottle: str, labels: Mapping[str, str], state: str) -> BottleStatus:
    """A machine whose folder is gone, as when the state directory was removed under it: its egress cannot be found."""
    return BottleStatus(
        bottle=bottle,
        profile=labels.get("bottlegen.profile", ""),
        hash=labels.get("bottlegen.hash", ""),
        session=labels.get("bottlegen.session", ""),
        runtime=RUNTIME,
        state="broken",
        created=labels.get("bottlegen.created", ""),
        services=((_AGENT, state), (PROXY_HOST, "missing")),
    )
