"""A bottle as a picture's content, not yet drawn: agent, sidecars, and the hosts by the credential they receive.

Bounded whatever the profile holds: what is left out is counted in the picture.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from bottlegen.authority import Authority, Credential, Grant, HostGrants
from bottlegen.git_reach import writable
from bottlegen.plan import GitRemote
from bottlegen.reach_text import credential_name, host_name
from bottlegen.wording import shown

MAX_RULES = 12
"""Rules of one host that are drawn."""

MAX_HOSTS = 120
"""Hosts that are drawn; a page with more is no picture."""

_MAX_PATHS = 4
_MAX_NAMES = 12

Names = frozenset[tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What one host (with its port) allows, one text a rule; `widens` when a change of it is to be pointed at."""

    name: str
    rules: tuple[str, ...]
    widens: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Hosts whose requests carry the same credential and are treated alike; `number` counts credentials from 1."""

    title: str
    number: int
    inspected: bool
    hosts: tuple[Host, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """`agent` are short lines about it; `credentials` the titles of cards that have one; `more` hosts are left out."""

    name: str
    agent: tuple[str, ...]
    sidecars: tuple[str, ...]
    credentials: tuple[tuple[int, str], ...]
    cards: tuple[Card, ...]
    more: int = 0


NO_CREDENTIAL = "no credential added"


def picture(authority: Authority, widened: Names = frozenset()) -> Picture:
    """The picture of what `authority` permits; hosts in `widened` are pointed at and never left out."""
    shown_hosts = _chosen(authority.hosts, widened)
    found = sorted({grant.credential for host in authority.hosts for grant in host.grants if grant.credential})
    numbers: dict[Credential | None, int] = {credential: index for index, credential in enumerate(found, 1)}
    listed = tuple((numbers[credential], credential_name(credential)) for credential in found[:_MAX_NAMES])
    more = ((0, f"and {len(found) - _MAX_NAMES} more"),) if len(found) > _MAX_NAMES else ()
    git = tuple(_git_cards(authority.remotes, len(found)))
    return Picture(
        name=authority.name,
        agent=tuple(_agent(authority)),
        sidecars=tuple(name for name in authority.services if name != "agent"),
        credentials=(*listed, *more, *((card.number, card.title) for card in git if card.number)),
        cards=(*_cards(shown_hosts, numbers, widened), *git),
        more=len(authority.hosts) - len(shown_hosts),
    )


def _chosen(hosts: tuple[HostGrants, ...], widened: Names) -> tuple[HostGrants, ...]:
    """At most MAX_HOSTS, those that are pointed at before others."""
    first = sorted(hosts, key=lambda host: (host.host, host.port) not in widened)[:MAX_HOSTS]
    return tuple(sorted(first, key=lambda host: (host.host, host.port)))


def _agent(authority: Authority) -> Iterator[str]:
    yield f"provider {authority.value('agent', 'provider')}"
    yield f"home {authority.value('agent', 'home')}"
    mount = authority.mount
    yield f"workspace {shown(mount.source)}" if mount else "no workspace"
    if mount and mount.read_only:
        yield f"of it read-only: {_listed(tuple(map(shown, sorted(mount.read_only))))}"
    yield f"isolation {authority.value('isolation', 'weakest isolation')} or stronger"
    limits = (authority.value("resources", f"agent {name}") for name in ("cpus", "memory", "tasks"))
    yield "{} cpus, {}, {} tasks".format(*limits)


_Row = tuple[tuple[int, bool], HostGrants, Grant]
"""Credential's number and inspection, which make a card; a host, and one grant of it."""


def _cards(hosts: Iterable[HostGrants], numbers: dict[Credential | None, int], widened: Names) -> Iterator[Card]:
    """With credentials first: those are what a reader looks for."""
    last = len(numbers) + 1
    rows: list[_Row] = [
        ((numbers.get(grant.credential, last), host.inspected), host, grant) for host in hosts for grant in host.grants
    ]
    for (number, inspected), group in groupby(sorted(rows, key=lambda row: row[0]), key=lambda row: row[0]):
        card = list(group)
        credential = card[0][2].credential
        yield Card(
            title=credential_name(credential) if credential else NO_CREDENTIAL,
            number=number if credential else 0,
            inspected=inspected,
            hosts=tuple(_hosts(card, widened)),
        )


def _git_cards(remotes: Iterable[GitRemote], credentials: int) -> Iterator[Card]:
    """One for each credential that the git gate holds, numbered after those of egress, and one for none."""
    ordered = sorted(remotes, key=lambda remote: (not remote.credential, remote.credential, remote.name))
    groups = groupby(ordered, key=lambda remote: remote.credential)
    for number, (credential, group) in enumerate(groups, credentials + 1):
        same = list(group)
        yield Card(
            title=f"git, {credential}" if credential else "git, no credential",
            number=number if credential else 0,
            inspected=all(remote.secret_scan for remote in same),
            hosts=tuple(Host(name=remote.url, rules=tuple(_git_rules(remote))) for remote in same),
        )


def _git_rules(remote: GitRemote) -> Iterator[str]:
    yield f"read {_listed(remote.fetch)}"
    yield f"push {_listed(writable(remote)) or 'nothing'}"
    yield from (word for word, allowed in (("force", remote.force), ("delete", remote.delete)) if allowed)
    if not remote.secret_scan:
        yield "no scan for secrets"


def _hosts(rows: Iterable[_Row], widened: Names) -> Iterator[Host]:
    for (name, port), group in groupby(rows, key=lambda row: (row[1].host, row[1].port)):
        texts = [_rule(grant) for _, _, grant in group]
        rest = len(texts) - MAX_RULES
        yield Host(
            name=host_name(name, port),
            rules=(*texts[:MAX_RULES], *([f"and {rest} more rules"] if rest > 0 else [])),
            widens=(name, port) in widened,
        )


def _rule(grant: Grant) -> str:
    methods = ", ".join(grant.methods) or "any method"
    return f"{methods} {_listed(tuple(map(str, grant.paths)))}" if grant.paths else f"{methods}, any path"


def _listed(texts: tuple[str, ...]) -> str:
    more = len(texts) - _MAX_PATHS
    return ", ".join(texts[:_MAX_PATHS]) + (f" and {more} more" if more > 0 else "")
