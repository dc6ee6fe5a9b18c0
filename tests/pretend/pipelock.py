#!/usr/bin/python3
"""A stand-in for pipelock where the real one cannot be had: the same config, refusals and words, few patterns.

One file of the standard library and the openssl command, since it is put where a bottle expects the program itself.
What it shares with the real one is what tests/inspection/test_pipelock.py demands of both.
"""

import base64
import contextlib
import ipaddress
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

VERSION = "2.3.0"
_PATTERNS = {
    "JWT Token": r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    "AWS Access ID": r"(?:AKIA|ASIA)[A-Z0-9]{16,}",
    "GitHub Token": r"gh[pousr]_[A-Za-z0-9_]{36,}",
    "Private Key Header": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
}
_SCANNERS = {
    "URL": "dlp", "request header": "header_dlp", "request body": "body_dlp", "compressed": "body_dlp",
    "domain": "allowlist", "SSRF": "ssrf", "rate": "ratelimit",
}  # fmt: skip
_HOP = frozenset({"connection", "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"})


class Refused(Exception):
    """The request goes no further; `status` and the text are the answer."""

    def __init__(self, reason: str, status: int = 403) -> None:
        super().__init__(reason)
        self.status = status
        self.scanner = next((scanner for start, scanner in _SCANNERS.items() if reason.startswith(start)), "other")


class Scanner:
    """What the config says must not leave."""

    def __init__(self, config: dict[str, Any]) -> None:
        dlp = config["dlp"]
        own = [(pattern["name"], pattern["regex"]) for pattern in dlp["patterns"]]
        self._patterns = [(name, re.compile(regex)) for name, regex in (*_PATTERNS.items(), *own)]
        self._known = [form for line in Path(dlp["secrets_file"]).read_text().splitlines() for form in _forms(line)]

    def found(self, text: str) -> list[str]:
        texts = {text, urllib.parse.unquote_plus(text), *_decoded(text)}
        names = [name for name, regex in self._patterns if any(map(regex.search, texts))]
        known = any(form in each for form in self._known for each in texts)
        return names + (["Known Secret Leak"] if known else [])


def _forms(line: str) -> set[str]:
    value = line.encode()
    if len(value) < 16:
        return set()
    plain, safe = base64.b64encode(value).decode(), base64.urlsafe_b64encode(value).decode()
    return {line, plain.rstrip("="), safe.rstrip("="), value.hex(), value.hex().upper()}


def _decoded(text: str) -> set[str]:
    """What stands in `text` as base64 or hex, for the patterns."""
    found = set()
    for word in re.findall(r"[A-Za-z0-9+/_-]{16,}", text):
        padded = word.translate(str.maketrans("-_", "+/")) + "=" * (-len(word) % 4)
        for decode in (base64.b64decode, bytes.fromhex):
            with contextlib.suppress(ValueError):
                found.add(decode(padded if decode is base64.b64decode else word).decode("latin-1"))
    return found


class Policy:
    """Where a tunnel may lead, and how often."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._strict = config["mode"] == "strict"
        self._allowed = config["api_allowlist"]
        self._trusted = config["trusted_domains"]
        self._internal = [ipaddress.ip_network(each) for each in config["internal"]]
        self._limit = config["fetch_proxy"]["monitoring"]["max_requests_per_minute"]
        self._asked: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def check(self, host: str) -> None:
        if self._strict and not any(_covers(each, host) for each in self._allowed):
            raise Refused(f"domain not in allowlist: {host}")
        if not any(_covers(each, host) for each in self._trusted):
            self._check_address(host)
        if self.count(host) > self._limit:
            raise Refused(f"rate limit exceeded for {host}", 429)

    def _check_address(self, host: str) -> None:
        try:
            found = {ipaddress.ip_address(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
        except OSError as e:
            raise Refused(f"SSRF check failed: DNS resolution error for {host}") from e
        if any(address in network for address in found for network in self._internal):
            raise Refused(f"SSRF blocked: {host} resolves to an internal IP")

    def count(self, host: str) -> int:
        """Requests of the last minute to the registered domain, with this one."""
        domain, now = ".".join(host.split(".")[-2:]), time.monotonic()
        with self._lock:
            self._asked[domain] = [at for at in self._asked.get(domain, []) if at > now - 60] + [now]
            return len(self._asked[domain])


def _covers(rule: str, host: str) -> bool:
    return host == rule or (rule.startswith("*.") and (host.endswith(rule[1:]) or host == rule[2:]))


def _passes(rule: str, host: str) -> bool:
    """Here a wildcard does not cover the name itself."""
    return host.endswith(rule[1:]) if rule.startswith("*.") else host == rule


class Leaves:
    """Server certificates by the config's CA, made when they are first asked for."""

    def __init__(self, interception: dict[str, Any]) -> None:
        self._ca = interception["ca_cert"], interception["ca_key"]
        self._folder = tempfile.TemporaryDirectory()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        key = str(Path(self._folder.name, "key.pem"))
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        self._key = key

    def context(self, host: str) -> ssl.SSLContext:
        with self._lock:
            if host not in self._contexts:
                self._contexts[host] = self._make(host)
            return self._contexts[host]

    def _make(self, host: str) -> ssl.SSLContext:
        folder = Path(self._folder.name)
        request, leaf, names, settings = (
            str(folder / name) for name in ("request.pem", "leaf.pem", "names", "settings")
        )
        Path(settings).write_text("[req]\ndistinguished_name = dn\n[dn]\n")  # a sandbox may lack the system's
        Path(names).write_text(f"subjectAltName=DNS:{host}\nextendedKeyUsage=serverAuth\n")
        _openssl("req", "-new", "-config", settings, "-key", self._key, "-subj", "/CN=pipelock", "-out", request)
        _openssl(
            "x509", "-req", "-in", request, "-CA", self._ca[0], "-CAkey", self._ca[1],
            "-set_serial", str(time.time_ns()), "-days", "1", "-extfile", names, "-out", leaf,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(leaf, self._key)
        context.set_alpn_protocols(["http/1.1"])
        other = ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        context.sni_callback = lambda _sock, name, _context: None if name == host else other
        return context


def _openssl(*arguments: str) -> None:
    subprocess.run(["/usr/bin/openssl", *arguments], check=True, capture_output=True)


class Server(ThreadingHTTPServer):
    """The one listener, and the log of events."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, path.stat().st_mtime_ns
        self.config = config = json.loads(path.read_text())
        self.scanner, self.policy = Scanner(config), Policy(config)
        self.leaves = Leaves(config["tls_interception"])
        self._lock = threading.Lock()
        host, _, port = config["fetch_proxy"]["listen"].rpartition(":")
        super().__init__((host, int(port)), Handler)

    def renew(self) -> None:
        """What is looked for, read again when the config was replaced."""
        if (now := self._path.stat().st_mtime_ns) != self._read:
            self.scanner, self._read = Scanner(json.loads(self._path.read_text())), now

    def log(self, event: str, host: str, **more: object) -> None:
        told = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = json.dumps({"level": "info", "event": event, "target": host, "time": told, **more})
        with self._lock, Path(self.config["logging"]["file"]).open("a") as file:
            print(line, file=file)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no event."""


class Handler(BaseHTTPRequestHandler):
    """One connection: a CONNECT, and with an inspected host the requests within."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._request
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gave it
        """Events alone."""

    def do_CONNECT(self) -> None:
        host = self.path.rpartition(":")[0]
        self.close_connection = True
        self.server.renew()
        try:
            self.server.policy.check(host)
        except Refused as refused:
            self.server.log("blocked", host, scanner=refused.scanner, method="CONNECT", reason=str(refused))
            self._say(refused.status, f"CONNECT blocked: {refused}")
            return
        self.server.log("tunnel_open", host)
        self.send_response(200)
        self.end_headers()
        interception = self.server.config["tls_interception"]
        if any(_passes(rule, host) for rule in interception["passthrough_domains"]):
            self._pass(self.path)
        else:
            self._intercept(host, self.path)

    def _pass(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port)), 10) as upstream:
            back = threading.Thread(target=_copy, args=(upstream, self.connection), daemon=True)
            back.start()
            _copy(self.connection, upstream)
            back.join(60)

    def _intercept(self, host: str, target: str) -> None:
        with self.server.leaves.context(host).wrap_socket(self.connection, server_side=True) as tls:
            Inner(tls, self.client_address, self.server, target)

    def _request(self) -> None:
        self._say(403, "blocked: only tunnels")

    def _say(self, status: int, text: str) -> None:
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Inner(Handler):
    """Requests inside an inspected tunnel to `tunnel`, host and port."""

    def __init__(self, connection: ssl.SSLSocket, address: tuple[str, int], server: Server, tunnel: str) -> None:
        self.tunnel = tunnel
        super().__init__(connection, address, server)

    def _request(self) -> None:
        host = self.tunnel.rpartition(":")[0]
        self.server.policy.count(host)
        try:
            body = self._body()
            self._scan(host, body)
            answer, data = self._forward(body)
        except Refused as refused:
            self.server.log("blocked", host, scanner=refused.scanner, method=self.command, reason=str(refused))
            self._say(refused.status, f"blocked: {refused}")
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP | {"content-length", "date", "server"}:
                self.send_header(name, value)
        bodiless = self.command == "HEAD" or answer.status in (204, 304)
        length = answer.getheader("content-length") if bodiless else str(len(data))
        if length is not None:
            self.send_header("content-length", length)
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> bytes:
        """All of the request's body; nothing is answered before it has been read."""
        limit = self.server.config["request_body_scanning"]["max_body_bytes"]
        if "chunked" in self.headers.get("transfer-encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if len(body) > limit:
            raise Refused("request body exceeds size limit")
        if body and self.headers.get("content-encoding", "identity") != "identity":
            raise Refused("compressed request body cannot be scanned")
        return body

    def _scan(self, host: str, body: bytes) -> None:
        if self.headers.get("host", "") not in (host, self.tunnel):
            raise Refused("Host header does not match the tunnel")
        settings = self.server.config["request_body_scanning"]
        unread = {name.lower() for name in settings["ignore_headers"]}
        found = {
            "URL contains secret": self.server.scanner.found(self.path),
            "request header contains secret": [
                name
                for header, value in self.headers.items()
                if header.lower() not in unread
                for name in self.server.scanner.found(value)
            ],
            "request body contains secret": self.server.scanner.found(body.decode("latin-1")),
        }
        for reason, names in found.items():
            if names and (reason.startswith("URL") or settings["action"] == "block") and self.server.config["enforce"]:
                raise Refused(f"{reason}: {', '.join(names)}" if "body" in reason else reason)
            if names:
                self.server.log("anomaly", host, scanner=Refused(reason).scanner, reason=reason)

    def _forward(self, body: bytes) -> tuple[HTTPResponse, bytes]:
        host, _, port = self.tunnel.rpartition(":")
        context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or None)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP | {"content-length"}}
        headers.pop("Accept-Encoding", None)
        if body or self.command in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(len(body))
        limit = self.server.config["tls_interception"]["max_response_bytes"]
        try:
            with socket.create_connection((host, int(port)), 30) as raw:
                connection = HTTPConnection(host, int(port))
                connection.sock = context.wrap_socket(raw, server_hostname=host)
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                answer = connection.getresponse()
                data = answer.read(limit + 1)
        except (OSError, HTTPException) as e:
            raise Refused(f"upstream: {type(e).__name__}", 502) from e
        if len(data) > limit:
            raise Refused("response too large for scanning")
        return answer, data


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def scan_diff() -> int:
    """Findings in the added lines of a diff, as JSON; those that a comment in the line waves through, in words."""
    file, line, found = "", 0, []
    for text in sys.stdin.buffer.read().decode("latin-1").splitlines():
        if text.startswith("+++ "):
            file = text[4:].removeprefix("b/")
        elif hunk := re.match(r"@@ -\S+ \+(\d+)", text):
            line = int(hunk[1])
        elif text.startswith("+"):
            for name, regex in _PATTERNS.items():
                if re.search(regex, text) and re.search(r"#\s*pipelock:ignore\s*$", text):
                    print(f"SUPPRESSED: {file}:{line}  {name} (inline)", file=sys.stderr)
                elif re.search(regex, text):
                    found.append({"file": file, "line": line, "content": "", "pattern": name, "severity": "critical"})
            line += 1
    print(json.dumps(found))
    return 1 if found else 0


def main(arguments: list[str]) -> None:
    """`version`, `git scan-diff --json --verbose`, or `run --config FILE` until it is ended."""
    if arguments[:1] == ["version"]:
        print(f"pipelock version {VERSION}\n  a stand-in of tests", file=sys.stderr)
        return
    if arguments == ["git", "scan-diff", "--json", "--verbose"]:
        sys.exit(scan_diff())
    command, option, path = arguments
    if (command, option) != ("run", "--config"):
        raise SystemExit(f"the stand-in knows no {arguments}")
    if (mode := json.loads(Path(path).read_text())["mode"]) not in ("strict", "balanced", "audit"):
        raise SystemExit(f"invalid mode {mode!r}")
    Server(Path(path)).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
