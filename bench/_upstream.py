"""The stand-in provider of egress.py and load.py: TLS on loopback in a process of its own, as quick as Python's ssl is.

Started as `_upstream.py CHAIN KEY`; prints its port. GET /N answers N bytes; a body is read to its end.
"""

import contextlib
import re
import socket
import ssl
import sys
import threading

CHUNK = bytes(1 << 18)


def serve(connection: socket.socket, context: ssl.SSLContext) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
        buffer = bytearray(len(CHUNK))
        while head := read_head(tls):
            match = re.search(rb"content-length: *(\d+)", head[0], re.IGNORECASE)
            left = int(match[1]) - len(head[1]) if match else 0
            while left > 0 and (count := tls.recv_into(buffer)):
                left -= count
            if left > 0:
                return  # a body that ends early gets no answer: the client sees it
            wanted = int(re.match(rb"\w+ /(\d+)", head[0])[1])  # type: ignore[index]
            tls.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % wanted + CHUNK[: min(wanted, 1000)])
            for sent in range(min(wanted, 1000), wanted, len(CHUNK)):
                tls.sendall(CHUNK[: wanted - sent])


def read_head(tls: ssl.SSLSocket) -> tuple[bytes, bytes] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := tls.recv(65536)):
            return None
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def main(chain: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            threading.Thread(target=serve, args=(connection, context), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
