"""The `show` task: what a bottle's agent will see and may reach, before anything runs."""

import json
import sys
from pathlib import Path

from bottlegen.pins import load as load_pins
from bottlegen.pipeline import Preview, load_profile, preview
from bottlegen.routes import HostRules, Rule
from runtime.build import place_of, shown

_ANY = "any"


def show_profile(asked: str, *, as_json: bool, cwd: Path) -> None:
    """Print the preview of a profile, built now."""
    view = preview(load_profile(shown(place_of(asked, cwd).profile)), load_pins())
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
        "sidecars": list(view.sidecars),
        "env": dict(view.env),
        "hidden_env": list(view.hidden),
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


def _print(view: Preview) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    document = _document(view)
    console.print(f"[bold]{document['profile']}[/]  {document['hash']}")
    console.print(f"runs       {' '.join(view.bundle.manifest.services['agent'].command)}")
    console.print(f"sidecars   {', '.join(view.sidecars)}")
    console.print(_limits_line(view))
    table = Table(
        title="may reach, and nothing else",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for column in ("host", "methods", "paths", "credential added"):
        table.add_column(column, overflow="fold")
    for host in view.routes.hosts:
        for rule in host.rules:
            table.add_row(*map(escape, _row(host, rule, view)))
    console.print(table if view.routes.hosts else "may reach  nothing")
    names = Table(
        title="env of the agent",
        title_justify="left",
        box=None,
        pad_edge=False,
        show_header=False,
    )
    for name, value in view.env:
        names.add_row(escape(name), escape(value))
    console.print(names)
    if view.hidden:
        console.print(f"[dim]and placeholders the agent needs: {', '.join(view.hidden)}[/]")


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


def _limits_line(view: Preview) -> str:
    limits = view.bundle.manifest.services["agent"].limits
    workspace = view.bundle.manifest.workspace
    folder = f"workspace {workspace.source} at {workspace.path}" if workspace.mode == "bind" else "no workspace"
    size = f"{limits.cpus:g} cpus, {limits.memory // 2**20} MiB, {limits.pids} tasks"
    return f"limits     {size}; {folder}; home {view.bundle.manifest.home}"
