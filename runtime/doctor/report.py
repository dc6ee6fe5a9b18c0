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
    """As `plain`, wrapped and in colours; but what is to be typed is a line of its own, which copies in one piece."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for one in findings:
        told = Text(seen(one.what))
        for line in one.why.splitlines():
            told.append(f"\n{seen(line)}", style="dim")
        table = Table.grid(padding=(0, 1))
        for width in (len("problem"), len("runtimes  "), None):
            table.add_column(width=width, overflow="fold")
        table.add_row(Text(one.level, style=_COLOURS[one.level]), one.area, told)
        console.print(table)
        for line in one.fix.splitlines():
            console.print(Text(f"  {seen(line)}", style="cyan"), soft_wrap=True)
    console.print(_summary(findings))
