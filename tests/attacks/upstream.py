"""The internet's side: takes whatever reaches it, and judges by the profile's rules, written down here a second time.

A request is wrong when a server that reads it in any usual way would do what the profile does not allow.
"""

import posixpath
import re
import socketserver
import ssl
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bottlegen.sidecars.envoy_inner import _OVERRIDE_HEADERS
from tests.dataplane.upstream import ASKED

TOKEN_A, TOKEN_B = "canary-a-3e91c7d2", "canary-b-77b0d41f"
OPEN_PATH, ONLY_PATH = "/open/", "/only"
IMPOSTOR = "impostor.test"
MARK = re.compile(rb"mark-([a-z0-9-]+?)--end")
_MOST = 1 << 20
_METHOD = re.compile(rb"[A-Z]+")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the profile says of one host; the credential that its upstream is given."""

    methods: frozenset[str] = frozenset()
    paths: tuple[str, ...] = ()
    credential: tuple[str, str] | None = None
    port: int = 443


BEARER = ("authorization", f"Bearer {TOKEN_A}")
POLICY = {
    "open.test": Allowed(),
    "token.test": Allowed(credential=BEARER),
    "key.test": Allowed(credential=("x-api-key", TOKEN_B)),
    "api.test": Allowed(methods=frozenset({"GET"}), paths=(OPEN_PATH,), credential=BEARER),
    "exact.wild.test": Allowed(paths=(ONLY_PATH,)),
    "a.wild.test": Allowed(),
    "port.test": Allowed(port=8443),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it came; `at` is the address that it reached."""

    mark: str
    server_name: str
    at: str
    wrong: tuple[str, ...]


def judge(head: bytes, server_name: str, at: str, internet: str) -> tuple[str, ...]:
    """Everything that is wrong with a request of this head on a connection for this name."""
    first, *lines = head.split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1.") or re.search(rb"[\r\n\0]", head.replace(b"\r\n", b"")):
        return ("a head that is none",)
    fields = [
        (name.lower().decode("latin-1"), value.strip()) for name, _, value in (line.partition(b":") for line in lines)
    ]
    said = [value.decode("latin-1") for name, value in fields if name == "host"]
    host = said[0].partition(":")[0].lower().rstrip(".") if said else ""
    found = [*_framing(fields)]
    if len(said) != 1 or host != server_name:
        found.append(f"host {said}")
    if server_name.endswith(".names.test"):
        return (*found, *([] if at == internet else [f"it came to {at}"]))
    allowed = POLICY.get(server_name)
    if allowed is None:
        return (*found, f"no route to {server_name}")
    method, target = words[0].decode("latin-1"), words[1].decode("latin-1")
    return (*found, *_rules(allowed, method, target, fields), *_credentials(allowed, head, fields))


def _framing(fields: list[tuple[str, bytes]]) -> list[str]:
    lengths = [value for name, value in fields if name.replace("_", "-") == "content-length"]
    codings = [value for name, value in fields if name.replace("_", "-") == "transfer-encoding"]
    odd = [name for name, _ in fields if name != name.strip() or not re.fullmatch(r"[!-9;-~]+", name)]
    wrong = len(lengths) + len(codings) > 1 or any(not value.isdigit() for value in lengths)
    return [
        *(["framing"] if wrong or any(value != b"chunked" for value in codings) else []),
        *(f"field {name!r}" for name in odd),
        *(f"upgrade {value!r}" for name, value in fields if name == "upgrade" and value.lower() != b"websocket"),
    ]


def _rules(allowed: Allowed, method: str, target: str, fields: list[tuple[str, bytes]]) -> list[str]:
    found = []
    if method == "TRACE" or (allowed.methods and method not in allowed.methods):
        found.append(f"method {method}")
    if allowed.paths and (astray := [way for way in readings(target) if not way.startswith(allowed.paths)]):
        found.append(f"path {astray[0]}")
    if allowed.methods or allowed.paths:
        # CGI and WSGI read '-' and '_' in a field's name as the same.
        found += [f"override {name}" for name, _ in fields if name.replace("_", "-") in _OVERRIDE_HEADERS]
    return found


def _credentials(allowed: Allowed, head: bytes, fields: list[tuple[str, bytes]]) -> list[str]:
    """Its own alone, in its one place; and nothing of the agent's in that."""
    found = []
    own = allowed.credential
    if own:
        values = [value.decode("latin-1") for name, value in fields if name.replace("_", "-") == own[0]]
        found += [] if values == [own[1]] else [f"{own[0]} is {len(values)} times there, or another's"]
    rest = head.replace(own[1].encode(), b"") if own else head
    return found + [f"a credential of another host: {token}" for token in (TOKEN_A, TOKEN_B) if token.encode() in rest]


def readings(target: str) -> set[str]:
    """The paths that servers take a request target for: decoded so often, with '\\' for '/', without parameters."""
    found, text = set(), re.sub(r"^https?://[^/]*", "", target).partition("?")[0].partition("#")[0]
    for _ in range(4):
        for each in (text, text.replace("\\", "/"), re.sub(r";[^/]*", "", text), text.partition("\0")[0]):
            found.add(posixpath.normpath("/" + each.lstrip("/")) + ("/" if each.endswith("/") else ""))
        text = urllib.parse.unquote(text, "latin-1")
    return found


Judge = Callable[[bytes, str, str], tuple[str, ...]]
"""What is wrong with a head, on a connection for a name, at an address."""


class Taker(socketserver.StreamRequestHandler):
    """Reads what comes as one server would, and answers; every head is judged, and lands in `seen`."""

    request: ssl.SSLSocket

    def __init__(self, *args: Any, seen: list[Request], judge: Judge) -> None:
        self._seen, self._judge = seen, judge
        super().__init__(*args)  # handles the whole connection

    def handle(self) -> None:
        try:
            while self._one():
                pass
        except (OSError, ValueError):
            return

    def _one(self) -> bool:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline(_MOST)
            if not line:
                if head:
                    self._note(head)
                return False
            head += line
        self._note(head[:-4])
        body = self._body(head)
        answer, closes = _answer(head[:-4], body)
        self.wfile.write(answer)
        return not closes

    def _note(self, head: bytes) -> None:
        at = self.request.getsockname()[0]
        name = getattr(self.request, ASKED, "")
        wrong = self._judge(head, name, at)
        for mark in set(MARK.findall(head)) or {b""}:
            self._seen.append(Request(mark=mark.decode(), server_name=name, at=at, wrong=wrong))

    def _body(self, head: bytes) -> bytes:
        if re.search(rb"\r\ntransfer-encoding:", head, re.IGNORECASE):
            return self._chunks()
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        return self.rfile.read(int(length[1])) if length else b""

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(_MOST).split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline(_MOST)
        while self.rfile.readline(_MOST).strip():
            pass
        return body


def _answer(head: bytes, body: bytes) -> tuple[bytes, bool]:
    """What the attempts need of an upstream: one that repeats, one that fails, one that leads elsewhere."""
    path = head.split(b" ")[1]
    if b"/closes" in path:
        return _said(b"200 OK", b"", b"connection: close\r\n"), True
    if b"/reflect" in path:
        return _said(b"200 OK", head), False
    if b"/fails" in path:
        return _said(b"500 Internal Server Error", b"failed while handling:\n" + head), False
    if b"/redirects" in path:
        given = re.search(rb"\r\nauthorization: ([^\r]*)", head, re.IGNORECASE)
        place = b"https://open.test/?was=" + urllib.parse.quote(given[1] if given else b"").encode()
        return _said(b"302 Found", b"", b"location: " + place + b"\r\n"), False
    if b"/leads" in path:
        return _said(b"307 Temporary Redirect", b"", b"location: https://open.test/elsewhere/" + path + b"\r\n"), False
    return _said(b"200 OK", b"taken, %d\n" % len(body)), False


def _said(status: bytes, body: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n%b\r\n%b" % (status, len(body), more, body)
