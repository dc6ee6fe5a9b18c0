"""One service of a bottle brought to life: its folder, its first process's orders, and the keeper that holds it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from resource import RLIMIT_CORE, RLIMIT_DATA, RLIMIT_NPROC
from typing import Any

from bottlegen.manifest import Limits
from bottlegen.plan import HOME
from runtime.audit.writer import Order
from runtime.bubblewrap import cgroup, client, command, keeper
from runtime.bubblewrap.records import Folder
from runtime.host import split_address
from runtime.sidecars.begin import EXTRA_CA
from runtime.workspace import Bind

PATH = "/opt/agent/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that is about to start; `group` names its control groups."""

    folder: Folder
    name: str
    group: str
    limits: Limits

    @property
    def path(self) -> Path:
        return self.folder.service(self.name)

    @property
    def launch(self) -> Path:
        return self.path / "launch"


def rlimits(limits: Limits, *, grouped: bool) -> list[tuple[int, int]]:
    """No core dumps; without control groups the manifest's bounds besides, as far as a process can carry them.

    Processes are counted by user: for a user's bottle in its own user namespace, for root's on the whole host, where
    the processes of other bottles, and of a real user of that number, would count too."""
    if grouped:
        return [(RLIMIT_CORE, 0)]
    tasks = [(RLIMIT_NPROC, limits.pids)] if os.geteuid() else []
    return [(RLIMIT_CORE, 0), *tasks, (RLIMIT_DATA, limits.memory)]


def begin(service: Service) -> None:
    """The service's folder; the keeper comes with `hold`."""
    service.path.mkdir(mode=0o700)
    (service.path / "lock").touch(mode=0o600)


def tell(service: Service, launch: Mapping[str, Any]) -> None:
    """Write down what its first process reads."""
    service.launch.write_text(json.dumps(launch))


def hold(
    service: Service,
    argv: Sequence[str],
    doors: Sequence[int] = (),
    *,
    enclosed: bool,
    opened: socket.socket | None = None,
    audit: Order | None = None,
) -> None:
    """Start the keeper, which starts the service; both go on when this process ends.

    An enclosed service has a network of its own with nothing in it but `doors`, ports that are open from the start.
    `opened` is a listening socket of this host's that a service without doors has in their place. `audit` is what the
    keeper writes down of what the service prints.
    """
    groups = cgroup.paths(service.group) if cgroup.possible() else []
    (service.path / "groups").write_text(json.dumps(groups))  # first: who removes the bottle must know of them
    if groups:
        cgroup.make(groups, service.limits)
    with client.listen(service.path) as listener:
        order = {
            "argv": list(argv),
            "listener": listener.fileno(),
            "filter": str(service.folder.path / "filter"),
            "cgroups": groups,
            "doors": list(doors),
            "enclosed": enclosed,
            "open": opened.fileno() if opened else 0,
            "audit": audit.document() if audit else None,
            "user": [os.geteuid(), os.getegid()] if os.geteuid() else [],
        }
        (service.path / "order").write_text(json.dumps(order))
        started = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(keeper.__file__)), str(service.path)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/", env={},
            pass_fds=(listener.fileno(), *([opened.fileno()] if opened else [])),
        )  # fmt: skip
    started.returncode = 0  # it outlives this process by design; who removes the bottle reaps it


def free_port() -> int:
    """A port of this host's loopback that nobody has. Whoever takes it first makes the start fail, and learns nothing:
    what is sent there is TLS to names that he cannot prove to have."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def hosts(service: Service) -> Path:
    """The names and addresses of a sidecar, where host.toml fixes some."""
    return service.path / "hosts"


def write_hosts(service: Service, static_hosts: Sequence[tuple[str, str]]) -> None:
    """This host's own names and addresses, and before them those that host.toml fixes."""
    path = hosts(service)
    own = Path("/etc/hosts")
    fixed = "".join(f"{split_address(target, 443)[0]} {name}\n" for name, target in static_hosts)
    path.write_text(fixed + (own.read_text(errors="replace") if own.exists() else ""))
    path.chmod(0o644)


def own(service: Service, scratch: Sequence[str]) -> list[Bind]:
    """What a sidecar has on disk: its scratch, which goes with the bottle, and the one line that names its user."""
    passwd = Bind(source=service.path / "passwd", target="/etc/passwd", read_only=True)
    folders = (Bind(source=service.path / f"scratch-{index}", target=path) for index, path in enumerate(scratch))
    return [passwd, *folders]


def make_own(service: Service, uid: int, gid: int, scratch: Sequence[str]) -> None:
    """Put there what `own` mounts."""
    passwd, *folders = own(service, scratch)
    passwd.source.write_text(f"{service.name}:x:{uid}:{gid}::/:/bin/false\n")
    passwd.source.chmod(0o644)
    for folder in folders:
        folder.source.mkdir(mode=0o700)


def etc(service: Service) -> Path:
    """The made-up files of the agent's /etc."""
    return service.path / "etc"


def trust(into: str) -> dict[str, object]:
    """What a first process joins into the file `into`: this system's roots and, beside it, what the host adds."""
    return {"of": [command.ROOTS, f"{into.rpartition('/')[0]}/{EXTRA_CA}"] if into else [], "into": into}


def groups_of(folder: Folder, service: str) -> list[str]:
    try:
        return [str(path) for path in json.loads((folder.service(service) / "groups").read_text())]
    except (FileNotFoundError, ValueError):
        return []


def write_etc(folder: Path, *, bottle: str, uid: int, gid: int, names: Sequence[str]) -> None:
    """The few files of /etc that are made up: one user, and every name that there is at this bottle's own doors."""
    files = {
        "passwd": f"root:x:0:0::/root:/bin/sh\nagent:x:{uid}:{gid}::{HOME}:/bin/bash\n",
        "group": f"root:x:0:\nagent:x:{gid}:\n",
        "hosts": "".join(f"127.0.0.1 {name}\n" for name in ("localhost", *names)),
        "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\nsearch .\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
        "hostname": f"{bottle}\n",
    }
    folder.mkdir(mode=0o700)
    for name, text in files.items():
        path = folder / name
        path.write_text(text)
        path.chmod(0o644)


def owner(workspace: tuple[int, int] | None) -> tuple[int, int]:
    """Who the agent is: the workspace's owner for a caller who is root, else the caller."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    return workspace if workspace and workspace[0] != 0 else (1000, 1000)
