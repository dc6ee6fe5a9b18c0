"""What pipelock found, reduced to when, where and by which rule: nothing that an agent wrote can be in it.

pipelock quotes whole URLs for some findings, and a host below a wildcard is the agent's word too. So a host is told by
the bundle's own pattern, and a rule by the names in those few sentences of pipelock 2.3.0 that quote nothing else.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bottlegen.bundle import Bundle
from bottlegen.sidecars import git_gate

ELSEWHERE = "another host"
_SEVERITY = r"\((?:low|medium|high|critical)\)"
_RULES = (
    re.compile(r"request body contains secret: (?P<names>[^\n]{1,400})"),
    re.compile(rf"(?:core )?DLP match: (?P<names>[^\n]{{1,200}}?) {_SEVERITY}.*"),
)
_KNOWN = re.compile(r"known secret leak detected.*")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9 /.+-]{0,59}(?: \(profile\))?")
_WORD = re.compile(r"[a-z_]{1,40}")
_METHOD = re.compile(r"[A-Z]{1,16}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{8,18}Z")
_NOTHING_FOUND = frozenset({"tls_intercept", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`scanner` is the part of pipelock that spoke: `dlp` and `core_dlp` of URLs, `body_dlp`, `header_dlp`, `ssrf` …"""

    ts: str
    decision: str
    method: str
    host: str
    scanner: str
    rules: tuple[str, ...]


def findings(events: bytes, bundle: Bundle) -> Iterator[Finding]:
    """All of them, in their order, out of pipelock's own log."""
    hosts = _hosts(bundle)
    for raw in events.splitlines():
        try:
            event = json.loads(raw)
        except ValueError:
            continue  # the last line, half written
        scanner = _only(_WORD, event.get("scanner"))
        if event.get("event") in ("blocked", "anomaly") and scanner not in _NOTHING_FOUND:
            yield Finding(
                ts=_only(_TIME, event.get("time")),
                decision="deny" if event["event"] == "blocked" else "warn",
                method=_only(_METHOD, event.get("method")),
                host=_place(event, hosts),
                scanner=scanner,
                rules=_rules(str(event.get("reason", ""))),
            )


def line(finding: Finding) -> str:
    """One short line for people."""
    what = ", ".join(finding.rules)
    return (
        f"{finding.ts}  {finding.decision:<4}  {finding.method:<7} {finding.host}  {finding.scanner}  {what}".rstrip()
    )


def _hosts(bundle: Bundle) -> frozenset[str]:
    ways = list(json.loads(bundle.data("routes.json"))["routes"])
    ways += json.loads(bundle.data(git_gate.RULES))["remotes"] if git_gate.RULES in bundle.files else []
    return frozenset(way["host"] for way in ways) | {
        host for slot in bundle.manifest.slots for host in slot.hosts
    }  # what cred-proxy leads to has a slot


def _place(event: dict[str, Any], hosts: frozenset[str]) -> str:
    """The pattern of the bundle that covers the host."""
    try:
        name = urlsplit(str(event.get("url") or f"//{event.get('target', '')}")).hostname or ""
    except ValueError:
        return ELSEWHERE
    labels = name.split(".")
    candidates = (name, *("*." + ".".join(labels[index:]) for index in range(1, len(labels))))
    return next((each for each in candidates if each in hosts), ELSEWHERE)


def _rules(reason: str) -> tuple[str, ...]:
    if _KNOWN.fullmatch(reason):
        return ("Known Secret Leak",)
    for sentence in _RULES:
        if told := sentence.fullmatch(reason):
            return tuple(name for name in told["names"].split(", ") if _NAME.fullmatch(name))
    return ()


def _only(pattern: re.Pattern[str], value: object) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""
