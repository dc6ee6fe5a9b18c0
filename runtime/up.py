"""The `up` task: which bundle may run, where and as whom, and who stays with the agent until it ends."""

import json
import os
import secrets as random_source
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from bottlegen.bundle import Bundle, differences, read, write
from bottlegen.errors import BundleError, RuntimeFailure, UsageError
from bottlegen.locate import Place, stands_for
from bottlegen.wording import shown
from runtime import certificates, observe, rootfs, run_record
from runtime.audit.runs import Audits
from runtime.audit.runs import Run as AuditRun
from runtime.audit.wording import kept
from runtime.base import LaunchSpec, Recording, Run, Runtime
from runtime.build import build_place, place_of, with_lines
from runtime.certificates import Certificates
from runtime.git_config import submodules
from runtime.host import Host, this_host
from runtime.progress import make_progress
from runtime.registry import choose
from runtime.reviewed import check_allowed, check_reviewed
from runtime.revision import commit_of
from runtime.signals import undoing_on_end, uninterrupted
from runtime.start import start
from runtime.state import State, check_bottle_name
from runtime.terminal import TERMINAL_NAMES

_DEFAULT_OWNER = (1000, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpRequest:
    """What `up` was asked for; empty means the default."""

    profile: str
    name: str
    dev: bool
    detach: bool
    workspace: str
    runtime: str
    command: tuple[str, ...]
    as_json: bool
    observe: bool = False


def bring_up(request: UpRequest) -> int:
    """Start a bottle and stay with its agent, unless detached; the agent's exit status."""
    if request.as_json and not request.detach:
        raise UsageError(
            "--json needs --detach: the terminal is the agent's otherwise",
            fix="up --detach --json …",
        )
    host = this_host()
    place = place_of(request.profile, Path.cwd())
    if stands_for(request.profile, place):
        print(f"profile '{place.name}' is '{place.profile}', not the one that ships with bottlegen", file=sys.stderr)
    check_allowed(host.config.review.require, dev=request.dev)
    commit = _soon(lambda: commit_of(place.profile))
    bundle = _bundle_to_run(place, dev=request.dev)
    check_reviewed(host.config.review.require, place, bundle)
    name = check_bottle_name(request.name or place.name)
    runtime = choose(request.runtime, bundle.manifest, host)
    state = State.of(host.env, host.home)
    kept_before = state.bottle(name).exists()
    spec = _spec(request, name, bundle, place, host)
    with undoing_on_end():
        audit = _audited(spec, state)
        spec = replace(spec, recording=_recording(audit, commit, host))
        try:
            run, good = _start(spec, runtime, host, place)
        except BaseException:
            Audits(state.audit).drop(audit)  # no agent ran
            if not kept_before:  # else the folders may be those of a bottle that runs under this name
                state.drop_empty(name)
            raise
        observed = place.profile if request.observe else None
        if not request.detach:
            return _stay(run, runtime, state, observed, good)
        _let_go(run, runtime, state, observed, good)
    _tell_detached(spec, runtime, as_json=request.as_json)
    return 0


def _audited(spec: LaunchSpec, state: State) -> AuditRun:
    """The folder for this run's audit, where no agent is: one that could write it would be its own witness."""
    if spec.workspace and state.audit.resolve().is_relative_to(spec.workspace.resolve()):
        raise RuntimeFailure(
            f"the folder for the audit '{state.audit}' lies in the workspace, so the agent could rewrite it",
            fix="set XDG_STATE_HOME to a folder elsewhere, or --workspace",
        )
    return Audits(state.audit).begin(spec.bottle, spec.session)


def _recording(run: AuditRun, commit: Future[str], host: Host) -> Recording:
    return Recording(folder=run.folder, commit=commit.result(), limit=host.config.audit.run_megabytes * 1024 * 1024)


def _soon(work: Callable[[], str]) -> Future[str]:
    """Four answers of git, which a start need not wait for."""
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        return pool.submit(work)
    finally:
        pool.shutdown(wait=False)


def _start(spec: LaunchSpec, runtime: Runtime, host: Host, place: Place) -> tuple[Run, Certificates]:
    try:
        return start(spec, runtime, host, make_progress())
    except RuntimeFailure as e:
        raise RuntimeFailure(with_lines(problem, place) for problem in e.problems) from e


def _let_go(run: Run, runtime: Runtime, state: State, observed: Path | None, good: Certificates) -> None:
    """Open the agent's gate and leave it running; when that fails, nothing of the bottle stays."""
    spec = run.spec
    try:
        _remember(run, state, observed, good)
        runtime.release_agent(spec.bottle)
    except BaseException:
        _end(spec, runtime, state)
        raise


def _remember(run: Run, state: State, observed: Path | None, good: Certificates) -> None:
    """Write down what later tasks must know of this run."""
    bottle = run.spec.bottle
    write(run.spec.bundle, state.bundle(bottle))
    run_record.save(run, state.run(bottle))
    certificates.write(state.certificates(bottle), good)
    observe.mark(bottle, observed, state)


def _end(spec: LaunchSpec, runtime: Runtime, state: State) -> None:
    with uninterrupted():
        try:
            observe.collect(spec.bottle, runtime, state)
        finally:
            runtime.remove(spec.bottle, session=spec.session)
            state.forget_run(spec.bottle)
            if spec.recording and (said := kept(AuditRun(spec.recording.folder), always=False)):
                print(said, file=sys.stderr)


def _stay(run: Run, runtime: Runtime, state: State, observed: Path | None, good: Certificates) -> int:
    """Be the agent's terminal until it ends or is left; then nothing of the bottle stays but its home."""
    spec = run.spec
    left_running = False
    before = submodules(spec.workspace) if spec.workspace else frozenset()
    try:
        _remember(run, state, observed, good)
        status = runtime.attach(spec.bottle, release=True)
        left_running = status is None
        return status or 0
    finally:
        if left_running:
            print(f"left running: bottlegen attach --name {spec.bottle}", file=sys.stderr)
        else:
            _end(spec, runtime, state)
            _warn_of_submodules(spec, before)


def _warn_of_submodules(spec: LaunchSpec, before: frozenset[str]) -> None:
    """Say so when the agent made git on this host enter folders of its making: `git status` runs what they say."""
    for name in sorted(submodules(spec.workspace) - before if spec.workspace else ()):
        print(
            f"warning: the agent added {shown(name)} to the index as a submodule, and git status runs what it says\n"
            "  fix: look at it without git, then: git rm --cached PATH, or git config diff.ignoreSubmodules dirty",
            file=sys.stderr,
        )


def _bundle_to_run(place: Place, *, dev: bool) -> Bundle:
    """The committed bundle, when it is whole and what the profile builds now; with `dev` the built one as it is."""
    built = build_place(place)
    if dev:
        print(
            f"running an unreviewed bundle of profile '{place.name}' (--dev): {built.hash}",
            file=sys.stderr,
        )
        return built
    if not place.bundle.exists():
        raise BundleError(
            f"profile '{place.name}' has no bundle at '{place.bundle}'",
            fix=f"bottlegen build --profile {place.name}, review and commit it; or up --dev to run it unreviewed",
        )
    committed = read(place.bundle)
    if committed.digest != built.digest:
        changes = "\n".join(f"      {line}" for line in differences(built, place.bundle))
        raise BundleError(
            f"bundle '{place.bundle}' is not what profile '{place.name}' builds now:\n{changes}",
            fix=f"bottlegen build --profile {place.name}, review and commit it; or up --dev to run it unreviewed",
        )
    return committed


def _spec(request: UpRequest, name: str, bundle: Bundle, place: Place, host: Host) -> LaunchSpec:
    manifest = bundle.manifest
    workspace = (
        _workspace(request.workspace, manifest.workspace.source, host) if manifest.workspace.mode == "bind" else None
    )
    state = State.of(host.env, host.home)
    owner = _owner(workspace)
    return LaunchSpec(
        bottle=name,
        session=random_source.token_hex(6),
        bundle=bundle,
        command=request.command,
        tty=request.detach or (sys.stdin.isatty() and sys.stdout.isatty()),
        interactive=True,
        workspace=workspace,
        home=state.make_home(name, owner) if manifest.home == "kept" else None,
        base_image=host.config.images.base,
        program_images=tuple(sorted(host.config.images.programs.items())),
        image_mirror=host.config.images.mirror,
        outside_network=host.config.docker.outside_network,
        oci_runtime=host.config.docker.oci_runtime,
        terminal_env=tuple((key, host.env[key]) for key in TERMINAL_NAMES if key in host.env),
        static_hosts=tuple(sorted(host.config.upstream.hosts.items())),
        protected=_reviewed(place, workspace) if workspace else (),
        rootfs_at=rootfs.places(manifest, place.root, host.config.rootfs),
    )


def _reviewed(place: Place, workspace: Path) -> tuple[Path, ...]:
    """The project's profiles, bundles and lock, as far as they lie in the workspace: an agent that could write them
    would write what the next `up` lets it do."""
    paths = (path.resolve() for path in (place.profile.parent, place.bundle.parent, place.lock))
    return tuple(path for path in paths if path.exists() and path != workspace and path.is_relative_to(workspace))


def _workspace(asked: str, source: str, host: Host) -> Path:
    """The folder that the agent works in: what was asked for, else the repository around here, else here."""
    root = (Path(asked).expanduser() if asked else _repository(Path.cwd())).resolve()
    folder = (root / source).resolve()
    if folder != root / source:  # a link there is the repository's word, or an earlier agent's, not this user's
        raise UsageError(
            f"the profile's workspace.path '{source}' leads through a symbolic link to '{folder}'",
            fix=f"if that is what you want: up --workspace '{folder}', with a profile whose workspace.path is '.'",
        )
    if not folder.is_dir():
        raise UsageError(f"workspace '{folder}' is not a folder", fix="--workspace DIR")
    if folder in (host.home.resolve(), *host.home.resolve().parents):
        raise UsageError(
            f"workspace '{folder}' holds your home folder: the agent would read your keys",
            fix="cd into a project, or --workspace DIR",
        )
    return folder


def _repository(here: Path) -> Path:
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


def _owner(workspace: Path | None) -> tuple[int, int]:
    """Who the agent runs as: the workspace's owner; without one the caller, or uid 1000 for a caller who is root."""
    if workspace:
        info = workspace.stat()
        return info.st_uid, info.st_gid
    return (os.getuid(), os.getgid()) if os.getuid() else _DEFAULT_OWNER


def _tell_detached(spec: LaunchSpec, runtime: Runtime, *, as_json: bool) -> None:
    facts = {
        "bottle": spec.bottle,
        "session": spec.session,
        "runtime": runtime.name,
        "hash": spec.bundle.hash,
    }
    if as_json:
        print(json.dumps(facts))
        return
    print(f"bottle {spec.bottle} is up on {runtime.name}  {spec.bundle.hash}")
    print(f"join it with: bottlegen attach --name {spec.bottle}")
