"""The `show` task: what a bottle's agent will see and may reach, before anything runs."""

import io
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bottlegen.pipeline import Preview, load_profile, preview
from bottlegen.plan import GitRemote
from bottlegen.routes import HostRules, Rule
from runtime.build import pins_of, place_of, shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_ANY = "any"
_TO_THE_GATE = "GIT_CONFIG_"
"""Variables that lead git to the gate: the remotes say the same in fewer words."""

_PIPE_WIDTH = 240
"""Columns where no terminal says how many: wide enough that a row stays a line."""


def show_profile(asked: str, *, as_json: bool, cwd: Path) -> None:
    """Print the preview of a profile, built now."""
    place = place_of(asked, cwd)
    view = preview(load_profile(shown(place.profile)), pins_of(place))
    if as_json:
        json.dump(_document(view), sys.stdout, indent=2)
        print()
        return
    _print(view)


def _document(view: Preview) -> dict[str, object]:
    """The preview as plain data; the host's names of secrets are in it, their values nowhere."""
    manifest = view.bundle.manifest
    return {
        "profile": manifest.name,
        "hash": view.bundle.hash,
        "command": manifest.services["agent"].command,
        "routes": [_route(host, rule, view) for host in view.routes.hosts for rule in host.rules],
        "slots": [
            {
                "name": slot.name,
                "token_ref": slot.token_ref,
                "header": slot.header,
                "scheme": slot.scheme,
                "hosts": list(slot.hosts),
            }
            for slot in view.routes.slots
        ],
        "git_remotes": [_remote(remote) for remote in view.remotes],
        "sidecars": list(view.sidecars),
        "env": dict(view.env),
        "hidden_env": list(view.hidden),
        "rootfs": manifest.rootfs.model_dump() if manifest.rootfs else None,
        "home_files": [file.path for file in manifest.home_files],
        "workspace": manifest.workspace.model_dump(),
        "home": manifest.home,
        "limits": manifest.services["agent"].limits.model_dump(),
        "runtime": manifest.runtime,
        "isolation": manifest.isolation,
    }


def _route(host: HostRules, rule: Rule, view: Preview) -> dict[str, object]:
    return {
        "host": host.host,
        "port": host.port,
        "methods": list(rule.methods) or _ANY,
        "paths": [str(path) for path in rule.paths] or _ANY,
        "credential": view.routes.slot(rule.slot).token_ref if rule.slot else None,
        "rule": rule.name,
        "tls_passthrough": host.tls_passthrough,
    }


def _remote(remote: GitRemote) -> dict[str, object]:
    kept = {name: value for name, value in asdict(remote).items() if name not in ("origin", "credential")}
    return {**kept, "credential": remote.credential or None}


def _print(view: Preview) -> None:
    from rich.console import Console

    if sys.stdout.isatty():
        _write(view, Console(highlight=False))
        return
    buffer = io.StringIO()
    _write(view, Console(highlight=False, file=buffer, width=_PIPE_WIDTH))
    print("\n".join(line.rstrip() for line in buffer.getvalue().splitlines()))


def _write(view: Preview, console: "Console") -> None:
    from rich.markup import escape

    agent = view.bundle.manifest.services["agent"]
    console.print(f"[bold]{view.bundle.manifest.name}[/]  {view.bundle.hash}")
    console.print(f"runs       {escape(' '.join(agent.command))}")
    if rootfs := view.bundle.manifest.rootfs:
        console.print(f"rootfs     {rootfs.kind} {escape(rootfs.name)}  {rootfs.hash}")
    console.print(f"sidecars   {', '.join(view.sidecars)}")
    console.print(_limits_line(view))
    rows = [_row(host, rule, view) for host in view.routes.hosts for rule in host.rules]
    head = ("host", "methods", "paths", "credential added")
    console.print(_table("may reach, and nothing else", head, rows) if rows else "may reach  nothing")
    if view.remotes:
        told = map(_remote_row, view.remotes)
        way = "through the gate, and from it through pipelock, unread" if view.inspection else "through the gate"
        console.print(_table(f"git remotes, {way}", ("url", "read", "push", "also", "credential used"), told))
    env = [(name, value) for name, value in view.env if not name.startswith(_TO_THE_GATE)]
    console.print(_table("env of the agent", (), env))
    if view.hidden:
        console.print(f"[dim]and placeholders the agent needs: {', '.join(view.hidden)}[/]")


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=bool(head))
    for column in head:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _row(host: HostRules, rule: Rule, view: Preview) -> tuple[str, str, str, str]:
    where = host.host if host.port == 443 else f"{host.host}:{host.port}"
    slot = view.routes.slot(rule.slot) if rule.slot else None
    credential = f"{slot.header}: {f'{slot.scheme} ' if slot.scheme else ''}<{slot.token_ref}>" if slot else "-"
    return (
        where,
        " ".join(rule.methods) or _ANY,
        " ".join(map(str, rule.paths)) or _ANY,
        credential,
    )


def _remote_row(remote: GitRemote) -> tuple[str, str, str, str, str]:
    ways = [word for word, allowed in (("force", remote.force), ("delete", remote.delete)) if allowed]
    ways += [] if remote.secret_scan else ["no scan for secrets"]
    return (
        remote.url,
        " ".join(remote.fetch),
        " ".join((*remote.push, *remote.tags)) or "nothing",
        ", ".join(ways) or "-",
        f"<{remote.credential}>" if remote.credential else "-",
    )


def _limits_line(view: Preview) -> str:
    limits = view.bundle.manifest.services["agent"].limits
    workspace = view.bundle.manifest.workspace
    folder = f"workspace {workspace.source} at {workspace.path}" if workspace.mode == "bind" else "no workspace"
    size = f"{limits.cpus:g} cpus, {limits.memory // 2**20} MiB, {limits.pids} tasks"
    return f"limits     {size}; {folder}; home {view.bundle.manifest.home}"
