"""Clients as an agent would use them: curl, and raw bytes over a tunnel for what curl would not send."""

import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from tests.dataplane.sidecar import Sidecar


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    closes: bool = False

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    def header(self, name: str) -> list[str]:
        """Values of a request header as the upstream saw it."""
        return [value for key, value in self.json()["headers"] if key == name]


class Door(Protocol):
    """A proxy on loopback: its port, and the file of the authority that its client trusts."""

    @property
    def proxy(self) -> int: ...

    @property
    def ca(self) -> Path: ...


def curl(sidecar: Door, url: str, *arguments: str, seconds: int = 20, trust: Path | None = None) -> Answer:
    """One request through the proxy; the status of the last answer, or of the CONNECT when that was refused.

    `trust` stands in for the proxy's own authority.
    """
    command = (
        "curl", "-sS", "--path-as-is", "--max-time", str(seconds), "-x", f"http://127.0.0.1:{sidecar.proxy}",
        "--cacert", str(trust or sidecar.ca), "-w", "\n%{http_code} %{http_connect}", *arguments, url,
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.defpath})
    text, _, codes = done.stdout.rpartition("\n")
    final, connect = (int(code) for code in codes.split())
    return Answer(status=final or connect, text=text or done.stderr)


def exchange(port: int, data: bytes) -> bytes:
    """Send raw bytes to a port on loopback; everything that comes back until the peer closes or is silent for 2 s."""
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(data)
        return read_all(sock)


def is_hung_up_on(port: int, data: bytes) -> bool:
    """Whether the peer closes, without a byte in answer, within 5 s."""
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(data)
        try:
            return sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def read_all(sock: socket.socket) -> bytes:
    sock.settimeout(2)
    received = b""
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while data := sock.recv(65536):
            received += data
    return received


class Tunnel:
    """A TLS connection to `host` through CONNECT; `sni` and `target` may differ from it to try what must not work."""

    def __init__(self, sidecar: Sidecar, host: str, *, port: int = 443, sni: str = "", version: str = "1.1") -> None:
        self.sock = socket.create_connection(("127.0.0.1", sidecar.proxy), 5)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each handshake waits 40 ms for an ACK
        self.sock.sendall(f"CONNECT {host}:{port} HTTP/{version}\r\nHost: {host}:{port}\r\n\r\n".encode())
        head = self._head(self.sock)
        self.status = int(head.split()[1])
        if self.status == 200:
            context = ssl.create_default_context(cafile=sidecar.ca)
            context.set_alpn_protocols(["http/1.1"])
            self.tls = context.wrap_socket(self.sock, server_hostname=sni or host)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()
        if hasattr(self, "tls"):
            self.tls.close()

    def request(self, data: bytes) -> Answer:
        """One request, raw; its answer, read by Content-Length."""
        self.tls.sendall(data)
        head = self._head(self.tls)
        if not head:
            return Answer(status=0, text="")
        stated = re.search(r"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        length = int(stated[1]) if stated and not data.startswith(b"HEAD ") else 0
        body = b""
        while len(body) < length:
            body += self.tls.recv(length - len(body))
        closes = re.search(r"\r\nconnection: *close", head, re.IGNORECASE) is not None
        return Answer(status=int(head.split()[1]), text=body.decode(), closes=closes)

    @staticmethod
    def _head(sock: socket.socket) -> str:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            data = sock.recv(1)
            if not data:
                break
            head += data
        return head.decode("latin-1")


def get(path: str, host: str, *headers: str, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def write_file(path: Path, size: int) -> Path:
    path.write_bytes(b"x" * size)
    return path
