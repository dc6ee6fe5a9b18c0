"""The tasks that deal with bottles that are there: which one is meant, and what is shown of it or done to it."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

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
from runtime.table import print_table
from runtime.terminal import TERMINAL_NAMES

if TYPE_CHECKING:
    from runtime.audit.lines import AuditLine


def _every_bottle(runtimes: Iterable[Runtime]) -> list[tuple[BottleStatus, Runtime]]:
    """All that these runtimes list, without what only looks like it: a hostile image can bring a label of any text."""
    found = [(status, runtime) for runtime in runtimes for status in runtime.list()]
    return [pair for pair in found if BOTTLE_NAME.fullmatch(pair[0].bottle)]


def find(name: str) -> tuple[BottleStatus, Runtime]:
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
    status, runtime = find(name)
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
    status, runtime = find(name)
    tty = sys.stdin.isatty() and sys.stdout.isatty()
    env = {key: os.environ[key] for key in TERMINAL_NAMES if key in os.environ}
    return runtime.exec(status.bottle, command, tty=tty, env=env)


def show_logs(name: str, *, follow: bool, audit: bool, inspection: bool, as_json: bool) -> None:
    """Write the agent's output, or the audit lines of its ways out, as they come, or what was found in its requests."""
    if audit:
        from runtime.audit.lines import summary

        for line in _audit_lines(name, follow=follow):
            print(line.text if as_json else summary(line), flush=follow)
        return
    status, runtime = find(name)
    if inspection:
        _show_findings(status, runtime, as_json=as_json)
        return
    for chunk in runtime.logs(status.bottle, "agent", follow=follow):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def _audit_lines(name: str, *, follow: bool) -> "Iterable[AuditLine]":
    """What is kept of a bottle that is up, or of the last run of one that was; else what its runtime still has."""
    from runtime.audit.lines import together
    from runtime.audit.reading import written
    from runtime.audit.runs import SOURCES, Audits

    host = this_host()
    audits = Audits(State.of(host.env, host.home).audit)
    up = [pair for pair in _every_bottle(installed(host)) if not name or pair[0].bottle == name]
    if name and not up and (last := audits.session(check_bottle_name(name), "")):
        return written(last, follow=False)
    status, runtime = find(name)
    if run := audits.session(status.bottle, status.session):
        return written(run, follow=follow)
    there = [each for each, its in status.services if each in SOURCES and each != "agent" and its != "missing"]
    return together([runtime.logs(status.bottle, service, follow=follow) for service in there], follow=follow)


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
    troubles = {status.bottle: _troubles(status, state) for status in statuses}
    known = {status.bottle: certificates.read(state.certificates(status.bottle)) for status in statuses}
    if as_json:
        found = [
            {**_status_document(status, known[status.bottle]), "audit": troubles[status.bottle]} for status in statuses
        ]
        print(json.dumps(found, indent=2))
        return
    if not statuses:
        print("no bottle is up")
        return
    rows = [(s.bottle, s.state, s.profile, s.runtime, s.created, s.hash[7:19]) for s in statuses]
    print_table(("bottle", "state", "profile", "runtime", "since", "hash"), rows)
    for status in statuses:
        if status.amiss:
            print(f"{status.bottle}: {status.state}: {seen(status.amiss)}")
    for bottle, told in troubles.items():
        for trouble in told:
            print(f"{bottle}: {seen(trouble)}")
    now = datetime.now(UTC)
    for bottle, good in known.items():
        if good and (said := good.said(bottle, now)):
            print(f"warning: {said}\n  fix: {good.fix(bottle, now)}", file=sys.stderr)


def _troubles(status: BottleStatus, state: State) -> list[str]:
    """What is wrong with the audit of a bottle that is up: without a writer its way out is closed."""
    from runtime.audit.runs import Audits

    run = Audits(state.audit).session(status.bottle, status.session)
    if run is None:
        return []
    found = list(run.troubles())
    if not found and status.state != "stopped" and not run.is_written():
        found.append("the way out is closed, as nobody writes the audit")
    return found


def _status_document(status: BottleStatus, good: certificates.Certificates | None) -> Mapping[str, object]:
    return {
        "bottle": status.bottle,
        "state": status.state,
        "profile": status.profile,
        "runtime": status.runtime,
        "created": status.created,
        "hash": status.hash,
        "session": status.session,
        "amiss": status.amiss,
        "services": dict(status.services),
        "certificates_until": good.ends.isoformat(timespec="seconds") if good else "",
    }


def take_down(name: str, *, everything: bool, purge: bool) -> None:
    """Remove one bottle or all; what is not there is as good as removed."""
    from runtime.audit.runs import Audits
    from runtime.audit.wording import kept

    if everything and name:
        raise UsageError("--all and --name contradict each other", fix="give one of them")
    host = this_host()
    state = State.of(host.env, host.home)
    audits = Audits(state.audit)
    runtimes = installed(host)
    found = [] if name else [status for status, _ in _every_bottle(runtimes)]
    if not everything and not name:
        name = find("")[0].bottle if found else ""
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
        if removed and (run := audits.session(bottle, "")):
            print(kept(run, always=True))
    audits.sweep(host.config.audit)
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

    status, runtime = find(name)
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
