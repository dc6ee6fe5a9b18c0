"""Holds one service of a bottle on the host: starts it, keeps a bounded log of it, and writes down how it ended.

It takes its order from its folder and needs nothing else. When it ends, the service ends: nothing runs unheld.
"""

import contextlib
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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.audit.writer import Writer

LISTENER, FILTER, INFO, DOORS = 60, 61, 62, 63
"""File descriptors that the order's command line counts on, above any that are open here; every door has one from
DOORS on."""

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_SET_FLAGS, _UP = 0x8914, 1
"""SIOCSIFFLAGS and IFF_UP, netdevice(7)."""

_LOG_BYTES = 32 * 1024 * 1024
_CHUNK = 65536
_TICK = 1000
"""Milliseconds until the audit's writer is asked what time brings, where it has something to come back for."""


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
        """As far as there is room: this is for people who look, and no reason to end what they look at."""
        with contextlib.suppress(OSError):
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self._file.tell() + len(data) > _LOG_BYTES:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            full, self._file = self._file, self._path.open("ab", buffering=0)
            full.close()
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
    if order["audit"]:
        _audited(child, folder, order["audit"])
    else:
        _copy(child, Log(folder / "log").write)
    with contextlib.suppress(OSError):  # without this note it counts as dead, which is no better
        write(folder / "exit", child.wait() & 0xFF)


def _audited(child: "subprocess.Popen[bytes]", folder: Path, told: Mapping[str, Any]) -> None:
    """Also write the audit of what the service decides, whose way out is closed when that fails."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from runtime.audit.writer import Failed, Order, Writer

    lock = os.open(Path(told["folder"], "writing"), os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    log, writer = Log(folder / "log"), Writer(Order(**told))

    def take(data: bytes) -> None:
        log.write(data)
        if not told["tail"]:
            writer.feed(data)

    try:
        writer.begin()
        (folder / "recording").touch()  # no start goes on before
        _copy(child, take, writer)
        writer.end()
    except (Failed, OSError) as e:
        child.kill()
        log.write(f"the way out is closed, as the audit cannot be written: {e}\n".encode())
        _close_others(folder)
        writer.end("closed", str(e))


def _close_others(folder: Path) -> None:
    """End the bottle's other sidecars: none is a way out that nobody writes about."""
    for path in folder.parent.iterdir():
        if path.name in ("agent", folder.name):
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            held = json.loads((path / "running").read_text())[1]
            if identity(held["pid"]) == held:
                os.kill(held["pid"], signal.SIGKILL)


def _copy(child: "subprocess.Popen[bytes]", take: Callable[[bytes], None], writer: "Writer | None" = None) -> None:
    """Take down what is printed, until the process ends: it is bwrap, and its end alone does not always end what
    it has started, while the end of this keeper does."""
    assert child.stdout is not None
    output = child.stdout.fileno()
    os.set_blocking(output, False)
    poll = select.poll()
    poll.register(output, select.POLLIN)
    poll.register(os.pidfd_open(child.pid), select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll(_TICK if writer and writer.waits else None)}
        if writer:
            writer.tick()
        try:
            while data := os.read(output, _CHUNK):
                take(data)
            return
        except BlockingIOError:
            if ready - {output}:
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
