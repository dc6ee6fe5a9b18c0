"""The other side of probes.py: TCP and UDP on every address of this host, which answer whoever comes."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

PROBES = (Path(__file__).parent / "probes.py").read_text()
ANSWER = "probe-answer"


@contextlib.contextmanager
def ports() -> Iterator[tuple[str, str]]:
    """The TCP and the UDP port, of both families."""
    with _on_every_address(socket.SOCK_STREAM) as tcp, _on_every_address(socket.SOCK_DGRAM) as udp:
        tcp.listen()
        greet(tcp)
        threading.Thread(target=_echo, args=(udp,), daemon=True).start()
        yield str(tcp.getsockname()[1]), str(udp.getsockname()[1])


def greet(server: socket.socket) -> None:
    """Answer every connection to a listening socket, until that is closed."""
    threading.Thread(target=_greet, args=(server,), daemon=True).start()


def _on_every_address(kind: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, kind)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", 0))
    return sock


def _greet(server: socket.socket) -> None:
    while True:
        try:
            stream, _ = server.accept()
        except OSError:
            return
        stream.sendall(ANSWER.encode())
        stream.close()


def _echo(server: socket.socket) -> None:
    while True:
        try:
            _, peer = server.recvfrom(64)
            # From the address that was asked, which a wildcard socket may not choose: peers accept any source here.
            server.sendto(ANSWER.encode(), peer)
        except OSError:
            return
