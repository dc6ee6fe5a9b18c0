"""Audit lines as a chain: each names its number and the hash of the line before it, so that what is missing shows.

A line is one JSON object on one line of ASCII. `seq` counts from 1, `prev` is the SHA-256 of the bytes of the line
before it (zeros before the first), through all files of one sidecar's chain. The last line's number and hash, the head,
are kept apart. Nothing here can see a chain that was written anew from its first line together with its head.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

GENESIS = "0" * 64
"""What stands for the hash of the line before the first."""

FIELDS = frozenset({
    "ts", "event", "decision", "route", "rule", "slot", "method", "host", "path", "target", "status", "bytes_in",
    "bytes_out", "ms", "sni", "protocol", "flags", "details", "upstream", "upstream_error", "tls_error", "remote",
    "refs", "port", "reason",
})  # fmt: skip
"""What a sidecar may say of a request. Whatever else it prints is not copied: no header, no body, no value."""

BEGIN, GAP, CLOSED, END = "begin", "gap", "closed", "end"
"""Events of the writer's own: the first line, lines that could not be written, why no more come, the last line."""

LONGEST = 16384
_TEXT = 4096
_ITEMS = 64


@dataclass(frozen=True, slots=True)
class Head:
    """The last line of a chain: its number and hash. `Head(0, GENESIS)` is that of an empty one."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with a chain, and where: `line` counts from 1 in `file`."""

    kind: str
    file: str
    line: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A chain as it was found. Without findings it is whole up to `head`, and as long as the head that was given."""

    lines: int
    head: Head
    findings: tuple[Finding, ...]


def digest(line: bytes) -> str:
    """The hash of a line, without the end of line."""
    return hashlib.sha256(line.rstrip(b"\n")).hexdigest()


def link(head: Head, fields: Mapping[str, object]) -> tuple[Head, bytes]:
    """The line that follows `head`, with its end of line, and the head from then on."""
    seq = head.seq + 1
    line = json.dumps({"seq": seq, "prev": head.hash, **fields}, separators=(",", ":")).encode()
    return Head(seq, digest(line)), line + b"\n"


def known(raw: bytes) -> dict[str, Any] | None:
    """What a sidecar's line says, in fields that are known and values that are short; None for any other."""
    if not raw.startswith(b"{") or len(raw) > 4 * LONGEST:
        return None
    try:
        # Bytes that are no UTF-8 came from the agent: they must not hide its request.
        said = json.loads(raw.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or "decision" not in said:
        return None
    return {name: _short(value) for name, value in said.items() if name in FIELDS}


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value[:_TEXT]
    if isinstance(value, list):
        return [_short(item) for item in value[:_ITEMS] if isinstance(item, str)]
    return value if isinstance(value, int | float | None) else None


def check(files: Iterable[tuple[str, Iterable[bytes]]], head: Head | None) -> Checked:
    """Walk a chain: `files` in their order, each with its lines as bytes; `head` is what was kept apart of its end."""
    walk = _Walk()
    for name, lines in files:
        for number, line in enumerate(lines, 1):
            walk.step(name, number, line)
    walk.end(head)
    return Checked(lines=walk.lines, head=walk.head, findings=tuple(walk.findings))


class _Walk:
    """What is known so far. After a finding the line at hand is believed, so that each flaw is told once."""

    def __init__(self) -> None:
        self.head = Head(0, GENESIS)
        self.lines = 0
        self.findings: list[Finding] = []
        self._at = ("", 0)

    def step(self, file: str, number: int, raw: bytes) -> None:
        self._at = (file, number)
        if not raw.endswith(b"\n"):
            return  # a writer that was killed in the middle of it: the head does not count it, or its place is missed
        self.lines += 1
        seq, prev = _place(raw)
        if seq is None:
            self._find("altered", "this is no line of a chain")
            return
        wanted = self.head.seq + 1
        if seq < wanted:
            self._find("reordered", f"line {seq} stands where line {wanted} is due")
            return
        if seq > wanted:
            self._find("removed", f"{_lines(wanted, seq - 1)} missing before line {seq}")
        elif prev != self.head.hash:
            self._find("altered", f"line {seq - 1} is not the one that line {seq} was written after")
        self.head = Head(seq, digest(raw))

    def end(self, head: Head | None) -> None:
        if head is None:
            self._find("headless", "there is no head: lines that were cut off at the end would not be missed")
            return
        if self.head.seq < head.seq:
            self._find("truncated", f"{_lines(self.head.seq + 1, head.seq)} missing at the end")
        elif self.head.seq == head.seq and self.head.hash != head.hash:
            self._find("altered", f"line {head.seq} is not the one that the head names")

    def _find(self, kind: str, what: str) -> None:
        file, line = self._at
        self.findings.append(Finding(kind=kind, file=file, line=line, what=what))


def _lines(first: int, last: int) -> str:
    return f"line {first} is" if first == last else f"lines {first} to {last} are"


def _place(raw: bytes) -> tuple[int | None, object]:
    """`seq` and `prev` of a line; (None, None) when it is no line of a chain."""
    try:
        fields = json.loads(raw)
        seq, prev = fields["seq"], fields["prev"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, None
    return (seq, prev) if type(seq) is int and seq > 0 else (None, None)
