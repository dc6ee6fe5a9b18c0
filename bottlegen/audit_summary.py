"""Audit lines added up: requests by host and by credential, what was denied, what could not be written."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_NAMES = 2000
"""Different hosts or denials that are told apart; an agent that invents names makes no larger table."""

OTHERS = "(others)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Requests to one host, or with one credential. Bytes are those of requests and of answers."""

    name: str
    requests: int
    denied: int
    sent: int
    received: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """What was refused, and how often: the names in it are the agent's words."""

    method: str
    host: str
    path: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`lost` are lines that could not be written, as the chain itself says. An opened tunnel is no request."""

    requests: int
    denied: int
    lost: int
    hosts: tuple[Tally, ...]
    credentials: tuple[Tally, ...]
    denials: tuple[Denial, ...]


def summarise(lines: Iterable[Mapping[str, object]]) -> Summary:
    """The summary of any number of lines, in bounded memory."""
    hosts, credentials = _Table(), _Table()
    denials: Counter[tuple[str, str, str]] = Counter()
    lost = 0
    for line in lines:
        if line.get("event") == "gap":
            lost += _number(line, "lost")
        if "decision" not in line or (line.get("event") == "connect" and line.get("decision") == "allow"):
            continue
        host = _text(line, "host") or _text(line, "sni") or "-"
        hosts.add(host, line)
        if slot := _text(line, "slot"):
            credentials.add(slot, line)
        if _denied(line):
            what = (_text(line, "method") or "-", host, _text(line, "path"))
            denials[what if what in denials or len(denials) < _NAMES else ("-", OTHERS, "")] += 1
    every = hosts.tallies()
    return Summary(
        requests=sum(tally.requests for tally in every),
        denied=sum(tally.denied for tally in every),
        lost=lost,
        hosts=every,
        credentials=credentials.tallies(),
        denials=tuple(
            Denial(method=method, host=host, path=path, count=count)
            for (method, host, path), count in sorted(denials.items(), key=lambda item: (-item[1], item[0]))
        ),
    )


class _Table:
    def __init__(self) -> None:
        self._rows: dict[str, list[int]] = {}

    def add(self, name: str, line: Mapping[str, object]) -> None:
        if name not in self._rows and len(self._rows) >= _NAMES:
            name = OTHERS
        row = self._rows.setdefault(name, [0, 0, 0, 0])
        for index, more in enumerate((1, _denied(line), _number(line, "bytes_in"), _number(line, "bytes_out"))):
            row[index] += more

    def tallies(self) -> tuple[Tally, ...]:
        """The busiest first."""
        rows = sorted(self._rows.items(), key=lambda item: (-item[1][0], item[0]))
        return tuple(
            Tally(name=name, requests=row[0], denied=row[1], sent=row[2], received=row[3]) for name, row in rows
        )


def _denied(line: Mapping[str, object]) -> bool:
    """Also what was refused before any rule was looked at, such as a path that has two readings."""
    return line.get("decision") in ("deny", None)


def _text(line: Mapping[str, object], name: str) -> str:
    value = line.get(name)
    return value if isinstance(value, str) else ""


def _number(line: Mapping[str, object], name: str) -> int:
    value = line.get(name)
    return value if isinstance(value, int) else 0
