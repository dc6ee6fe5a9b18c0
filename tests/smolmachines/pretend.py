"""A pretend engine of microVMs: what a machine shows its guest, made of namespaces of this host, and a monitor for it.

The guest's side and the host's are the product's own; only the wall between them is none. Needs root.
"""

import ctypes
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import smol

from bottlegen.plan import EGRESS_ADDRESS

PORTS = (1, 2, 22, 443, 3128)
"""Where the monitor listens for the guest; the true one listens everywhere."""

_NEW_NETWORK = 0x40000000
_ROOM = r"""
base=$1 mounts=$2; shift 2
mount --make-rprivate /
mount -t tmpfs tmpfs "$base"
mkdir "$base/upper" "$base/work" "$base/root"
root=$base/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/run"
while read -r mode source target; do
    mkdir -p "$root$target"
    mount --bind "$source" "$root$target"
    [ "$mode" = rw ] || mount -o remount,bind,ro "$root$target"
done < "$mounts"
ip link set lo up
ip addr add "$EGRESS"/32 dev lo
echo ready
read -r _
cd /
exec chroot "$root" "$@"
"""


class Machine:
    """One machine of the pretend engine, booted."""

    def __init__(self, config: smol.MachineConfig, folder: Path) -> None:
        self.config = config
        folder.mkdir()
        mounts = folder / "mounts"
        lines = [
            f"{'ro' if each.effective_read_only else 'rw'} {each.source} {each.target}\n"
            for each in config.mounts or ()
        ]
        mounts.write_text("".join(lines))
        (folder / "base").mkdir()
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-ec", _ROOM,
             "sh", str(folder / "base"), str(mounts), *(config.command or ())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "EGRESS": EGRESS_ADDRESS},
        )  # fmt: skip
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stdout.readline() == b"ready\n", (folder / "log").read_text()
        self._doors: list[socket.socket] = []
        self._in_network(self._listen)
        for door, port in zip(self._doors, PORTS, strict=True):  # by threads that are on this host's network
            threading.Thread(target=self._accept, args=(door, port), daemon=True).start()
        self.process.stdin.write(b"\n")
        self.process.stdin.close()

    @property
    def sizes(self) -> SimpleNamespace:
        resources = self.config.resources
        assert resources
        return SimpleNamespace(cpus=resources.cpus, memory_mib=resources.memory_mb)

    @property
    def first(self) -> int:
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def _in_network(self, act: Any) -> None:
        """`act` by a thread that is in the guest's network; what it opens stays there."""

        def enter() -> None:
            network = os.open(f"/proc/{self.first}/ns/net", os.O_RDONLY)
            ctypes.CDLL(None).setns(network, _NEW_NETWORK)
            os.close(network)
            act()

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()

    def _listen(self) -> None:
        for port in PORTS:
            self._doors.append(socket.create_server((EGRESS_ADDRESS, port), backlog=64))

    def _accept(self, door: socket.socket, port: int) -> None:
        with suppress(OSError):
            while True:
                guest, _ = door.accept()
                threading.Thread(target=self._pass_on, args=(guest, port), daemon=True).start()

    def _pass_on(self, guest: socket.socket, port: int) -> None:
        """As the monitor does: the preamble, one byte of answer, then bytes both ways."""
        binding = self.config.egress_interceptor
        assert binding
        host, _, number = binding.address.partition(":")
        head = (
            b"SMOLICPT\1"
            + bytes.fromhex(binding.token)
            + struct.pack("!BH", 4, port)
            + socket.inet_aton(EGRESS_ADDRESS)
        )
        with guest, suppress(OSError), socket.create_connection((host, int(number))) as far:
            far.sendall(head)
            if far.recv(1) == b"\0":
                back = threading.Thread(target=_copy, args=(far, guest), daemon=True)
                back.start()
                _copy(guest, far)
                back.join()
            else:
                guest.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def end(self) -> None:
        with suppress(OSError, IndexError):
            os.kill(self.first, 9)
        self.process.kill()
        self.process.wait()
        for door in self._doors:
            with suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)
            door.close()
        assert self.process.stdout
        self.process.stdout.close()
        self.log.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class Engine:
    """Stands in for the functions of runtime.smolmachines.engine that need machines; `folder` is where they are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.machines_by_name: dict[str, Machine] = {}

    def create(self, config: smol.MachineConfig) -> None:
        assert config.name
        assert config.name not in self.machines_by_name, config.name
        made = Machine(config, self._folder / f"{config.name}-{time.monotonic_ns()}")
        self.machines_by_name[config.name] = made

    def machines(self, labels: Mapping[str, str]) -> tuple[Any, ...]:
        return tuple(
            SimpleNamespace(
                name=name,
                labels=made.config.labels,
                state="running" if made.process.poll() is None else "stopped",
                resources=made.sizes,
            )
            for name, made in self.machines_by_name.items()
            if labels.items() <= (made.config.labels or {}).items()
        )

    def delete(self, name: str) -> None:
        if made := self.machines_by_name.pop(name, None):
            made.end()

    def denials(self, name: str) -> list[dict[str, Any]]:
        return []

    def close(self) -> None:
        for name in [*self.machines_by_name]:
            self.delete(name)
