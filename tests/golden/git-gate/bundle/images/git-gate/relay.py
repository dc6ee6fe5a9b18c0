"""The proxy's unix socket as a port of loopback: git can use a proxy at an address alone. Bytes pass as they are."""

import contextlib
import socket
import threading

_CHUNK = 1 << 18


def offered(proxy: str) -> str:
    """`address:port` of the proxy; a unix socket's is one of this network's loopback, where nobody but the gate is."""
    if not proxy.startswith("/"):
        return proxy
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, proxy), daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}"


def _accept(listener: socket.socket, path: str) -> None:
    while True:
        near, _ = listener.accept()
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(path)
        except OSError:
            near.close()
            far.close()
            continue
        threading.Thread(target=_both, args=(near, far), daemon=True).start()


def _both(near: socket.socket, far: socket.socket) -> None:
    with near, far:
        back = threading.Thread(target=_copy, args=(far, near), daemon=True)
        back.start()
        _copy(near, far)
        back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Until one side ends; an end is passed on as an end, and a broken side breaks the other."""
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
        return
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
