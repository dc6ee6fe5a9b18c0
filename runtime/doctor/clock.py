"""Whether this host's clock can be right: nothing that exists was made in the future, and the world's CAs still hold.

No network is asked. A clock that is wrong by minutes is not found; certificates and logins then still work.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from runtime.doctor.finding import Finding

_SLACK = 3600
"""Seconds that a file may be ahead: other machines write to shared disks."""

_TIMESYNC = Path("/run/systemd/timesync")
_FIX = "timedatectl status; sudo timedatectl set-ntp true"
_WHY = "certificates and logins are judged by it: a wrong clock refuses good ones, or takes old ones"


def clock(now: float, witnesses: Iterable[Path], ends: Sequence[float], timesync: Path = _TIMESYNC) -> list[Finding]:
    """`now` in seconds since the epoch; `witnesses` are files that were made before now, `ends` when each
    trusted certificate ends."""
    for path in witnesses:
        if (made := _made(path)) > now + _SLACK:
            what = f"the clock says {_day(now)}, but '{path}' was made on {_day(made)}"
            return [Finding(level="problem", area="clock", what=what, why=_WHY, fix=_FIX)]
    ended = sum(end < now for end in ends)
    if ended * 2 > len(ends):
        what = f"the clock says {_day(now)}, when {ended} of {len(ends)} trusted authorities have expired"
        return [Finding(level="problem", area="clock", what=what, why=_WHY, fix=_FIX)]
    if timesync.is_dir() and not (timesync / "synchronized").exists():
        what = f"the clock says {_day(now)} and was not set from the network since this host started"
        return [Finding(level="warn", area="clock", what=what, why=_WHY, fix=_FIX)]
    return [Finding(level="ok", area="clock", what=f"the clock says {_day(now)}, which nothing here contradicts")]


def _made(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _day(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return f"second {seconds:.0f}"
