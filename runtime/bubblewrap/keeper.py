"""Holds one service of a bottle on the host: starts it, keeps a bounded log of it, and writes down how it ended.

It takes its order from its folder and needs nothing else. When it ends, the service ends: nothing runs unheld.
"""

import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LISTENER, FILTER, INFO, DOORS = 60, 61, 62, 63
"""File descriptors that the order's command line counts on, above any that are open here; every door has one from
DOORS on."""

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_SET_FLAGS, _UP = 0x8914, 1
"""SIOCSIFFLAGS and IFF_UP, netdevice(7)."""

_LOG_BYTES = 32 * 1024 * 1024
_CHUNK = 65536


def identity(pid: int) -> dict[str, Any]:
    """What tells this process from a later one with the same number: its start, in ticks of this boot."""
    stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    start = stat.rpartition(")")[2].split()[19]  # field 22 of proc_pid_stat(5), counted from the state
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"pid": pid, "start": start, "boot": boot}


def write(path: Path, value: Any) -> None:
    """Whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(value))
    new.replace(path)


class Log:
    """At most two files of 32 MB: what comes, and what came before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)

    def write(self, data: bytes) -> None:
        if self._file.tell() + len(data) > _LOG_BYTES:
            self._file.close()
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._file = self._path.open("ab", buffering=0)
        self._file.write(data)


def keep(folder: Path, order: Mapping[str, Any]) -> None:
    """Start the service and stay until it ends."""
    running = [identity(os.getpid())]
    write(folder / "running", running)
    leash, _held = os.pipe()
    report, reports = os.pipe()
    doors = range(DOORS, DOORS + len(order["doors"]))
    given = {LISTENER: order["listener"], FILTER: _filter(order), INFO: reports} | dict.fromkeys(doors, leash)
    if order["open"]:
        given[DOORS] = order["open"]
    for number, descriptor in given.items():
        os.dup2(descriptor, number)
    child = subprocess.Popen(
        order["argv"], stdin=leash, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, close_fds=True,
        pass_fds=tuple(given), cwd="/", env={}, preexec_fn=lambda: _enter(order),  # noqa: PLW1509 - no threads here
    )  # fmt: skip
    for descriptor in {*given, *given.values()}:
        os.close(descriptor)
    running.append(identity(child.pid))
    write(folder / "running", running)
    with os.fdopen(report, "rb") as stream:
        told = stream.read()
    if told:
        try:
            running.append(identity(json.loads(told)["child-pid"]))
            write(folder / "running", running)
        except FileNotFoundError:
            pass  # over already
    assert child.stdout is not None
    _copy(child.stdout.fileno(), child.pid, Log(folder / "log"))
    write(folder / "exit", child.wait() & 0xFF)


def _copy(output: int, pid: int, log: Log) -> None:
    """Write down what is printed, until the process `pid` ends: it is bwrap, and its end alone does not always end what
    it has started, while the end of this keeper does."""
    os.set_blocking(output, False)
    poll = select.poll()
    poll.register(output, select.POLLIN)
    poll.register(os.pidfd_open(pid), select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        try:
            while data := os.read(output, _CHUNK):
                log.write(data)
            return
        except BlockingIOError:
            if ready != {output}:
                return


def _filter(order: Mapping[str, Any]) -> int:
    return os.open(order["filter"], os.O_RDONLY)


def _enter(order: Mapping[str, Any]) -> None:
    """In the child, before it becomes anything: counted from the beginning, and behind its doors where it has some."""
    for path in order["cgroups"]:
        Path(path, "cgroup.procs").write_text("0")
    if order["enclosed"]:
        _network(order["user"])
        for number, port in enumerate(order["doors"], DOORS):
            os.dup2(socket.create_server(("127.0.0.1", port), backlog=256).detach(), number)


def _network(user: list[int]) -> None:
    """A network of its own with nothing but loopback. Made here, not by bwrap: one of the doors is below 1024, which
    only who made the network may open, and bwrap puts a second user namespace on top. Empty `user` for root."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK | (_NEW_USER if user else 0)):
        raise OSError(ctypes.get_errno(), "no namespace for a network")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        for name, number in zip(("uid_map", "gid_map"), user, strict=True):
            Path("/proc/self", name).write_text(f"{number} {number} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))


def main() -> None:
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    folder = Path(sys.argv[1])
    try:
        lock = os.open(folder / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return  # the bottle was removed before this came to be
    fcntl.flock(lock, fcntl.LOCK_SH)
    if not os.fstat(lock).st_nlink:
        return
    order = json.loads((folder / "order").read_bytes())
    os.dup2(os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)  # for what goes wrong here
    keep(folder, order)


if __name__ == "__main__":
    main()
