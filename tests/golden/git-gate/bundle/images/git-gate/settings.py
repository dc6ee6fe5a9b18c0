"""What the gate is told: the rules of the bundle, unchanged, and what this start adds; read by every process of it."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RULES, START, KNOWN = "gate.json", "start.json", "known.json"
BASE_VARIABLE, SCRATCH_VARIABLE, LOCKS_VARIABLE = "GIT_GATE_BASE", "GIT_GATE_SCRATCH", "GIT_GATE_LOCKS"
AUDIT_VARIABLE, SINCE_VARIABLE, PYTHON_VARIABLE = "GIT_GATE_AUDIT", "GIT_GATE_SINCE", "GIT_GATE_PYTHON"
GIT_VARIABLE, PROXY_VARIABLE = "GIT_GATE_GIT", "GIT_GATE_PROXY"
"""git's own program, beside which the gate has one of that name, and `address:port` of the one way out."""


@dataclass(frozen=True)
class Pattern:
    """A pattern of whole refs: as the profile writes it, and as it decides."""

    text: str
    regex: str

    def covers(self, ref: str) -> bool:
        return re.fullmatch(self.regex, ref, re.DOTALL) is not None


@dataclass(frozen=True)
class Remote:
    """One repository behind the gate. `slot` names its credential, empty without one; `max_size` is bytes."""

    name: str
    url: str
    transport: str
    host: str
    port: int
    user: str
    path: str
    username: str
    known_hosts: tuple[str, ...]
    slot: str
    fetch: tuple[Pattern, ...]
    push: tuple[Pattern, ...]
    tags: tuple[Pattern, ...]
    force: bool
    delete: bool
    max_size: int
    secret_scan: bool

    def mirrors(self, ref: str) -> bool:
        """Whether the gate keeps this ref: what may be read, and what may be written."""
        return any(pattern.covers(ref) for pattern in (*self.fetch, *self.push, *self.tags))


@dataclass(frozen=True)
class Settings:
    """`address` is where the gate listens (a folder for a unix socket), `static_hosts` the host's addresses of names,
    `proxy` the one way out where there is one: `address:port`, or the path of a unix socket."""

    base: Path
    scratch: Path
    profile: str
    port: int
    remotes: tuple[Remote, ...]
    shapes: tuple[tuple[str, str, str], ...]
    refused_addresses: tuple[str, ...]
    address: str
    static_hosts: dict[str, str]
    proxy: str

    @property
    def gitconfig(self) -> Path:
        return self.base / "gitconfig"

    def mirror(self, remote: Remote) -> Path:
        return self.scratch / "remotes" / remote.name

    def credential(self, slot: str) -> Path:
        return self.base / "slots" / slot

    def known(self) -> list[tuple[bytes, int, str]]:
        """What is known of the bottle's values at present: how each begins, its length and its hash."""
        marks = json.loads((self.base / KNOWN).read_text())
        return [(bytes.fromhex(beginning), length, digest) for beginning, length, digest in marks]

    def known_hosts(self, remote: Remote) -> Path:
        return self.base / "known_hosts" / remote.name


def load(base: Path, scratch: Path) -> Settings:
    """The settings of this start; KeyError or ValueError when the files are not as bottlegen makes them."""
    rules, start = (json.loads((base / name).read_text()) for name in (RULES, START))
    if rules["format"] != 1:
        raise ValueError("gate.json is of another format")
    return Settings(
        base=base,
        scratch=scratch,
        profile=rules["profile"],
        port=rules["port"],
        remotes=tuple(map(_remote, rules["remotes"])),
        shapes=tuple((what, literal, regex) for what, literal, regex in rules["secret_shapes"]),
        refused_addresses=tuple(rules["refused_addresses"]),
        address=start["address"],
        static_hosts=start["static_hosts"],
        proxy=start["proxy"],
    )


def current() -> Settings:
    """The settings in a process that the gate started."""
    return load(Path(os.environ[BASE_VARIABLE]), Path(os.environ[SCRATCH_VARIABLE]))


def _remote(entry: dict[str, Any]) -> Remote:
    patterns = {
        field: tuple(Pattern(pattern["pattern"], pattern["regex"]) for pattern in entry[field])
        for field in ("fetch", "push", "tags")
    }
    return Remote(**{**entry, **patterns, "known_hosts": tuple(entry["known_hosts"])})
