"""git's unpacking of a push, cut off before it fills the disk: the agent reads which rule that was, as for any other.

The hook measures and explains what is over the limit; this is for what is so far over it that it is not taken in.
"""

import os
import subprocess
import sys
from pathlib import Path

import audit
import mirror
import rules
from settings import GIT_VARIABLE, current

_CUT_OFF = b"exceeds maximum allowed size"
"""Of index-pack, in the C locale that the gate sets."""


def main() -> int:
    done = subprocess.run([os.environ[GIT_VARIABLE], *sys.argv[1:]], stderr=subprocess.PIPE, check=False)
    if done.returncode and _CUT_OFF in done.stderr:
        _explain()
    else:
        sys.stderr.buffer.write(done.stderr)
    return done.returncode if done.returncode >= 0 else 128


def _explain() -> None:
    settings = current()
    remote = next(remote for remote in settings.remotes if remote.name == Path.cwd().name)
    rule = f"max_size = {remote.max_size}"
    what = f"the push has more than {mirror.most(remote)} bytes, and the rest was not looked at"
    print(rules.message(settings.profile, remote, [rules.Refusal(what, rule)]), file=sys.stderr)
    audit.write("PUSH", "deny", remote, status="refused", rule=rule, details=what)


if __name__ == "__main__":
    sys.exit(main())
