"""What one route set reaches and another does not, decided on requests and not on how the rules are written.

A request is refused, let through as it is, or let through with a credential, and in that order the agent may do more;
two different credentials compare as none. So what A reaches beyond B is what B no longer does, the other way round.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bottlegen.authority import Credential, Grant, HostGrants
from bottlegen.path_sets import EVERYTHING, Union
from bottlegen.paths import PathPattern

OTHER = "*"
"""Every method that neither side names."""

Hosts = Mapping[tuple[str, int], HostGrants]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """Requests of `host` (for a wildcard: of the names that nothing more specific decides) that are new.

    `methods` may hold OTHER; `kept` are paths of the same requests that were there before; `example` is a path, or
    empty. `ambiguous` when only spellings are new that a host with paths refuses.
    """

    host: str
    port: int
    methods: frozenset[str]
    named: frozenset[str]
    paths: tuple[PathPattern, ...]
    credential: Credential | None
    kept: tuple[PathPattern, ...] = ()
    example: str = ""
    ambiguous: bool = False


class _Side:
    """One host's grants, by method and credential, as unions of paths that are made when first asked for."""

    def __init__(self, grants: HostGrants | None) -> None:
        self.grants = grants.grants if grants else ()
        self.untouched = bool(grants) and not (grants and grants.judges_paths)
        self._unions: dict[tuple[str, Credential | None], Union] = {}

    def union(self, method: str, credential: Credential | None) -> Union:
        """What `method` reaches with at least this authority."""
        asked = method, credential
        if asked not in self._unions:
            self._unions[asked] = Union(
                path
                for grant in self.grants
                if takes(grant, method) and credential in (None, grant.credential)
                for path in grant.paths or (EVERYTHING,)
            )
        return self._unions[asked]


def takes(grant: Grant, method: str) -> bool:
    return not grant.methods or method in grant.methods


def names(before: Hosts, after: Hosts) -> list[tuple[str, int]]:
    """Every name that decides something on either side: what holds for these holds for all hosts."""
    return sorted({*before, *after})


def deciding(hosts: Hosts, host: str, port: int) -> HostGrants | None:
    """The entry that decides for `host`; for `*.suffix`, for the names below that nothing more specific decides."""
    if found := hosts.get((host, port)):
        return found
    labels = host.removeprefix("*.").split(".")
    # The names below *.a.b and the name a.b itself differ: the latter is not covered by *.a.b.
    wider = ("*." + ".".join(labels[index:]) for index in range(1, len(labels)))
    return next((hosts[name, port] for name in wider if (name, port) in hosts), None)


def gains(host: str, port: int, before: HostGrants | None, after: HostGrants | None) -> Iterator[Gain]:
    """What `after` lets through at `host` beyond `before`."""
    if after is None or (before and before.grants == after.grants):
        return
    named = frozenset(method for side in (before, after) if side for grant in side.grants for method in grant.methods)
    methods = sorted({*named, OTHER})
    old, new = _Side(before), _Side(after)
    found: dict[_Kind, list[PathPattern]] = {}
    for credential, path, missing in _missing(old, new, methods):
        for kept in sorted(set(missing.values())):
            alike = frozenset(method for method in missing if missing[method] == kept)
            found.setdefault((credential, alike, kept), []).append(path)
    reported = set()
    for kind in sorted(found, key=_order):
        credential, alike, kept = kind
        reported |= {(method, credential) for method in alike if EVERYTHING in found[kind]}
        yield Gain(
            host=host, port=port, methods=alike, named=named, paths=tuple(sorted(found[kind])), credential=credential,
            kept=kept, example=_example(old, found[kind], min(alike), credential),
        )  # fmt: skip
    yield from _ambiguous(host, port, named, old, new, reported)


_Kind = tuple[Credential | None, frozenset[str], tuple[PathPattern, ...]]
"""Credential, methods, and what was there before: paths that share these are told together."""


def _order(kind: _Kind) -> tuple[str, list[str], tuple[PathPattern, ...]]:
    credential, methods, kept = kind
    return str(credential or ""), sorted(methods), kept


def _missing(
    old: _Side, new: _Side, methods: Sequence[str]
) -> Iterator[tuple[Credential | None, PathPattern, dict[str, tuple[PathPattern, ...]]]]:
    """Each pattern that is not there wholly: by method, what of it is."""
    asked: dict[tuple[Credential | None, PathPattern], set[str]] = {}
    for grant in new.grants:
        for path in grant.paths or (EVERYTHING,):
            asked.setdefault((grant.credential, path), set()).update(m for m in methods if takes(grant, m))
    for (credential, path), taken in asked.items():
        unions = {method: old.union(method, credential) for method in sorted(taken)}
        missing = {method: u.within(path) for method, u in unions.items() if u.uncovered(path) is not None}
        if missing:
            yield credential, path, missing


def _example(old: _Side, paths: Iterable[PathPattern], method: str, credential: Credential | None) -> str:
    """A path that is new, where the pattern alone does not tell: some of what it covers was there."""
    union = old.union(method, credential)
    return next((union.uncovered(path) or "" for path in sorted(paths) if union.meets(path)), "")


def _ambiguous(
    host: str, port: int, named: frozenset[str], old: _Side, new: _Side, reported: set[tuple[str, Credential | None]]
) -> Iterator[Gain]:
    """Where no rule of a host has paths, its paths pass untouched: also those that are refused where one has."""
    if not new.untouched or old.untouched:
        return
    groups: dict[Credential | None, set[str]] = {}
    for grant in new.grants:
        for method in {*named, OTHER}:
            if takes(grant, method) and (method, grant.credential) not in reported:
                groups.setdefault(grant.credential, set()).add(method)
    for credential in sorted(groups, key=str):
        yield Gain(
            host=host, port=port, methods=frozenset(groups[credential]), named=named, paths=(), credential=credential,
            ambiguous=True,
        )  # fmt: skip
