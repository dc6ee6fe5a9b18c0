"""The files of a profile in the order in which they apply: what is extended comes first, every file once, no cycles."""

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bottlegen import source as source_module
from bottlegen.errors import Problem, ProfileError, Where
from bottlegen.source import Source
from bottlegen.wording import UNSEEN, Keys, shown

MAX_FILES = 64
MAX_CHAIN = 16
_Place = Callable[[], Where | None]
"""To find a line takes a scan of the file, so only a message asks for it."""

ADDED_UP: frozenset[tuple[str, ...]] = frozenset(
    {("egress", "routes"), ("git", "remotes"), ("workspace", "read_only"), ("pipelock", "patterns"), ("tokens",)}
)


def read_all(path: str, read: Callable[[str], bytes]) -> tuple[tuple[Source, ...], list[Problem]]:
    """All files that `path` leads to, itself last, and what kept others from being read."""
    walk = _Walk(read)
    walk.visit(posixpath.normpath(path), (), lambda: None)
    return tuple(walk.sources), walk.problems


def complete(path: str, sources: Sequence[Source]) -> bool:
    """Whether `path` itself and all it extends are among `sources`."""
    names = {source.name for source in sources}
    wanted = (_target(source, entry) for source in sources for _, entry in _entries(source))
    return posixpath.normpath(path) in names and all(name in names for name in wanted)


def stem(path: str) -> str:
    return posixpath.splitext(posixpath.basename(path))[0]


def merged(sources: Sequence[Source]) -> dict[str, Any]:
    """One document: tables joined, lists of ADDED_UP added up, other values from the last file with them."""
    result: dict[str, Any] = {}
    for source in sources:
        result = _joined(result, source.data, ())
    result.pop("extends", None)
    return result


def owners(sources: Sequence[Source], keys: tuple[str, ...]) -> list[tuple[Source, int]]:
    """For each entry of a list that is added up the file that wrote it, and its index there."""
    return [(source, index) for source in sources for index in range(_count(source, keys))]


def _count(source: Source, keys: tuple[str, ...]) -> int:
    found: object = source.data
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return len(found) if isinstance(found, list) else 0


def _joined(base: Mapping[str, Any], top: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    result = dict(base)
    for key, value in top.items():
        here, below = (*keys, key), result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            result[key] = _joined(below, value, here)
        elif here in ADDED_UP and isinstance(below, list) and isinstance(value, list):
            result[key] = below + value
        else:
            result[key] = value
    return result


@dataclass(slots=True)
class _Walk:
    """Depth first, each file after those it extends."""

    read: Callable[[str], bytes]
    sources: list[Source] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    met: set[str] = field(default_factory=set)

    def visit(self, name: str, chain: tuple[str, ...], where: _Place) -> None:
        if name in chain:
            cycle = " -> ".join(map(shown, (*chain[chain.index(name) :], name)))
            self._problem(f"profiles extend each other in a circle: {cycle}", where, "remove one of these from extends")
        elif name in self.met:
            return
        elif len(self.met) >= MAX_FILES or len(chain) >= MAX_CHAIN:
            what = f"extends leads to more than {MAX_FILES} files or {MAX_CHAIN} levels"
            self._problem(what, where, "join some of the files")
        else:
            self.met.add(name)
            if source := self._source(name, chain, where):
                self._extended(source, (*chain, name))
                self.sources.append(source)

    def _extended(self, source: Source, chain: tuple[str, ...]) -> None:
        for keys, entry in _entries(source):
            where = partial(source.where, keys)
            if UNSEEN.search(entry):
                continue  # reported as a flaw of the file
            if reason := _refusal(entry):
                fix = 'write it relative to this file, like "base.toml"'
                self._problem(f"cannot extend {shown(entry)}: {reason}", where, fix)
            else:
                self.visit(_target(source, entry), chain, where)

    def _source(self, name: str, chain: tuple[str, ...], where: _Place) -> Source | None:
        try:
            return source_module.parse(name, self.read(name))
        except OSError as e:
            reason = (e.strerror or "it cannot be read").lower()
            route = f" (extended by {' -> '.join(map(shown, chain))})" if chain else ""
            self._problem(
                f"cannot read {shown(name)}: {reason}{route}", lambda: where() or Where(file=name), "check the path"
            )
        except ProfileError as e:
            self.problems += e.problems
        return None

    def _problem(self, what: str, where: _Place, fix: str) -> None:
        self.problems.append(Problem(what=what, where=where(), fix=fix))


def _entries(source: Source) -> list[tuple[Keys, str]]:
    """What `source` extends; entries of another type are for the schema to refuse."""
    value = source.data.get("extends")
    if isinstance(value, str):
        return [(("extends",), value)]
    if not isinstance(value, list):
        return []
    return [(("extends", index), entry) for index, entry in enumerate(value) if isinstance(entry, str)]


def _target(source: Source, entry: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source.name), entry))


def _refusal(entry: str) -> str:
    if not entry.strip():
        return "the path is empty"
    if entry.startswith(("/", "~")) or entry[1:2] == ":":
        return "the path is not relative"
    return "the path has a backslash" if "\\" in entry else ""
