"""Whether this host has the credentials that bundles name, and how long its agents' logins last; never a value.

What a login is, only its provider's module knows: it is asked as at a start. What host.toml names is not fetched, as a
command may ask a person, but looked at.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bottlegen.errors import SecretError
from bottlegen.providers import PROVIDERS, Provider
from runtime.doctor.finding import Finding, of_problems
from runtime.host import Host, SecretSource
from runtime.secrets import set_fix

Wanted = Mapping[str, Sequence[str]]
"""By the name of a secret, the bundles that cannot start without it."""

_SOON = 3600
"""Seconds: a login that ends sooner ends in the middle of the work."""


@dataclass(slots=True)
class _Seen:
    """Whether a provider found anything of a login: what is not there at all is nobody's concern."""

    host: Host
    anything: bool = field(default=False)

    def read(self, path: str) -> bytes | None:
        try:
            data = self.host.view(0).read(path)
        except OSError:
            self.anything = True
            raise
        self.anything = self.anything or data is not None
        return data


def credentials(host: Host, wanted: Wanted, now: int) -> list[Finding]:
    """Logins that are here or wanted, then the other secrets that are wanted; `now` in seconds since the epoch."""
    found: list[Finding] = []
    owned: set[str] = set()
    for provider in PROVIDERS.values():
        owned |= provider.token_refs
        for ref in sorted(provider.token_refs):
            found += _login(host, provider, ref, wanted.get(ref, ()), now)
    return [*found, *(_secret(host, ref, wanted[ref]) for ref in sorted(wanted.keys() - owned))]


def _login(host: Host, provider: Provider, ref: str, bundles: Sequence[str], now: int) -> Iterator[Finding]:
    seen = _Seen(host)
    way = next((way.about for way in provider.credentials if way.name == ref), ref)
    about, _, command = way.partition(": ")
    try:
        given = provider.provision_host(frozenset({ref}), replace(host.view(now), read=seen.read))
    except SecretError as e:
        if bundles:
            yield from of_problems("logins", e.problems, f"needed by {_named(bundles)}, which cannot start", "problem")
        elif seen.anything:
            yield from of_problems("logins", e.problems, "a bottle that is given this login could not start", "warn")
        return
    ends = dict(given.expires).get(ref)
    if ends is None:
        yield Finding(level="ok", area="logins", what=f"{about}: is here")
    elif ends - now < _SOON:
        why = "a running bottle does not renew it: its agent would be refused, until `bottlegen refresh`"
        what = f"{about}: ends in {max(ends - now, 0) // 60} minutes"
        yield Finding(level="warn", area="logins", what=what, why=why, fix=command or about)
    else:
        yield Finding(level="ok", area="logins", what=f"{about}: lasts until {_day(ends)}")


def _secret(host: Host, ref: str, bundles: Sequence[str]) -> Finding:
    missing = _missing(host, ref)
    if missing:
        why = f"needed by {_named(bundles)}, which cannot start"
        return Finding(level="warn", area="logins", what=missing, why=why, fix=set_fix(ref))
    place = "host.toml" if ref in host.config.secrets else "the environment"
    return Finding(level="ok", area="logins", what=f"{ref}: from {place}")


def _missing(host: Host, ref: str) -> str:
    source = host.config.secrets.get(ref, SecretSource(env=ref))
    if source.env is not None:
        return "" if host.env.get(source.env, "").strip() else f"{source.env} is not set"
    if source.file is not None:
        path = Path(os.path.expanduser(source.file))  # noqa: PTH111 - this one bears a name that nobody has
        return "" if path.is_file() else f"host.toml leads {ref} to '{path}', which is no file"
    if source.command and not shutil.which(source.command[0], path=host.env.get("PATH")):
        return f"host.toml leads {ref} to the command '{source.command[0]}', which is not on PATH"
    return ""


def _named(bundles: Sequence[str]) -> str:
    return f"bundle{'s' if len(bundles) > 1 else ''} {', '.join(sorted(bundles))}"


def _day(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return "long after any clock's end"
