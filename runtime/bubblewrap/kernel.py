"""What the kernel says of a process of this host (proc(5)): read anew each time, and never asked of the process."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mount as a process sees it: `kind` is its file system's."""

    path: str
    kind: str
    read_only: bool


def status(pid: int) -> dict[str, list[str]]:
    """The fields of /proc/PID/status, each as words."""
    lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


def mounts(pid: int | str) -> Iterator[Mount]:
    """In the order of mountinfo: of two at one path, the later covers the earlier."""
    for line in Path(f"/proc/{pid}/mountinfo").read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        kind, _, options = after.split(maxsplit=2)
        read_only = "ro" in fields[5].split(",") or "ro" in options.split()[-1].split(",")
        yield Mount(path=_unescaped(fields[4]), kind=kind, read_only=read_only)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)


def namespace(pid: int | str, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{kind}")  # noqa: PTH115 - the link leads to no file


def interfaces(pid: int) -> list[str]:
    lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    return [line.partition(":")[0].strip() for line in lines]


def command_line(pid: int) -> list[str]:
    data = Path(f"/proc/{pid}/cmdline").read_bytes()
    return [part.decode(errors="surrogateescape") for part in data.split(b"\0")[:-1]]


def groups(pid: int) -> dict[str, str]:
    """By controller, `` for the unified hierarchy."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return {
        name: path for _, controllers, path in (line.split(":", 2) for line in lines) for name in controllers.split(",")
    }


def bounds(pid: int) -> dict[str, str]:
    """Soft and hard limits by the names of /proc/PID/limits."""
    found = {}
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]:
        name, soft, hard = re.split(r"\s{2,}", line.rstrip())[:3]
        found[name] = soft if soft == hard else f"{soft} {hard}"
    return found
