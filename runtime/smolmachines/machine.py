"""A bottle's agent as a machine of the engine: all that the guest is given stands here, in the SDK's own types."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import smol

from bottlegen.errors import Problem, Where
from bottlegen.manifest import Limits
from bottlegen.plan import EGRESS_ADDRESS, HOME, ONLY_NAME
from runtime.base import Finding, LaunchSpec
from runtime.smolmachines import engine

AGENT = "agent"
GIVEN = "/opt/bottle"
"""What this start hands to the guest's first process, its code included: a folder of this host, without a secret."""

_MIB = 1024 * 1024
_LEAST_MEMORY = 256
_LABEL = "bottlegen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Where the bottle's interceptor listens, and the token by which it knows this machine."""

    port: int
    token: str

    def __repr__(self) -> str:
        return f"Binding(port={self.port}, token=…)"


def name_of(bottle: str) -> str:
    return f"bottlegen-{bottle}"


def selects(bottle: str = "", session: str = "") -> dict[str, str]:
    """Labels of our machines, of one bottle's, of one session's."""
    more = {f"{_LABEL}.bottle": bottle, f"{_LABEL}.session": session}
    return {"product": _LABEL} | {key: value for key, value in more.items() if value}


def labels(spec: LaunchSpec, created: str) -> dict[str, str]:
    return selects(spec.bottle, spec.session) | {
        f"{_LABEL}.profile": spec.bundle.manifest.name,
        f"{_LABEL}.hash": spec.bundle.hash,
        f"{_LABEL}.created": created,
    }


def config(
    spec: LaunchSpec, *, image: str, programs: Path | None, given: Path, binding: Binding, created: str
) -> smol.MachineConfig:
    """The machine of the bottle's agent. It boots as root for as long as its first process needs to become the agent's
    user; nothing reaches it but that process."""
    limits = spec.bundle.manifest.services[AGENT].limits
    return smol.MachineConfig(
        name=name_of(spec.bottle),
        labels=labels(spec, created),
        persistent=True,
        detach=True,
        image=image,
        command=_first_process(),
        user="0:0",
        workdir="/",
        mounts=list(_mounts(spec, programs, given)),
        resources=smol.ResourceSpec(
            cpus=vcpus(limits),
            memory_mb=limits.memory // _MIB,
            allow_cidrs=[f"{EGRESS_ADDRESS}/32"],
            allow_hosts=[engine.exactly(ONLY_NAME)],
        ),
        egress_interceptor=smol.EgressInterceptor(address=f"127.0.0.1:{binding.port}", token=binding.token),
        wait_for_ports=False,
    )


def _first_process() -> list[str]:
    begin = f"import sys; sys.path.insert(0, {GIVEN!r}); from runtime.bubblewrap.inside.guest import main; main()"
    return ["python3", "-I", "-S", "-B", "-c", begin, f"{GIVEN}/launch.json"]


def _mounts(spec: LaunchSpec, programs: Path | None, given: Path) -> Iterator[smol.MountSpec]:
    """Folders of this host; `read_only` is always said, for the SDK's default is the other one."""
    yield smol.MountSpec(source=str(given), target=GIVEN, read_only=True)
    if programs:
        yield smol.MountSpec(source=str(programs), target="/opt/agent", read_only=True)
    if spec.workspace:
        target = spec.bundle.manifest.workspace.path
        yield smol.MountSpec(source=str(spec.workspace), target=target, read_only=False)
    if spec.home:
        yield smol.MountSpec(source=str(spec.home), target=HOME, read_only=False)


def findings(spec: LaunchSpec, created: str, machines: Sequence[smol.MachineSummary]) -> Iterator[Finding]:
    """What the engine tells of the bottle's machine. It does not tell mounts and the allow list: probes have to."""
    named = [each for each in machines if each.name == name_of(spec.bottle)]
    others = [f"'{each.name}' carries the labels of this bottle" for each in machines if each not in named]
    states = [f"it is {each.state}" for each in named if each.state != "running"] if named else ["there is none"]
    yield _finding("running", states)
    yield _finding("parts", others)
    if named:
        wanted, has = labels(spec, created), dict(named[0].labels)
        yield _finding("labels", [key for key in sorted(wanted.keys() | has.keys()) if wanted.get(key) != has.get(key)])
        yield _finding("limits", _limits(spec, named[0]))


def _finding(check: str, differences: Iterable[str]) -> Finding:
    told = "; ".join(differences)
    return Finding(part="machine", check=check, state="differs" if told else "equal", found=told)


def _limits(spec: LaunchSpec, machine: smol.MachineSummary) -> Iterator[str]:
    limits, sizes = spec.bundle.manifest.services[AGENT].limits, machine.resources
    if sizes is None:
        yield "the engine does not tell them"
        return
    if sizes.cpus != vcpus(limits):
        yield f"{sizes.cpus} processors, not {vcpus(limits)}"
    if sizes.memory_mib != limits.memory // _MIB:
        yield f"{sizes.memory_mib} MiB of memory, not {limits.memory // _MIB}"


def unmountable(spec: LaunchSpec) -> Iterator[Problem]:
    """Folders that the engine mounts in no machine, told before anything is made."""
    for field, path in (("workspace.path", spec.workspace), ("home", spec.home)):
        if path and any(path.resolve().is_relative_to(root) for root in engine.UNMOUNTABLE):
            yield Problem(
                what=f"'{path}' is within a system folder, and the engine mounts none of these in a machine",
                where=Where(file=spec.bundle.manifest.name, field=field),
                fix="--workspace with a folder elsewhere, XDG_STATE_HOME elsewhere, or --runtime docker",
            )


def vcpus(limits: Limits) -> int:
    """Whole processors: the limit is an upper bound, so what is beyond the last whole one is not given."""
    return min(math.floor(limits.cpus), os.cpu_count() or 1)


def problems(manifest: str, limits: Limits, host_memory: int) -> Iterator[Problem]:
    """Limits that no machine can hold, which the engine takes without a word; `host_memory` in bytes."""
    if limits.cpus < 1:
        yield Problem(
            what=f"a microVM has whole processors, and {limits.cpus:g} is less than one",
            where=Where(file=manifest, field="resources.cpus"),
            fix="resources.cpus = 1, or --runtime docker",
        )
    if not _LEAST_MEMORY * _MIB <= limits.memory <= host_memory:
        yield Problem(
            what=f"a microVM cannot have {limits.memory // _MIB} MiB of memory here:"
            f" at least {_LEAST_MEMORY}, and no more than the {host_memory // _MIB} of this host",
            where=Where(file=manifest, field="resources.memory"),
            fix="another resources.memory, or --runtime docker",
        )
