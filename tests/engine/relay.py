"""The local engine behind a TCP port of loopback."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def relay() -> Iterator[str]:
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(server,), daemon=True).start()
    try:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)  # a thread that waits in accept is not woken by a close
        server.close()


def _serve(server: socket.socket) -> None:
    while True:
        try:
            near, _ = server.accept()
        except OSError:
            return
        far = socket.socket(socket.AF_UNIX)
        far.connect("/var/run/docker.sock")
        threading.Thread(target=_both, args=(near, far), daemon=True).start()


def _both(near: socket.socket, far: socket.socket) -> None:
    """Closed when both directions have ended, rather than by the garbage collector in a later test."""
    with near, far:
        back = threading.Thread(target=_copy, args=(far, near), daemon=True)
        back.start()
        _copy(near, far)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
