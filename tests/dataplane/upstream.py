"""Stand-in for the internet: TLS servers on loopback that tell, as JSON, what reached them."""

import base64
import hashlib
import json
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler
from typing import Any

from runtime.ca import Leaf
from tests.dataplane.upstream_h2 import serve_h2

_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
ASKED = "asked_name"
"""Where a connection's server name is kept, for handlers that compare it with what is then asked."""

SSE_EVENTS = 4
SSE_GAP = 0.3
"""Seconds between events: long enough to tell streaming from buffering."""


class Upstream:
    """Serves each of `leaves` by server name; `alpn` is what it offers. `seen` holds what arrived, newest last."""

    def __init__(
        self, leaves: tuple[Leaf, ...], *, alpn: tuple[str, ...] = ("http/1.1",), default: str = "",
        handler: Callable[..., BaseRequestHandler] | None = None, address: str = "127.0.0.1",
    ) -> None:  # fmt: skip
        self.seen: list[dict[str, Any]] = []
        contexts = {leaf.host: _context(leaf, alpn) for leaf in leaves}
        front = contexts[default or leaves[0].host]
        if not default:
            front.sni_callback = lambda sock, name, _: _choose(sock, name or "", contexts)
        self._server = _Server((address, 0), handler or Handler)
        self._server.context = front
        self._server.seen = self.seen
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True, kwargs={"poll_interval": 0.05}).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _context(leaf: Leaf, alpn: tuple[str, ...]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        chain, key = Path(folder, "chain"), Path(folder, "key")
        chain.write_bytes(leaf.chain)
        key.write_bytes(leaf.key)
        context.load_cert_chain(chain, key)
    context.set_alpn_protocols(list(alpn))
    return context


def _choose(sock: ssl.SSLObject | ssl.SSLSocket, name: str, contexts: Mapping[str, ssl.SSLContext]) -> None:
    setattr(sock, ASKED, name)
    wildcard = "*." + name.partition(".")[2]
    for candidate in (name, wildcard):
        if candidate in contexts:
            sock.context = contexts[candidate]
            return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext
    seen: list[dict[str, Any]]

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(30)
        try:
            tls = self.context.wrap_socket(request, server_side=True)
        except (ssl.SSLError, OSError):
            return  # a test of a certificate that Envoy must refuse
        with tls:
            if tls.selected_alpn_protocol() == "h2":
                serve_h2(tls, self.seen)
            else:
                super().finish_request(tls, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    """Tells what it was asked; `/sse`, `/big?N` and upgrades to a websocket are answered as such."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gave it
        """Silent: pytest shows what a test found, not each request."""

    def _answer(self) -> None:
        self.path = self.requestline.split()[1]  # http.server would merge leading slashes
        path = self.path.partition("?")[0]
        if self.headers.get("upgrade", "").lower() == "websocket":
            self._note(0)
            self._websocket()
        elif path.endswith("/sse"):
            self._note(0)
            self._sse()
        elif path.endswith("/big"):
            self._note(0)
            self._big(int(self.path.partition("?")[2]))
        else:
            self._reply(self._note(self._drain()))

    def _note(self, received: int) -> dict[str, Any]:
        headers = [[name.lower(), value] for name, value in self.headers.items()]
        note = {"method": self.command, "path": self.path, "headers": headers, "received": received, "version": "1.1"}
        self.server.seen.append(note)
        return note

    def _drain(self) -> int:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            return self._drain_chunks()
        left = total = int(self.headers.get("content-length", 0))
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        return total

    def _drain_chunks(self) -> int:
        total = 0
        while size := int(self.rfile.readline().split(b";")[0], 16):
            total += len(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return total

    def _reply(self, note: dict[str, Any]) -> None:
        body = json.dumps(note).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _sse(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        for index in range(SSE_EVENTS):
            if index:
                time.sleep(SSE_GAP)
            self.wfile.write(f"data: {index}\n\n".encode())
            self.wfile.flush()

    def _big(self, size: int) -> None:
        self.send_response(200)
        self.send_header("content-length", str(size))
        self.end_headers()
        block = b"x" * (1 << 20)
        for _ in range(size >> 20):
            self.wfile.write(block)
        self.wfile.write(block[: size & ((1 << 20) - 1)])

    def _websocket(self) -> None:
        """Echo what comes in small masked frames, until the client goes."""
        key = self.headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET_GUID).digest())
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "Upgrade")
        self.send_header("sec-websocket-accept", accept.decode())
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        while head := self.rfile.read(2):
            mask = self.rfile.read(4)
            data = self.rfile.read(head[1] & 0x7F)
            clear = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
            self.wfile.write(bytes((head[0], len(clear))) + clear)


def closed_port() -> int:
    """A port on loopback where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port
