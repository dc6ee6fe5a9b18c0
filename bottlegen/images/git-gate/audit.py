"""Audit lines of the gate: one JSON object for each fetch and push, with refs and the slot's name, never a value."""

import json
import os
import time
from collections.abc import Sequence
from datetime import datetime, timezone

from settings import AUDIT_VARIABLE, SINCE_VARIABLE, Remote

MOST_REFS = 50
_LONGEST = 300


def write(
    method: str,
    decision: str,
    remote: Remote,
    *,
    status: str,
    refs: Sequence[str] = (),
    rule: str = "",
    details: str = "",
) -> None:
    """One line on the gate's own output. `decision` is allow or deny, `status` what became of it."""
    now = datetime.now(timezone.utc)  # noqa: UP017 - the python of a native host may be older
    line = {
        "ts": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "bottle": os.environ.get("BOTTLEGEN_BOTTLE", ""),
        "bundle": os.environ.get("BOTTLEGEN_BUNDLE", ""),
        "event": "git",
        "decision": decision,
        "method": method,
        "host": remote.host,
        "path": remote.path,
        "remote": remote.name,
        "slot": remote.slot or None,
        "refs": [ref[:_LONGEST] for ref in refs[:MOST_REFS]],
        "rule": rule or None,
        "status": status,
        "details": details[:_LONGEST] or None,
        "ms": round((time.monotonic() - float(os.environ.get(SINCE_VARIABLE, "0"))) * 1000),
    }
    os.write(int(os.environ[AUDIT_VARIABLE]), (json.dumps(line) + "\n").encode())
