"""Bottles that nobody works in any more: crashed, half-made, or ended and left; each holds a name and more."""

from collections.abc import Sequence

from bottlegen.wording import seen
from runtime.base import BottleStatus
from runtime.doctor.finding import Finding
from runtime.host import Host
from runtime.registry import installed
from runtime.state import BOTTLE_NAME, State

_WHY = {
    "broken": "a part of it is missing: its agent has no way out, and its name, networks and disk are taken",
    "stopped": "its agent has ended; its sidecars still hold credentials in memory",
}


def bottles(host: Host) -> list[Finding]:
    """Of every runtime whose bottles can be listed here, and of the state folder."""
    there = [status for runtime in installed(host) for status in runtime.list()]
    return judged(there, State.of(host.env, host.home).names(homes=False))


def judged(there: Sequence[BottleStatus], kept: Sequence[str]) -> list[Finding]:
    """`kept` are the names of which the state folder has the bundle of a run."""
    known = [status for status in there if BOTTLE_NAME.fullmatch(status.bottle)]
    found = [_left(status.bottle, _what(status), _WHY[status.state]) for status in known if status.state in _WHY]
    for name in sorted(set(kept) - {status.bottle for status in known}):
        if BOTTLE_NAME.fullmatch(name):
            what = f"the state folder has a run of bottle '{name}', which no runtime here knows"
            found.append(_left(name, what, "its start or its end was cut off; `up` under that name begins with it"))
    running = sum(status.state == "running" for status in known)
    if found:
        return found
    return [Finding(level="ok", area="bottles", what=f"{running} running" if running else "none is up, none was left")]


def _what(status: BottleStatus) -> str:
    why = f": {status.amiss}" if status.amiss else ""
    return f"bottle '{status.bottle}' ({status.runtime}) is {status.state}{why}"


def _left(name: str, what: str, why: str) -> Finding:
    return Finding(level="warn", area="bottles", what=seen(what), why=why, fix=f"bottlegen down --name {name}")
