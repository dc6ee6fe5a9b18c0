"""git's credential helper: the slot's present value from memory, for the one host that it is for, through a pipe.

`python3 credential.py REMOTE get` (gitcredentials(7)); what git wants stored or erased is not its to decide.
"""

import sys

from settings import current
from upstream import Route


def main() -> None:
    name, action = sys.argv[1:3]
    asked = dict(line.rstrip("\n").split("=", 1) for line in sys.stdin if "=" in line)
    settings = current()
    remote = next(remote for remote in settings.remotes if remote.name == name)
    if action != "get" or not remote.slot or remote.transport != "https":
        return
    if (asked.get("protocol"), asked.get("host")) != ("https", Route(settings, remote).authority):
        return
    value = settings.credential(remote.slot).read_text()
    if value:
        print(f"username={remote.username}\npassword={value}")


if __name__ == "__main__":
    main()
