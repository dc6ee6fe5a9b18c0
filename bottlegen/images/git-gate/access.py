"""Asked by git daemon before it serves (--access-hook): brings the mirror up to date, or says in one line why not."""

import subprocess
import sys
from pathlib import Path

import audit
import mirror
from settings import current
from upstream import Unreachable


def main() -> int:
    service, path = sys.argv[1:3]
    settings = current()
    remote = next(remote for remote in settings.remotes if remote.name == Path(path).name)
    method = "PUSH" if service == "receive-pack" else "FETCH"
    if method == "PUSH" and not (remote.push or remote.tags):
        rule = f'profile "{settings.profile}", git.remotes "{remote.name}": push = []'
        print(f"git-gate: this remote is read-only; rule: {rule}")
        audit.write(method, "deny", remote, status="refused", rule="push = []")
        return 1
    try:
        mirror.sync(settings, remote)
    except (Unreachable, OSError, subprocess.SubprocessError) as e:
        said = str(e) if isinstance(e, Unreachable) else "the gate's own copy cannot be brought up to date"
        print(f"git-gate: {said}")
        audit.write(method, "allow", remote, status="failed", details=said)
        return 1
    if method == "FETCH":
        audit.write(method, "allow", remote, status="served")
    return 0


if __name__ == "__main__":
    sys.exit(main())
