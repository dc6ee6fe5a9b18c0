"""Settings of a bundle as facts: each with its area, its value in words, and what a change of it means."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bottlegen.profile import Inspection
from bottlegen.sidecars import pipelock
from bottlegen.wording import shown

Area = Literal[
    "routes",
    "git",
    "inspection",
    "workspace",
    "isolation",
    "hardening",
    "resources",
    "audit",
    "agent",
    "images",
    "files",
]
AREAS: tuple[Area, ...] = (
    "routes", "git", "inspection", "workspace", "isolation", "hardening", "resources", "audit", "agent", "images",
    "files",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One setting. With a `rank`, more of it is more authority; one that is `guarded` widens by any change, one that
    `restricts` by any but its coming."""

    area: Area
    name: str
    value: str
    rank: float | None = None
    guarded: bool = False
    restricts: bool = False


def of_inspection(told: Inspection | None) -> Iterator[Fact]:
    """What pipelock is told; nothing without it."""
    if told is None:
        return
    yield _ranked("mode", told.mode, pipelock.MODES.index(told.mode))
    yield _ranked("what becomes of a finding", told.action, pipelock.ACTIONS.index(told.action))
    yield _ranked("largest request body", size(told.max_body), told.max_body)
    yield _ranked("largest answer", size(told.max_response), told.max_response)
    yield _ranked("requests a minute", str(told.requests_per_minute), told.requests_per_minute)
    for name, regex in told.patterns:
        looked = f"pattern {shown_whole(name)} {shown_whole(regex)}"
        yield Fact(area="inspection", name=looked, value="looked for", restricts=True)


def _ranked(name: str, value: str, rank: float) -> Fact:
    return Fact(area="inspection", name=name, value=value, rank=rank)


def size(count: int) -> str:
    """Bytes in the largest unit that divides them."""
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count % (1 << power) == 0:
            return f"{count >> power} {unit}"
    return f"{count} bytes"


def shown_whole(text: str) -> str:
    """`text` as a message shows it, with its hash where that leaves something out: no two texts look alike."""
    visible = shown(text)
    return visible if visible == f"'{text}'" else f"{visible} ({short(text)})"


def short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
