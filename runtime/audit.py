"""Audit lines of a bottle's egress: one JSON object a request, as the sidecar wrote it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bottlegen.wording import seen


@dataclass(frozen=True, slots=True)
class AuditLine:
    """`text` as written, without its newline; `fields` parsed."""

    text: str
    fields: Mapping[str, object]


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
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    return AuditLine(text, fields) if isinstance(fields, dict) else None


def summary(line: AuditLine) -> str:
    """One short line for people: time, decision, status, method, host, path, credential slot.

    Names and paths are the agent's words: what would move the reader's cursor or start a line is shown as an escape.
    """
    field = {key: seen(value) if isinstance(value, str) else value for key, value in line.fields.items()}
    where = f"{field.get('host') or field.get('sni') or '-'}{field.get('path') or ''}"
    slot = f"  +{field['slot']}" if field.get("slot") else ""
    decided = f"{field.get('decision') or '-':<6} {field.get('status') or '-':>4}"
    return f"{field.get('ts')}  {decided}  {field.get('method') or '-':<7} {where}{slot}"
