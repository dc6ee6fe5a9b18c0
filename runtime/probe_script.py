"""Runs inside of the agent, as its user and in its network: tries ways out, says how each ended, judges nothing.

The standard library alone, for it is sent as text: an agent's image holds nothing of bottlegen. No attempt carries data
but a word of its own, and none is repeated.
"""

import errno
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SECONDS = 4.0
"""A neighbour that nobody is takes three to be given up on (ARP, three tries a second apart)."""

SCAN_SECONDS = 0.3
SEARCH_SECONDS = 3.0
LARGEST = 65536
_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETDOWN)
_CLOSED = (errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE)


def outcome(error: int) -> str:
    if error in _NO_WAY:
        return "unreachable"
    if error in _CLOSED:
        return "refused"
    if error in (errno.EPERM, errno.EACCES):
        return "forbidden"
    return errno.errorcode.get(error, str(error))


class Attempt:
    """One socket on its way, or its `result` when that is known."""

    def __init__(self, name: str, kind: str, address: str, port: int) -> None:
        self.name, self.kind, self.result = name, kind, ""
        self.began = time.monotonic()
        self.connected = False
        self.sock: socket.socket | None = None
        try:
            self.sock = self._opened(address, port)
        except OSError as e:
            self.result = outcome(e.errno or 0)

    def _opened(self, address: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        ping = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
        sort = socket.SOCK_STREAM if self.kind == "tcp" else socket.SOCK_DGRAM
        sock = socket.socket(family, sort, ping if self.kind == "icmp" else 0)
        sock.setblocking(False)
        error = sock.connect_ex((address, port))
        if error not in (0, errno.EINPROGRESS):
            sock.close()
            raise OSError(error, "")
        if self.kind != "tcp":
            sock.send(self._word(family))
        return sock

    def _word(self, family: int) -> bytes:
        if self.kind == "dns":
            labels = b"".join(bytes([len(part)]) + part for part in (os.urandom(8).hex().encode(), b"invalid"))
            return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"
        if self.kind == "icmp":
            begin = 8 if family == socket.AF_INET else 128
            return struct.pack("!BBHHH", begin, 0, ~((begin << 8) + 1) & 0xFFFF, 0, 1)
        return b"bottlegen probe"

    def look(self) -> None:
        """What came: an error, an answer, or for TCP the connection and then perhaps its end."""
        assert self.sock is not None
        if error := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.result = outcome(error)
            return
        if self.kind == "tcp" and not self.connected:
            self.connected, self.began = True, time.monotonic()
            return
        try:
            data = self.sock.recv(512)
        except BlockingIOError:
            return
        except OSError as e:
            self.result = outcome(e.errno or 0)
            return
        self.result = self._answer(data)

    def _answer(self, data: bytes) -> str:
        if self.kind == "tcp":
            return "connected" if data else "closed"
        if self.kind == "dns" and len(data) > 3:  # RFC 1035, 4.1.1: who has nobody to ask says SERVFAIL or REFUSED
            return {0: "answered", 3: "no such name"}.get(data[3] & 15, "no answer")
        return "answered"

    def settle(self, stays: float) -> None:
        """A connection that is there after `stays` seconds is one; what says nothing until the end is silence."""
        if time.monotonic() - self.began > (stays if self.connected else SECONDS):
            self.result = "connected" if self.connected else "silence"


def attempts(wanted: list[list[object]], stays: float, ends: float) -> dict[str, str]:
    """All at once in one thread: an agent may have no tasks to spare. A door counts as open when its connection `stays`
    so many seconds, anything else when nobody `ends` it in so many."""
    made = [Attempt(str(name), str(kind), str(address), int(str(port))) for name, kind, address, port in wanted]
    while waiting := [each for each in made if not each.result]:
        poll = select.poll()
        by_number = {each.sock.fileno(): each for each in waiting if each.sock}
        for number, each in by_number.items():
            begins = each.kind == "tcp" and not each.connected
            poll.register(number, select.POLLOUT if begins else select.POLLIN)
        for number, _ in poll.poll(50):
            by_number[number].look()
        for each in waiting:
            if not each.result:
                each.settle(stays if each.name.startswith("door ") else ends)
    for each in made:
        if each.sock:
            each.sock.close()
    return {each.name: each.result for each in made}


def open_ports(address: str, ports: list[int]) -> list[int]:
    found = []
    for port in ports:
        with socket.socket(socket.AF_INET) as sock:
            sock.settimeout(SCAN_SECONDS)
            if sock.connect_ex((address, port)) == 0:
                found.append(port)
    return found


def loopback() -> dict[str, str]:
    """The controls: the same attempts where they can succeed, at a listener of this very process."""
    listener, receiver = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    tcp = Attempt("tcp", "tcp", "127.0.0.1", listener.getsockname()[1])
    udp = Attempt("udp", "udp", "127.0.0.1", receiver.getsockname()[1])
    stream, _ = listener.accept()
    stream.sendall(b"here")
    receiver.settimeout(SECONDS)
    data, peer = receiver.recvfrom(64)
    receiver.sendto(data, peer)
    found = {"tcp": _soon(tcp), "udp": _soon(udp), **attempts([["icmp", "icmp", "127.0.0.1", 0]], 0, 0)}
    for sock in (listener, receiver, stream):
        sock.close()
    return found


def _soon(attempt: Attempt) -> str:
    assert attempt.sock is not None
    attempt.sock.setblocking(True)
    attempt.sock.settimeout(SECONDS)
    return "answered" if attempt.sock.recv(64) else "closed"


def resolvers() -> list[str]:
    try:
        words = [line.split() for line in Path("/etc/resolv.conf").read_text().splitlines()]
    except OSError:
        return []
    return [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]


def neighbours() -> list[str]:
    """Who answered for an address of this network, so that something could be handed to it (the flag ATF_COM)."""
    try:
        lines = [line.split() for line in Path("/proc/net/arp").read_text().splitlines()[1:]]
    except OSError:
        return []
    return [line[0] for line in lines if int(line[2], 16) & 2]


def writable(paths: list[str]) -> list[str]:
    """Those that are not, or no longer, on a mount that is read-only."""
    return [path for path in paths if not _read_only(path)]


def _read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def search(value: str, folders: list[str]) -> list[str]:
    """Where the bytes of `value` can be read: variables and words of every process, and small files of its own."""
    end = time.monotonic() + SEARCH_SECONDS
    found = []
    for path in (*_of_processes(), *_files(folders, end)):
        if time.monotonic() > end:
            break
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            with os.fdopen(handle, "rb") as file:
                if value.encode() in file.read(LARGEST):
                    found.append(path)
        except OSError:
            continue
    return found


def _of_processes() -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        yield f"{process}/environ"
        yield f"{process}/cmdline"


def _files(folders: list[str], end: float) -> Iterator[str]:
    for folder in folders:
        for path, _, names in os.walk(folder):
            if time.monotonic() > end:
                return
            yield from (f"{path}/{name}" for name in names)


def canary(halves: list[str], folders: list[str]) -> dict[str, object]:
    """The value comes in halves, so that this process is no place where it stands; beside it a value that is there."""
    planted = f"{folders[0]}/.probe-{os.getpid()}"
    control = os.urandom(16).hex()
    handle = os.open(planted, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, control.encode())
        return {"control": planted in search(control, folders[:1]), "found": search("".join(halves), folders)}
    finally:
        os.close(handle)
        Path(planted).unlink()


def main() -> None:
    told = json.loads(sys.argv[1])
    dns = [[f"dns {server}", "dns", server, 53] for server in resolvers()]
    tried = attempts([*told["attempts"], *dns], told["stays"], told["ends"])
    result: dict[str, object] = {"control": loopback(), "attempts": tried}
    result["writable"] = writable(told["read_only"])
    result["neighbours"] = neighbours()
    result["scan"] = {address: open_ports(address, ports) for address, ports in told["scan"].items()}
    result["canary"] = canary(told["canary"], told["folders"])
    print(json.dumps(result))


main()
