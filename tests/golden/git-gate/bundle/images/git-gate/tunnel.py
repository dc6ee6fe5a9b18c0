"""ssh's way through the proxy (ssh_config(5), ProxyCommand): one CONNECT (RFC 9110 9.3.6), then bytes both ways.

`python3 tunnel.py HOST PORT`
"""

import os
import socket
import sys
import threading

from settings import PROXY_VARIABLE

_CHUNK = 1 << 16
_MOST = 1 << 14
_PATIENCE = 15.0


def main() -> int:
    host, port = sys.argv[1:3]
    address, _, proxy_port = os.environ[PROXY_VARIABLE].rpartition(":")
    target = f"{host}:{port}"
    try:
        stream = socket.create_connection((address, int(proxy_port)), _PATIENCE)
    except OSError as e:
        print(f"CONNECT {target}: {e.strerror}", file=sys.stderr)
        return 1
    with stream:
        stream.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        head, rest = _head(stream)
        if head.split(b" ", 2)[1:2] != [b"200"]:
            print(f"CONNECT {target}: {head.partition(bytes([13]))[0].decode('latin-1')}", file=sys.stderr)
            return 1
        stream.settimeout(None)
        os.write(1, rest)
        threading.Thread(target=_out, args=(stream,), daemon=True).start()
        while data := stream.recv(_CHUNK):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    return 0


def _head(stream: socket.socket) -> tuple[bytes, bytes]:
    """The proxy's answer, and what came behind it."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < _MOST and (more := stream.recv(_CHUNK)):
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _out(stream: socket.socket) -> None:
    while data := os.read(0, _CHUNK):
        stream.sendall(data)
    stream.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    sys.exit(main())
