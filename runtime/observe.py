"""What a bottle was refused, kept from its egress log when it ends: only after `up --observe`, for this user alone.

Whatever goes wrong costs the record, and is never in the way of the bottle's removal.
"""

import hashlib
import os
import sys
import time
from pathlib import Path

from bottlegen.bundle import read
from bottlegen.errors import BottlegenError, HostError
from bottlegen.observed import Observed, add_run, from_json, to_json
from runtime.audit.lines import lines
from runtime.base import Runtime
from runtime.locking import locked
from runtime.state import State

_FLUSHED_SECONDS = 0.5
"""The sidecar writes audit lines every 0.2 s (`--file-flush-interval-msec`), and nothing tells when it has."""


def mark(bottle: str, profile: Path | None, state: State) -> None:
    """Remember that the run of `bottle` is observed for this profile; None forgets what an earlier run left."""
    place = state.observed_mark(bottle)
    try:
        place.unlink(missing_ok=True)
        if profile:
            _write(place, os.fsencode(profile.resolve()))
    except OSError as e:
        raise HostError(f"cannot write '{place}': {e.strerror}", fix=f"look at it: ls -l '{place.parent}'") from e


def collect(bottle: str, runtime: Runtime, state: State) -> None:
    """Add the run of `bottle`, where this runtime still has it, to what is known of its profile, if it is observed."""
    place = state.observed_mark(bottle)
    if not place.is_file():
        return
    try:
        if not any(status.bottle == bottle for status in runtime.list()):
            return
        profile = Path(os.fsdecode(place.read_bytes()))
        routes = read(state.bundle(bottle)).data("routes.json")
        time.sleep(_FLUSHED_SECONDS)
        record = record_of(profile, state)
        record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(record.parent):
            before = load(profile, state) or Observed()
            audit = (line.fields for line in lines(runtime.logs(bottle, "egress", follow=False)))
            _write(record, to_json(add_run(before, routes, audit)))
        place.unlink()  # once is enough
    except (BottlegenError, OSError) as e:
        print(f"warning: what bottle {bottle} was refused is not recorded: {e}", file=sys.stderr)


def record_of(profile: Path, state: State) -> Path:
    """Where the record of a profile is: two projects may both have one of that name."""
    digest = hashlib.sha256(os.fsencode(profile.resolve())).hexdigest()
    return state.root / "observed" / f"{profile.stem}-{digest[:16]}.json"


def load(profile: Path, state: State) -> Observed | None:
    """What is known of a profile; None when no run of it was observed."""
    record = record_of(profile, state)
    try:
        return from_json(record.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as e:
        raise HostError(
            f"the record '{record}' cannot be read: {getattr(e, 'strerror', None) or e}",
            fix=f"bottlegen suggest --profile {profile.stem} --forget",
        ) from e


def forget(profile: Path, state: State) -> bool:
    """Remove what is known of a profile; False when there was nothing."""
    record = record_of(profile, state)
    if not record.exists():
        return False
    record.unlink()
    return True


def _write(path: Path, data: bytes) -> None:
    """Replace a file at once; only this user reads it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f".{path.name}-{os.getpid()}")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    new.replace(path)
