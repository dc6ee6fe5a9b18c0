"""What the sidecar will answer, decided without one: the same route set, the same normalisation as Envoy's.

Kept true by a test that puts generated requests to both.
"""

import re
from dataclasses import dataclass

from bottlegen.routes import HostRules, RouteSet

AMBIGUOUS = r"(?i).*(?:/\.{1,2};|%(?:25)*(?:2e|2f|5c)|%c[01]).*"
"""Normalised paths that some servers would read as another path, in RE2's and Python's common syntax.

`..;` (Tomcat drops what follows `;`; Envoy does too, but not where the dots were encoded), dots and slashes that are
still encoded, and overlong UTF-8.
"""

HTTP1_METHODS = frozenset({
    "ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "MERGE", "MKACTIVITY",
    "MKCALENDAR", "MKCOL", "MOVE", "MSEARCH", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE",
    "PUT", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
})  # fmt: skip
"""What Envoy's parser of HTTP/1.1 takes (isMethodValid in its balsa_parser.cc); HTTP/2 has no such list."""

_TARGET = re.compile(r"/[!-\"$-~]*")  # what the HTTP/1.1 codec takes: printable ASCII without '#'
_PIECE = re.compile(r"%([0-9A-Fa-f]{2})|.", re.DOTALL)
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ENCODED_BY_ENVOY = frozenset('"<>^`{|}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`status` is the sidecar's own answer, 0 where the upstream answers; `path` what the upstream would be sent."""

    allowed: bool
    rule: str = ""
    slot: str = ""
    status: int = 0
    path: str = ""


def decide(routes: RouteSet, host: str, port: int, method: str, raw_path: str, *, http2: bool = False) -> Decision:
    """Judge one request whose server name and Host header are `host`; `raw_path` may carry a query."""
    rules = covering(routes, host, port)
    if rules is None:
        return Decision(allowed=False, status=403)
    if not _TARGET.fullmatch(raw_path) or not (http2 or method in HTTP1_METHODS):
        return Decision(allowed=False, status=400)
    if not rules.restricts_paths:
        path = raw_path.partition("?")[0]
    elif (normal := normalise(raw_path)) is None:
        return Decision(allowed=False, status=400)
    else:
        path = normal
    if method.upper() == "TRACE":  # its answer would repeat what is injected
        return Decision(allowed=False, status=403, path=path)
    for rule in rules.rules:
        fits = not rule.paths or any(pattern.matches(path) for pattern in rule.paths)
        if fits and (not rule.methods or method in rule.methods):
            return Decision(allowed=True, rule=rule.name, slot=rule.slot, path=path)
    return Decision(allowed=False, status=403, path=path)


def covering(routes: RouteSet, host: str, port: int) -> HostRules | None:
    """The one entry that decides for `host`: itself, else the longest `*.suffix`."""
    name = host.lower().removesuffix(".")
    entries = {rules.host: rules for rules in routes.hosts if rules.port == port}
    labels = name.split(".")
    names = (name, *("*." + ".".join(labels[index:]) for index in range(1, len(labels))))
    return next((entries[candidate] for candidate in names if candidate in entries), None)


def normalise(raw_path: str) -> str | None:
    """The path as Envoy 1.40 judges and forwards it under `normalize_path`, `merge_slashes` and `REJECT_REQUEST`.

    None where it answers 400: no leading slash, an encoded slash or NUL, or an AMBIGUOUS result.
    """
    path = raw_path.partition("?")[0]
    if not path.startswith("/") or re.search("%(?:2f|5c)", path, re.IGNORECASE):
        return None
    segments = [re.sub(r"^(\.{1,2});.*", r"\1", segment) for segment in path[1:].split("/")]
    if any("%00" in segment for segment in segments):
        return None
    merged = re.sub("/+", "/", _without_dots("/".join(segments).replace("\\", "/").split("/")))
    return None if re.fullmatch(AMBIGUOUS, merged) else merged


def _without_dots(segments: list[str]) -> str:
    """RFC 3986 5.2.4, with `%2e` read as a dot; empty segments count until slashes are merged."""
    kept: list[str] = []
    for index, segment in enumerate(segments):
        plain = re.sub("%2e", ".", segment, flags=re.IGNORECASE)
        if plain not in (".", ".."):
            kept.append(_canonical(segment))
            continue
        if plain == "..":
            del kept[-1:]
        if index == len(segments) - 1:
            kept.append("")
    return "/" + "/".join(kept)


def _canonical(segment: str) -> str:
    """Unreserved characters decoded, a few others encoded. A stray `%` is kept, unless it now begins an escape."""
    decoded = _PIECE.sub(_piece, segment)
    return re.sub("\0(?=[0-9A-Fa-f]{2})", "%25", decoded).replace("\0", "%")


def _piece(piece: re.Match[str]) -> str:
    if piece[1]:
        char = chr(int(piece[1], 16))
        return char if char in _UNRESERVED else piece[0]
    if piece[0] == "%":
        return "\0"
    return f"%{ord(piece[0]):02X}" if piece[0] in _ENCODED_BY_ENVOY else piece[0]
