"""The pins that ship with bottlegen: what may be downloaded, each by version and hash, and nothing else."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bottlegen.errors import PlanError, Problem
from bottlegen.plan import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """`entries` pairs a short name with one download for one platform, in the order of the file."""

    base: str
    entries: tuple[tuple[str, Artifact], ...]

    def versions(self, name: str) -> tuple[str, ...]:
        """The pinned versions of `name`, in file order: the first is used when none is asked for."""
        return tuple(dict.fromkeys(artifact.version for pinned, artifact in self.entries if pinned == name))

    def artifacts(self, name: str, version: str = "") -> tuple[Artifact, ...]:
        """One download a platform; PlanError when this version is not pinned."""
        versions = self.versions(name)
        wanted = version or next(iter(versions), "")
        if wanted not in versions:
            known = ", ".join(f"'{pinned}'" for pinned in versions)
            fix = f"use one of: {known}" if known else "remove the version: there is none to choose"
            raise PlanError(Problem(what=f"version '{wanted}' of '{name}' is not pinned", fix=fix))
        return tuple(item for pinned, item in self.entries if pinned == name and item.version == wanted)


@cache
def load() -> Pins:
    """The pins of this release."""
    return parse(Path(__file__).with_name("pins.toml").read_text(encoding="utf-8"))


def parse(text: str) -> Pins:
    """Read pins; they are part of the program, so a mistake in them is a bug and keeps its traceback."""
    document = tomllib.loads(text)
    entries = tuple((table["name"], _artifact(table)) for table in document["artifact"])
    return Pins(base=document["image"]["base"], entries=entries)


def _artifact(table: Mapping[str, Any]) -> Artifact:
    given = {key: value for key, value in table.items() if key not in ("name", "members")}
    return Artifact(**given, members=tuple(sorted(table["members"].items())))
