"""What runs were refused and which rules they used, added up: bounded, and never a query, a header or a secret.

A path that holds what looks like a secret is counted and not kept.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bottlegen.render import canonical_json
from bottlegen.secret_shapes import literal_kind

FORMAT = 1
MAX_DENIED = 1000
MAX_RULES = 20_000
"""More than a profile has, and far from what would fill a disk."""

_LONGEST_HOST, _LONGEST_PATH, _LONGEST_METHOD = 253, 1024, 31
"""What a route can hold. The sidecar's log cuts far beyond, so nothing that is kept was cut."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Denied:
    """A refused request; `method` and `path` are empty where a tunnel was refused, so that only its target is known.

    `why` is the sidecar's word: the name of the refusing route, or `handshake`.
    """

    host: str
    port: int
    why: str
    method: str = ""
    path: str = ""

    def __str__(self) -> str:
        port = "" if self.port == 443 else f":{self.port}"
        return f"{self.method} {self.host}{port}{self.path}".strip()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class RuleKey:
    """What a rule says, which stays the same when routes are added before it; its name does not."""

    host: str
    port: int
    methods: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Counts over `runs` bottles. `rules` are all that these had, 0 for those never used; `dropped` requests were
    refused and not kept."""

    runs: int = 0
    dropped: int = 0
    denied: tuple[tuple[Denied, int], ...] = ()
    rules: tuple[tuple[RuleKey, int], ...] = ()


def add_run(before: Observed, routes_json: bytes, audit: Iterable[Mapping[str, object]]) -> Observed:
    """`before` and one more run, from its bundle's routes.json and the audit lines of its egress."""
    names = {str(entry["name"]): _key(entry) for entry in json.loads(routes_json)["routes"]}
    denied, rules = Counter(dict(before.denied)), Counter(dict(before.rules))
    rules.update(dict.fromkeys(names.values(), 0))
    dropped = before.dropped
    for fields in audit:
        if fields.get("decision") == "allow" and (key := names.get(str(fields.get("route")))):
            rules[key] += 1
        elif fields.get("decision") == "deny":
            asked = _denied(fields)
            if asked and (asked in denied or len(denied) < MAX_DENIED):
                denied[asked] += 1
            else:
                dropped += 1
    kept = sorted(rules.items())[:MAX_RULES]
    return Observed(runs=before.runs + 1, dropped=dropped, denied=tuple(sorted(denied.items())), rules=tuple(kept))


def _denied(fields: Mapping[str, object]) -> Denied | None:
    """The request of an audit line; None when no route could hold it, or nobody should read it."""
    event, why = fields.get("event"), str(fields.get("route") or fields.get("event"))
    authority = fields.get("sni") if event == "handshake" else fields.get("host")
    if not isinstance(authority, str):
        return None
    host, port = _target(authority.lower(), 80 if why == "plain-http" else 443)
    known = event == "request" or why == "plain-http"
    method, path = (str(fields.get(name) or "") if known else "" for name in ("method", "path"))
    if len(host) > _LONGEST_HOST or len(method) > _LONGEST_METHOD or len(path) > _LONGEST_PATH:
        return None
    if not (host + method + path).isprintable() or any(map(literal_kind, (host, path, *path.split("/")))):
        return None
    return Denied(host=host, port=port, why=why, method=method, path=path)


def _target(authority: str, default: int) -> tuple[str, int]:
    host, colon, port = authority.rpartition(":")
    if colon and port.isascii() and port.isdecimal() and len(port) < 6 and 0 < int(port) < 65536:
        return host.removesuffix("."), int(port)
    return authority.removesuffix("."), default


def _key(entry: Mapping[str, object]) -> RuleKey:
    host, port, methods, paths = (entry[name] for name in ("host", "port", "methods", "paths"))
    if not isinstance(port, int) or not isinstance(methods, list) or not isinstance(paths, list):
        raise TypeError("not an entry of routes")
    return RuleKey(host=str(host), port=port, methods=tuple(map(str, methods)), paths=tuple(map(str, paths)))


def to_json(observed: Observed) -> bytes:
    return canonical_json(
        {
            "format": FORMAT,
            "runs": observed.runs,
            "dropped": observed.dropped,
            "denied": [
                {"host": a.host, "port": a.port, "why": a.why, "method": a.method, "path": a.path, "count": count}
                for a, count in observed.denied
            ],
            "rules": [
                {"host": r.host, "port": r.port, "methods": list(r.methods), "paths": list(r.paths), "count": count}
                for r, count in observed.rules
            ],
        }
    )


def from_json(data: bytes) -> Observed:
    """What `to_json` wrote; ValueError for anything else."""
    try:
        tree = json.loads(data)
        if tree["format"] != FORMAT:
            raise ValueError(f"format {tree['format']!r}")
        denied = ((_denied_of(entry), int(entry["count"])) for entry in tree["denied"])
        return Observed(
            runs=int(tree["runs"]),
            dropped=int(tree["dropped"]),
            denied=tuple(denied),
            rules=tuple((_key(entry), int(entry["count"])) for entry in tree["rules"]),
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as e:
        raise ValueError("not a record of observed runs") from e


def _denied_of(entry: Mapping[str, object]) -> Denied:
    host, why, method, path = (str(entry[name]) for name in ("host", "why", "method", "path"))
    return Denied(host=host, port=int(str(entry["port"])), why=why, method=method, path=path)
