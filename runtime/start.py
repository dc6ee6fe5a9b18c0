"""The start of a bottle, once for every runtime: read, provision, resolve, mint, place, wait, release, or undo it all.

Secrets live in this process between `gather` and `place`, and nowhere else on this side.
"""

import datetime
import os
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from bottlegen.bundle import Bundle
from bottlegen.errors import BottlegenError, Problem, RuntimeFailure, SecretError
from bottlegen.hostview import HostProvision
from bottlegen.plan import HOME, MATERIAL
from bottlegen.providers import PROVIDERS
from bottlegen.secret import Secret
from bottlegen.sidecars.material import LEAF_HOSTS
from bottlegen.sidecars.pipelock import NAME as PIPELOCK
from runtime import ca, secrets, sidecars, sources
from runtime.base import Endpoints, Finding, LaunchSpec, MaterialFile, Progress, Run, Runtime
from runtime.certificates import Certificates
from runtime.host import Host
from runtime.rootfs import RootfsStore
from runtime.sidecars import egress
from runtime.sidecars.begin import Begin, Held, Setting
from runtime.signals import uninterrupted

READY_SECONDS = 20.0
"""A sidecar accepts connections within a tenth of a second; this is for a host under load."""

_AGENT, _EGRESS = "agent", "egress"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Everything of the host that this start needs, resolved; `values` are by slot."""

    provision: HostProvision
    values: Mapping[str, Secret]
    extra_trust: bytes


def gather(bundle: Bundle, host: Host) -> Gathered:
    """Ask the provider, read the secrets, check the trust: everything that can be missing is missed here, at once."""
    tokens = secrets.read_tokens(bundle.data("tokens.json"))
    refs = frozenset(tokens.values())
    headerless = frozenset(slot.name for slot in bundle.manifest.slots if not slot.header)
    provider = PROVIDERS[bundle.manifest.provider]
    problems: list[Problem] = []
    provision = HostProvision()
    try:
        provision = provider.provision_host(refs, host.view(int(_now().timestamp())))
    except SecretError as e:
        problems += e.problems
        refs -= provider.token_refs  # said once is enough
    values, failed = secrets.effective_values(
        refs, env=host.env, sources=host.config.secrets, provisioned=dict(provision.env)
    )
    problems += failed.values()
    wanted = {slot: ref for slot, ref in tokens.items() if ref in refs - failed.keys()}
    try:
        resolved = secrets.resolve(wanted, values, headerless=headerless)
    except SecretError as e:
        raise SecretError([*problems, *e.problems]) from e
    if problems:
        raise SecretError(problems)
    return Gathered(provision=provision, values=resolved, extra_trust=host.extra_trust())


def start(spec: LaunchSpec, runtime: Runtime, host: Host, progress: Progress) -> tuple[Run, Certificates]:
    """Bring the bottle up to its agent's gate, still shut, and see that it is what the bundle says; on any failure,
    Ctrl-C included, nothing of it remains.

    Returns what the start came to know, and when the bottle's certificates are good.
    """
    runtime.check(spec)
    sidecars.check(spec.bundle, host.config.upstream.hosts)
    gathered = gather(spec.bundle, host)
    spec = _rooted(spec, host, progress)
    runtime.prepare(spec, progress)
    try:
        with progress.step(f"start bottle {spec.bottle}"):
            return _bring_up(spec, runtime, host, gathered)
    except BaseException:
        _undo(spec, runtime)
        raise


def _rooted(spec: LaunchSpec, host: Host, progress: Progress) -> LaunchSpec:
    """`spec` with the verified tree of its rootfs, where the bundle names one: no runtime looks for it itself."""
    folder = host.cache / "rootfs"
    if spec.workspace and spec.bundle.manifest.rootfs and folder.resolve().is_relative_to(spec.workspace.resolve()):
        raise RuntimeFailure(
            f"the cache '{folder}' lies in the workspace, so an agent could change the rootfs of others",
            fix="set XDG_CACHE_HOME to a folder elsewhere, or --workspace",
        )
    return replace(spec, rootfs=RootfsStore(folder).have(spec.bundle.manifest, spec.rootfs_at, progress))


def _bring_up(spec: LaunchSpec, runtime: Runtime, host: Host, gathered: Gathered) -> tuple[Run, Certificates]:
    names = sidecars.of(spec.bundle)
    authority = ca.mint(
        egress.route_hosts(spec.bundle), bottle=spec.bottle, now=_now(), together=LEAF_HOSTS, lives=ca.LIVES
    )
    signer = (
        ca.mint_signer(egress.route_hosts(spec.bundle), bottle=spec.bottle, now=_now()) if PIPELOCK in names else None
    )
    endpoints = runtime.create(spec)
    spec = replace(spec, binds=sources.of(spec))  # not before: who removes the bottle takes back what this made
    run = run_of(spec, endpoints, host.config.upstream.hosts, gathered.extra_trust)

    def begin(name: str) -> None:
        told = Begin(
            bundle=spec.bundle,
            addresses=endpoints.addresses,
            listens=endpoints.listens,
            authority=authority,
            signer=signer,
            values=sidecars.slots(spec.bundle, name, gathered.values),
            every_value=tuple(gathered.values.values()),
            static_hosts=host.config.upstream.hosts,
            extra_trust=gathered.extra_trust,
        )
        runtime.place(spec.bottle, name, sidecars.SIDECARS[name].material(told))
        runtime.wait_ready(spec.bottle, name, READY_SECONDS)

    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        begun = [pool.submit(begin, name) for name in names]
        runtime.create_agent(spec, run.names)
        for job in begun:
            job.result()
    runtime.place(
        spec.bottle,
        _AGENT,
        _agent_material(spec, authority.certificate, gathered.provision),
    )
    confirm(runtime.compare(run))
    return run, Certificates(terms=authority.terms)


def run_of(spec: LaunchSpec, endpoints: Endpoints, static_hosts: Mapping[str, str], extra_trust: bytes) -> Run:
    """What the bottle must be like, derived from the bundle and from what its start came to know."""
    setting = Setting(
        bundle=spec.bundle,
        addresses=endpoints.addresses,
        listens=endpoints.listens,
        static_hosts=static_hosts,
        extra_trust=extra_trust,
    )
    return Run(
        spec=spec,
        endpoints=endpoints,
        names=egress.exact_hosts(spec.bundle),
        settings={name: sidecars.SIDECARS[name].settings(setting) for name in sidecars.of(spec.bundle)},
        static_hosts=static_hosts,
        extra_trust=extra_trust,
    )


def confirm(findings: Iterable[Finding]) -> None:
    """RuntimeFailure with everything that is not, or cannot be seen to be, as the bundle says; what a start may go on
    with is said on stderr."""
    found = [each for each in findings if each.state != "equal"]
    again = "bottlegen up again; if it stays, see who else changes containers, networks or mounts on this host"
    if stopping := [each for each in found if each.stops]:
        raise RuntimeFailure(
            Problem(what=f"the bottle that was started is not what its bundle says: {_told(each)}", fix=again)
            for each in stopping
        )
    for each in found:
        fix = "a newer bottlegen may know it; bottlegen verify shows it again"
        print(f"warning: {_told(each)}\n  fix: {fix}", file=sys.stderr)


def _told(finding: Finding) -> str:
    return f"{finding.part}, {finding.check}: {finding.found}"


def _undo(spec: LaunchSpec, runtime: Runtime) -> None:
    """Remove what this session made. A failure here is added to the one being raised, never put in its place."""
    try:
        with uninterrupted():
            runtime.remove(spec.bottle, session=spec.session)
    except BottlegenError as e:
        print(f"while undoing the start: {e}\n  fix: bottlegen down --name {spec.bottle}", file=sys.stderr)


def _agent_material(spec: LaunchSpec, certificate: bytes, provision: HostProvision) -> tuple[MaterialFile, ...]:
    seeds = (
        MaterialFile(
            path=f"{HOME}/{file.path}",
            mode=int(file.mode, 8),
            data=spec.bundle.data(f"agent/home/{file.path}"),
        )
        for file in spec.bundle.manifest.home_files
        if not (file.keep and _exists_in(spec.home, file.path))
    )
    return (
        MaterialFile(path=f"{MATERIAL}/ca.crt", mode=0o644, data=certificate),
        *seeds,
        *_provisioned_files(provision),
    )


def _provisioned_files(provision: HostProvision) -> tuple[MaterialFile, ...]:
    return tuple(
        MaterialFile(path=f"{HOME}/{file.path}", mode=file.mode, data=file.content.encode()) for file in provision.files
    )


def _exists_in(home: Path | None, path: str) -> bool:
    """Whether the kept home has the file, as far as can be seen: the agent owns the folder and may have closed it."""
    return home is not None and os.path.lexists(home / path)


def refresh(bundle: Bundle, bottle: str, runtime: Runtime, host: Host) -> tuple[str, ...]:
    """Replace the credentials of a running bottle by the host's present ones; the slots that were written."""
    gathered = gather(bundle, host)
    for name in sidecars.of(bundle):
        held = Held(
            bundle=bundle,
            values=sidecars.slots(bundle, name, gathered.values),
            every_value=tuple(gathered.values.values()),
            static_hosts=host.config.upstream.hosts,
        )
        runtime.place(bottle, name, sidecars.SIDECARS[name].credentials(held))
    if provisioned := _provisioned_files(gathered.provision):
        runtime.place(bottle, _AGENT, provisioned)
    return tuple(sorted(gathered.values))


def renew(bundle: Bundle, bottle: str, runtime: Runtime, good: Certificates) -> Certificates:
    """Replace certificates of which less than a third of their life is left by those of the term that is due.

    Connections that there are go on with what they began with; what is in use now.
    """
    due = good.due(_now())
    if due != good.used:
        runtime.place(bottle, _EGRESS, egress.certificates(bundle, due))
    return good.using(due)
