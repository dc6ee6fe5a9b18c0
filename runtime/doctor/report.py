"""The doctor's findings for a terminal, for a pipe and for programs; the worst of them decides the status."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bottlegen import __version__
from bottlegen.wording import seen
from runtime.doctor.examine import examine, host_of
from runtime.doctor.finding import LEVELS, Finding

_COLOURS = {"ok": "green", "warn": "yellow", "problem": "bold red"}


def doctor(*, online: bool, as_json: bool) -> int:
    """Print what is found; 1 when there is a problem."""
    home, homeless = _home()
    host, wrong = host_of(dict(os.environ), home)
    findings = [*homeless, *wrong, *examine(host, _here(), online=online)]
    if as_json:
        json.dump(document(findings), sys.stdout, indent=2)
        print()
    elif sys.stdout.isatty():
        _draw(findings)
    else:
        print(plain(findings))
    return int(worst(findings) == "problem")


def _home() -> tuple[Path, list[Finding]]:
    """Where host.toml, state and logins are looked for; nowhere for a user whom no one gave a home."""
    try:
        return Path.home(), []
    except RuntimeError:
        what = f"HOME is not set, and user {os.geteuid()} has no entry that says where home is"
        why = "no command that needs host.toml, a login or the state folder can run"
        return Path("/nowhere"), [Finding(level="problem", area="host.toml", what=what, why=why, fix="export HOME=…")]


def _here() -> Path:
    """The working directory, or the root where that is gone."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/")


def worst(findings: Sequence[Finding]) -> str:
    return max((finding.level for finding in findings), key=LEVELS.index, default="ok")


def document(findings: Sequence[Finding]) -> dict[str, object]:
    """As docs/doctor.md has it."""
    counts = {level: sum(finding.level == level for finding in findings) for level in LEVELS}
    told = [asdict(one) for one in findings]
    return {"version": __version__, "worst": worst(findings), "counts": counts, "findings": told}


def plain(findings: Sequence[Finding]) -> str:
    """A line for each finding, and below what is not well why it matters and what to type."""
    lines = []
    for one in findings:
        lines.append(f"{one.level:8}{one.area:11}{seen(one.what)}")
        for index, line in enumerate(one.why.splitlines()):
            lines.append(f"{'':19}{'why:' if not index else '    '} {seen(line)}")
        lines += [
            f"{'':19}{'fix:' if not index else '    '} {seen(line)}" for index, line in enumerate(one.fix.splitlines())
        ]
    return "\n".join([*lines, _summary(findings)])


def _summary(findings: Sequence[Finding]) -> str:
    counts = [(level, sum(one.level == level for one in findings)) for level in reversed(LEVELS)]
    return ", ".join(f"{count} {level}{'s' if level == 'problem' and count != 1 else ''}" for level, count in counts)


def _draw(findings: Sequence[Finding]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    for title in ("", "area", "what, why and what to type"):
        table.add_column(title, overflow="fold", no_wrap=title != "what, why and what to type")
    for one in findings:
        told = Text(seen(one.what))
        for line in one.why.splitlines():
            told.append(f"\n{seen(line)}", style="dim")
        for line in one.fix.splitlines():
            told.append(f"\n  {seen(line)}", style="cyan")
        table.add_row(Text(one.level, style=_COLOURS[one.level]), one.area, told)
    console = Console(highlight=False)
    console.print(table)
    console.print(_summary(findings))
