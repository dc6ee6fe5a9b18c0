"""The tasks that deal with bottles: which bundle may run, which bottle is meant, and what is shown of it."""

import json
import os
import secrets as random_source
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bottlegen.bundle import Bundle, differences, read, write
from bottlegen.errors import BundleError, Problem, UsageError
from bottlegen.locate import Place
from runtime.base import BottleStatus, LaunchSpec, Runtime
from runtime.build import build_place, place_of
from runtime.host import Host, this_host
from runtime.progress import make_progress
from runtime.registry import choose, installed
from runtime.signals import undoing_on_end, uninterrupted
from runtime.start import start
from runtime.state import State, check_bottle_name

_TERMINAL_NAMES = ("TERM", "COLORTERM", "LANG", "LC_ALL", "TZ")
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


def bring_up(request: UpRequest) -> int:
    """Start a bottle and stay with its agent, unless detached; the agent's exit status."""
    if request.as_json and not request.detach:
        raise UsageError(
            "--json needs --detach: the terminal is the agent's otherwise",
            fix="up --detach --json …",
        )
    host = this_host()
    place = place_of(request.profile, Path.cwd())
    bundle = _bundle_to_run(place, dev=request.dev)
    name = check_bottle_name(request.name or place.name)
    runtime = choose(request.runtime, bundle.manifest, host)
    spec = _spec(request, name, bundle, host)
    state = State.of(host.env, host.home)
    with undoing_on_end():
        start(spec, runtime, host, make_progress())
        if not request.detach:
            return _stay(spec, runtime, state)
        _let_go(spec, runtime, state)
    _tell_detached(spec, runtime, as_json=request.as_json)
    return 0


def _let_go(spec: LaunchSpec, runtime: Runtime, state: State) -> None:
    """Open the agent's gate and leave it running; when that fails, nothing of the bottle stays."""
    try:
        write(spec.bundle, state.bundle(spec.bottle))
        runtime.release_agent(spec.bottle)
    except BaseException:
        _end(spec, runtime, state)
        raise


def _end(spec: LaunchSpec, runtime: Runtime, state: State) -> None:
    with uninterrupted():
        runtime.remove(spec.bottle, session=spec.session)
        state.forget_run(spec.bottle)


def _stay(spec: LaunchSpec, runtime: Runtime, state: State) -> int:
    """Be the agent's terminal until it ends or is left; then nothing of the bottle stays but its home."""
    left_running = False
    try:
        write(spec.bundle, state.bundle(spec.bottle))
        status = runtime.attach(spec.bottle, release=True)
        left_running = status is None
        return status or 0
    finally:
        if left_running:
            print(f"left running: bottlegen attach --name {spec.bottle}", file=sys.stderr)
        else:
            _end(spec, runtime, state)


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


def _spec(request: UpRequest, name: str, bundle: Bundle, host: Host) -> LaunchSpec:
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
        outside_network=host.config.docker.outside_network,
        terminal_env=tuple((key, host.env[key]) for key in _TERMINAL_NAMES if key in host.env),
    )


def _workspace(asked: str, source: str, host: Host) -> Path:
    """The folder that the agent works in: what was asked for, else the repository around here, else here."""
    root = Path(asked).expanduser() if asked else _repository(Path.cwd())
    folder = (root / source).resolve()
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


def _every_bottle(host: Host) -> list[tuple[BottleStatus, Runtime]]:
    return [(status, runtime) for runtime in installed(host) for status in runtime.list()]


def _find(name: str) -> tuple[BottleStatus, Runtime]:
    """The bottle meant: by name, or the only one there is."""
    found = _every_bottle(this_host())
    matching = [pair for pair in found if pair[0].bottle == name] if name else found
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(sorted(status.bottle for status, _ in found))
    if name:
        raise UsageError(
            f"no bottle '{name}' is up",
            fix=f"use one of {names}" if names else "bottlegen up --profile …",
        )
    if found:
        raise UsageError("several bottles are up", fix=f"--name with one of {names}")
    raise UsageError("no bottle is up", fix="bottlegen up --profile …")


def attach_to(name: str) -> int:
    """Join a running agent; its exit status, or 0 when it was left running."""
    status, runtime = _find(name)
    code = runtime.attach(status.bottle, release=False)
    if code is None:
        return 0
    if not any(entry.bottle == status.bottle and entry.state == "running" for entry in runtime.list()):
        _remove(status.bottle, runtime)
    return code


def exec_in(name: str, command: tuple[str, ...]) -> int:
    """Run one command beside the agent; its exit status."""
    if not command:
        raise UsageError("no command given", fix="bottlegen exec --name NAME -- COMMAND …")
    status, runtime = _find(name)
    tty = sys.stdin.isatty() and sys.stdout.isatty()
    env = {key: os.environ[key] for key in _TERMINAL_NAMES if key in os.environ}
    return runtime.exec(status.bottle, command, tty=tty, env=env)


def show_logs(name: str, *, follow: bool, audit: bool, as_json: bool) -> None:
    """Write the agent's output, or the audit lines of its egress, as they come."""
    status, runtime = _find(name)
    chunks = runtime.logs(status.bottle, "egress" if audit else "agent", follow=follow)
    if not audit:
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        return
    from runtime.audit import lines, summary

    for line in lines(chunks):
        print(line.text if as_json else summary(line), flush=follow)


def list_bottles(*, as_json: bool) -> None:
    """All bottles of all runtimes here."""
    statuses = [status for status, _ in _every_bottle(this_host())]
    if as_json:
        print(json.dumps([_status_document(status) for status in statuses], indent=2))
        return
    if not statuses:
        print("no bottle is up")
        return
    rows = [(s.bottle, s.state, s.profile, s.runtime, s.created, s.hash[7:19]) for s in statuses]
    _print_table(("bottle", "state", "profile", "runtime", "since", "hash"), rows)


def _status_document(status: BottleStatus) -> Mapping[str, object]:
    return {
        "bottle": status.bottle,
        "state": status.state,
        "profile": status.profile,
        "runtime": status.runtime,
        "created": status.created,
        "hash": status.hash,
        "session": status.session,
        "services": dict(status.services),
    }


def _print_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def take_down(name: str, *, everything: bool, purge: bool) -> None:
    """Remove one bottle or all; what is not there is as good as removed."""
    if everything and name:
        raise UsageError("--all and --name contradict each other", fix="give one of them")
    host = this_host()
    state = State.of(host.env, host.home)
    found = _every_bottle(host)
    if not everything and not name:
        name = _find("")[0].bottle if found else ""
    names = (
        sorted({status.bottle for status, _ in found} | set(state.names())) if everything else [name] if name else []
    )
    for bottle in names:
        check_bottle_name(bottle)
        removed = [runtime.name for runtime in installed(host) if runtime.remove(bottle)]
        state.forget_run(bottle)
        purged = purge and state.purge(bottle)
        print(_removal_line(bottle, bool(removed), bool(purged)))
    if not names:
        print("no bottle is up")


def _removal_line(bottle: str, removed: bool, purged: bool) -> str:
    return f"{bottle}: {'removed' if removed else 'was not up'}{', home purged' if purged else ''}"


def _remove(bottle: str, runtime: Runtime) -> None:
    runtime.remove(bottle)
    State.of(dict(os.environ), Path.home()).forget_run(bottle)


def refresh_bottle(name: str) -> None:
    """Write the host's present credentials into a running bottle."""
    from runtime.start import refresh

    status, runtime = _find(name)
    host = this_host()
    bundle = read(State.of(host.env, host.home).bundle(status.bottle))
    if bundle.hash != status.hash:
        raise BundleError(
            Problem(
                what=f"the kept bundle of '{status.bottle}' is not the one it runs",
                fix="bottlegen down, then up",
            )
        )
    slots = refresh(bundle, status.bottle, runtime, host)
    count = f"{len(slots)} credential{'s' if len(slots) != 1 else ''} replaced"
    print(f"{status.bottle}: {count if slots else 'has no credentials, so nothing was replaced'}")
