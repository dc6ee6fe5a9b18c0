"""What one route set reaches and another does not, decided on requests and not on how the rules are written.

A request is refused, let through as it is, or let through with a credential, and in that order the agent may do more;
two different credentials compare as none. So what A reaches beyond B is what B no longer does, the other way round.
"""

from collections.abc import Iterable, Iterator, Mapping
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
    """One host's grants, by method and credential, as unions of paths."""

    def __init__(self, grants: HostGrants | None, methods: Iterable[str]) -> None:
        self.grants = grants.grants if grants else ()
        self.untouched = bool(grants) and not (grants and grants.judges_paths)
        self._unions: dict[tuple[str, Credential | None], Union] = {}
        self._all: dict[str, Union] = {}
        for method in methods:
            by_credential: dict[Credential | None, list[PathPattern]] = {}
            for grant in self.grants:
                if takes(grant, method):
                    by_credential.setdefault(grant.credential, []).extend(grant.paths or (EVERYTHING,))
            self._all[method] = Union(path for paths in by_credential.values() for path in paths)
            for credential, paths in by_credential.items():
                self._unions[method, credential] = Union(paths)

    def union(self, method: str, credential: Credential | None) -> Union:
        """What `method` reaches with at least this authority."""
        if credential is None:
            return self._all[method]
        return self._unions.get((method, credential), _NOTHING)


_NOTHING = Union(())


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
    old, new = _Side(before, methods), _Side(after, methods)
    found: dict[tuple[Credential | None, PathPattern], dict[str, str]] = {}
    for grant in new.grants:
        for method in (method for method in methods if takes(grant, method)):
            for path in grant.paths or (EVERYTHING,):
                example = old.union(method, grant.credential).uncovered(path)
                if example is not None:
                    found.setdefault((grant.credential, path), {})[method] = example
    reported = set()
    for (credential, kind), paths in _alike(found).items():
        reported |= {(method, credential) for method in kind if EVERYTHING in paths}
        yield _gain(host, port, kind, named, paths, credential, old, found)
    yield from _ambiguous(host, port, named, old, new, reported)


def _alike(
    found: Mapping[tuple[Credential | None, PathPattern], Mapping[str, str]],
) -> dict[tuple[Credential | None, frozenset[str]], list[PathPattern]]:
    """Paths of the same credential and methods together, in one order."""
    groups: dict[tuple[Credential | None, frozenset[str]], list[PathPattern]] = {}
    for credential, path in sorted(found, key=lambda key: (str(key[0] or ""), key[1])):
        groups.setdefault((credential, frozenset(found[credential, path])), []).append(path)
    return groups


def _gain(
    host: str,
    port: int,
    methods: frozenset[str],
    named: frozenset[str],
    paths: list[PathPattern],
    credential: Credential | None,
    old: _Side,
    found: Mapping[tuple[Credential | None, PathPattern], Mapping[str, str]],
) -> Gain:
    kept: set[PathPattern] = set()
    example = ""
    for path in paths:
        for method in sorted(methods):
            union = old.union(method, credential)
            kept.update(union.within(path))
            if not example and union.meets(path):
                example = found[credential, path][method]
    return Gain(
        host=host, port=port, methods=methods, named=named, paths=tuple(paths), credential=credential,
        kept=tuple(sorted(kept)), example=example,
    )  # fmt: skip


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
