"""Audit lines of a bottle's ways out: one JSON object a request, as the sidecar wrote it."""

import json
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bottlegen.audit_chain import BEGIN, CLOSED, END, GAP
from bottlegen.wording import seen


@dataclass(frozen=True, slots=True)
class AuditLine:
    """`text` as written, without its newline; `fields` parsed."""

    text: str
    fields: Mapping[str, object]


def together(streams: Sequence[Iterable[bytes]], *, follow: bool) -> Iterator[AuditLine]:
    """The lines of several sidecars: in the order of their times, or with `follow` as they come."""
    if len(streams) == 1:
        yield from lines(streams[0])
    elif follow:
        yield from _as_they_come(streams)
    else:
        found = [line for stream in streams for line in lines(stream)]
        yield from sorted(found, key=lambda line: str(line.fields.get("ts", "")))


def _as_they_come(streams: Sequence[Iterable[bytes]]) -> Iterator[AuditLine]:
    come: queue.SimpleQueue[AuditLine | None] = queue.SimpleQueue()

    def read(stream: Iterable[bytes]) -> None:
        try:
            for line in lines(stream):
                come.put(line)
        finally:
            come.put(None)

    for stream in streams:
        threading.Thread(target=read, args=(stream,), daemon=True).start()
    left = len(streams)
    while left:
        line = come.get()
        if line is None:
            left -= 1
        else:
            yield line


def lines(chunks: Iterable[bytes]) -> Iterator[AuditLine]:
    """Whole JSON lines out of a stream of chunks; the sidecar's own log lines, which are not JSON, are left out."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for raw in whole:
            if line := _parse(raw):
                yield line
    if line := _parse(rest):
        yield line


def _parse(raw: bytes) -> AuditLine | None:
    # Bytes that are no UTF-8 came from the agent: they must not hide its request.
    text = raw.decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return AuditLine(text, fields) if isinstance(fields, dict) else None


def summary(line: AuditLine) -> str:
    """One short line for people: time, decision, status, method, host, path, credential slot.

    Names and paths are the agent's words: what would move the reader's cursor or start a line is shown as an escape.
    """
    if line.fields.get("event") in (BEGIN, GAP, CLOSED, END):
        return _of_the_writer(line.fields)
    field = {key: seen(value) if isinstance(value, str) else value for key, value in line.fields.items()}
    where = f"{field.get('host') or field.get('sni') or '-'}{field.get('path') or ''}"
    slot = f"  +{field['slot']}" if field.get("slot") else ""
    decided = f"{field.get('decision') or '-'!s:<6} {field.get('status') or '-'!s:>4}"
    return f"{field.get('ts')}  {decided}  {field.get('method') or '-'!s:<7} {where}{slot}"


def _of_the_writer(fields: Mapping[str, object]) -> str:
    said = {
        BEGIN: f"the audit of session {fields.get('session')} begins, bundle {fields.get('bundle')}",
        GAP: f"{fields.get('lost')} lines could not be written since {fields.get('since')}: {fields.get('reason')}",
        CLOSED: f"the way out is closed, as the audit cannot be written: {fields.get('reason')}",
        END: "the audit ends",
    }
    return seen(f"{fields.get('ts')}  {fields.get('service')}: {said[str(fields['event'])]}")
