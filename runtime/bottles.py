"""The tasks that deal with bottles that are there: which one is meant, and what is shown of it or done to it."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from bottlegen.bundle import Bundle, read
from bottlegen.errors import BundleError, Problem, RuntimeFailure, UsageError
from bottlegen.sidecars import pipelock
from bottlegen.wording import seen
from runtime import certificates
from runtime.base import BottleStatus, Runtime
from runtime.host import this_host
from runtime.observe import collect
from runtime.registry import installed
from runtime.state import BOTTLE_NAME, State, check_bottle_name
from runtime.terminal import TERMINAL_NAMES


def _every_bottle(runtimes: Iterable[Runtime]) -> list[tuple[BottleStatus, Runtime]]:
    """All that these runtimes list, without what only looks like it: a hostile image can bring a label of any text."""
    found = [(status, runtime) for runtime in runtimes for status in runtime.list()]
    return [pair for pair in found if BOTTLE_NAME.fullmatch(pair[0].bottle)]


def _find(name: str) -> tuple[BottleStatus, Runtime]:
    """The bottle meant: by name, or the only one there is."""
    found = _every_bottle(installed(this_host()))
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
    env = {key: os.environ[key] for key in TERMINAL_NAMES if key in os.environ}
    return runtime.exec(status.bottle, command, tty=tty, env=env)


def show_logs(name: str, *, follow: bool, audit: bool, inspection: bool, as_json: bool) -> None:
    """Write the agent's output, or the audit lines of its ways out, as they come, or what was found in its requests."""
    status, runtime = _find(name)
    if inspection:
        _show_findings(status, runtime, as_json=as_json)
        return
    if not audit:
        for chunk in runtime.logs(status.bottle, "agent", follow=follow):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        return
    from runtime.audit import SOURCES, summary, together

    there = [service for service, _ in status.services if service in SOURCES]
    streams = [runtime.logs(status.bottle, service, follow=follow) for service in there]
    for line in together(streams, follow=follow):
        print(line.text if as_json else summary(line), flush=follow)


def _show_findings(status: BottleStatus, runtime: Runtime, *, as_json: bool) -> None:
    from runtime.findings import findings, line

    bundle = _kept(status)
    if pipelock.NAME not in bundle.manifest.services:
        raise UsageError(f"bottle '{status.bottle}' has no pipelock", fix="add [pipelock] to its profile")
    events = runtime.read(status.bottle, pipelock.NAME, pipelock.EVENTS)
    for finding in findings(events, bundle):
        print(json.dumps(asdict(finding)) if as_json else line(finding))


def list_bottles(*, as_json: bool) -> None:
    """All bottles of all runtimes here."""
    host = this_host()
    state = State.of(host.env, host.home)
    statuses = [status for status, _ in _every_bottle(installed(host))]
    known = {status.bottle: certificates.read(state.certificates(status.bottle)) for status in statuses}
    if as_json:
        print(json.dumps([_status_document(status, known[status.bottle]) for status in statuses], indent=2))
        return
    if not statuses:
        print("no bottle is up")
        return
    rows = [(s.bottle, s.state, s.profile, s.runtime, s.created, s.hash[7:19]) for s in statuses]
    _print_table(("bottle", "state", "profile", "runtime", "since", "hash"), rows)
    now = datetime.now(UTC)
    for bottle, found in known.items():
        if found and (said := found.said(bottle, now)):
            print(f"warning: {said}\n  fix: {found.fix(bottle, now)}", file=sys.stderr)


def _status_document(status: BottleStatus, good: certificates.Certificates | None) -> Mapping[str, object]:
    return {
        "bottle": status.bottle,
        "state": status.state,
        "profile": status.profile,
        "runtime": status.runtime,
        "created": status.created,
        "hash": status.hash,
        "session": status.session,
        "services": dict(status.services),
        "certificates_until": good.ends.isoformat(timespec="seconds") if good else "",
    }


def _print_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    lines = [head, *(tuple(map(seen, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def take_down(name: str, *, everything: bool, purge: bool) -> None:
    """Remove one bottle or all; what is not there is as good as removed."""
    if everything and name:
        raise UsageError("--all and --name contradict each other", fix="give one of them")
    host = this_host()
    state = State.of(host.env, host.home)
    runtimes = installed(host)
    found = [] if name else [status for status, _ in _every_bottle(runtimes)]
    if not everything and not name:
        name = _find("")[0].bottle if found else ""
    names = [name] if name else []
    if everything:
        names = sorted({status.bottle for status in found} | set(state.names(homes=purge)))
    for bottle in names:
        check_bottle_name(bottle)
        for runtime in runtimes:
            collect(bottle, runtime, state)
        removed = [runtime.name for runtime in runtimes if runtime.remove(bottle)]
        state.forget_run(bottle)
        purged = purge and state.purge(bottle)
        print(_removal_line(bottle, bool(removed), bool(purged)))
    if not names:
        print("no bottle is up")


def _removal_line(bottle: str, removed: bool, purged: bool) -> str:
    return f"{bottle}: {'removed' if removed else 'was not up'}{', home purged' if purged else ''}"


def _remove(bottle: str, runtime: Runtime) -> None:
    host = this_host()
    state = State.of(host.env, host.home)
    collect(bottle, runtime, state)
    runtime.remove(bottle)
    state.forget_run(bottle)


def refresh_bottle(name: str) -> None:
    """Write the host's present credentials into a running bottle, and renew its certificates when it is time."""
    from runtime.start import refresh, renew

    status, runtime = _find(name)
    bundle, host, now = _kept(status), this_host(), datetime.now(UTC)
    place = State.of(host.env, host.home).certificates(status.bottle)
    before = certificates.read(place)
    if before and before.over(now):
        raise RuntimeFailure(before.said(status.bottle, now), fix=before.fix(status.bottle, now))
    slots = refresh(bundle, status.bottle, runtime, host)
    count = f"{len(slots)} credential{'s' if len(slots) != 1 else ''} replaced"
    print(f"{status.bottle}: {count if slots else 'has no credentials, so nothing was replaced'}")
    if before and (after := renew(bundle, status.bottle, runtime, before)) != before:
        certificates.write(place, after)
        print(f"{status.bottle}: certificates renewed, good until {after.ends.date()}")


def _kept(status: BottleStatus) -> Bundle:
    """The bundle that a bottle runs, as `up` kept it."""
    host = this_host()
    kept = State.of(host.env, host.home).bundle(status.bottle)
    if not kept.exists():
        raise BundleError(
            f"'{kept}' is gone, so the slots of bottle '{status.bottle}' are not known",
            fix="bottlegen down, then up (or with the XDG_STATE_HOME that up had)",
        )
    bundle = read(kept)
    if bundle.hash != status.hash:
        raise BundleError(
            Problem(
                what=f"the kept bundle of '{status.bottle}' is not the one it runs",
                fix="bottlegen down, then up",
            )
        )
    return bundle
