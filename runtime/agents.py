"""The `agents` task: which agents there are, what gives each access, and whether this host has it; never a value."""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from bottlegen.errors import SecretError
from bottlegen.pins import Pins
from bottlegen.pins import load as load_pins
from bottlegen.plan import Credential
from bottlegen.providers import PROVIDERS, Provider
from runtime.host import Host, this_host
from runtime.table import print_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One agent with one way to give it access; `source` is where this host has the secret, `missing` why not."""

    agent: str
    version: str
    field: str
    secret: str
    about: str
    source: str
    missing: str


def list_agents(*, as_json: bool) -> None:
    """Print every agent, a row for each credential that it takes."""
    rows = tuple(rows_of(this_host(), load_pins(), int(time.time())))
    if as_json:
        json.dump([asdict(row) for row in rows], sys.stdout, indent=2)
        print()
        return
    _print(rows)


def rows_of(host: Host, pins: Pins, now: int) -> Iterator[Row]:
    """In the order of the registry; `now` in seconds since the epoch."""
    for name, provider in PROVIDERS.items():
        version = next(iter(pins.versions(name)), "")
        if not provider.credentials:
            yield Row(agent=name, version=version, field="", secret="", about="", source="", missing="")
        for way in provider.credentials:
            source, missing = _found(way, provider, host, now)
            yield Row(
                agent=name, version=version, field=way.field, secret=way.name, about=way.about, source=source,
                missing=missing,
            )  # fmt: skip


def _found(way: Credential, provider: Provider, host: Host, now: int) -> tuple[str, str]:
    """Where the secret is, or why it is not there. What host.toml names is not fetched: a command may ask a person."""
    if way.name in provider.token_refs:
        try:
            provider.provision_host(frozenset({way.name}), host.view(now))
        except SecretError as e:
            return "", e.problems[0].what
        return "its login on this host", ""
    if way.name in host.config.secrets:
        return "host.toml", ""
    return ("environment", "") if host.env.get(way.name, "").strip() else ("", f"{way.name} is not set")


def _print(rows: tuple[Row, ...]) -> None:
    cells = [_cells(row, before) for before, row in zip((None, *rows), rows, strict=False)]
    head = ("agent", "version", "in the profile", "what it is", "on this host")
    widths = [max(len(line[column]) for line in (head, *cells)) for column in range(len(head))]
    if not sys.stdout.isatty() or sum(widths) + 2 * len(widths) <= shutil.get_terminal_size().columns:
        print_table(head, cells)
        return
    for agent, version, field, about, there in cells:  # narrower: what is to be typed stays in one piece
        if agent:
            print(f"{agent}  {version}".rstrip())
        print(f"  {field}\n    {about}\n    {there}" if field != "-" else f"  {there}")


def _cells(row: Row, before: Row | None) -> tuple[str, str, str, str, str]:
    given = "true" if row.field == "forward_host_credentials" else f'"{row.secret}"'
    there = "needs none" if not row.field else row.source or f"no: {row.missing}"
    agent, version = (row.agent, row.version) if not before or row.agent != before.agent else ("", "")
    return agent, version, f"{row.field} = {given}" if row.field else "-", row.about or "-", there
