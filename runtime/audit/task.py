"""The `audit` task: which runs there are, whether their chains are whole, and what they say when added up."""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from bottlegen.audit_chain import BEGIN, Checked, Finding, check
from bottlegen.audit_summary import Summary, Tally, summarise
from bottlegen.errors import UsageError
from bottlegen.wording import seen
from runtime.audit.reading import written
from runtime.audit.runs import Audits, Noted, Run
from runtime.host import this_host
from runtime.state import State, check_bottle_name
from runtime.table import print_table

TAMPERED = 18
"""Exit status of `audit verify` when a chain is not whole."""

_DOES = ("list", "verify", "summary")
_DENIALS = 20


def audit(do: str, *, name: str, run: str, heads: str, as_json: bool) -> int:
    """Do what was asked; the exit status."""
    if do not in _DOES:
        raise UsageError(f"audit does not know '{do}'", fix=f"audit with one of {', '.join(_DOES)}")
    host = this_host()
    audits = Audits(State.of(host.env, host.home).audit)
    if do == "list":
        return _list(_asked(audits, name, run), as_json=as_json)
    if do == "summary":
        return _summarise(_asked(audits, name, run), as_json=as_json)
    return _verify(_asked(audits, name, run), frozenset(heads.split(",")) - {""}, as_json=as_json)


def _asked(audits: Audits, name: str, run: str) -> tuple[Run, ...]:
    """The runs that are meant: all, those of a bottle, or one."""
    found = audits.of(check_bottle_name(name)) if name else audits.every()
    found = tuple(each for each in found if not run or run in (each.name, each.session))
    if not found and (name or run):
        raise UsageError(f"no audit of '{run or name}' is kept", fix="bottlegen audit list")
    return found


def _list(runs: tuple[Run, ...], *, as_json: bool) -> int:
    rows = [_facts(run) for run in runs]
    if as_json:
        print(json.dumps(rows, indent=2))
    elif not rows:
        print("no audit is kept")
    else:
        head = ("bottle", "run", "state", "lines", "bytes")
        print_table(head, [tuple(str(row[name]) for name in head) for row in rows])
        print(f"kept in {runs[0].folder.parent.parent}")
    return 0


def _facts(run: Run) -> dict[str, object]:
    noted = {service: run.noted(service) for service in run.chains()}
    return {
        "bottle": run.bottle,
        "run": run.name,
        "state": _state(run, [each for each in noted.values() if each]),
        "lines": sum(each.head.seq for each in noted.values() if each),
        "bytes": run.size(),
        "folder": str(run.folder),
        "heads": {service: each.head.hash for service, each in noted.items() if each},
    }


def _state(run: Run, noted: Iterable[Noted]) -> str:
    states = {each.state for each in noted}
    if "closed" in states:
        return "closed"
    if run.is_written():
        return "written"
    return "ended" if states == {"ended"} else "broken off"


def _verify(runs: tuple[Run, ...], heads: frozenset[str], *, as_json: bool) -> int:
    """Check every chain; `heads` are hashes that were written down elsewhere, each of which has to be found."""
    found = [(run, service, _checked(run, service)) for run in runs for service in _expected(run)]
    lost = heads - {checked.head.hash for _, _, checked in found}
    whole = not lost and not any(checked.findings for _, _, checked in found)
    if as_json:
        print(json.dumps({"whole": whole, "unknown_heads": sorted(lost), "chains": [_document(*row) for row in found]}))
        return 0 if whole else TAMPERED
    for run, service, checked in found:
        print(f"{run.bottle} {run.name} {seen(service)}: {_verdict(run, service, checked)}")
        for finding in checked.findings:
            print(f"  {finding.kind}: {seen(finding.what)}\n    --> {finding.file}:{finding.line}")
    for head in sorted(lost):
        print(f"no chain ends with the head {seen(head)}")
    if not found:
        print("no audit is kept")
    return 0 if whole else TAMPERED


def _expected(run: Run) -> list[str]:
    """The services that have a chain, and those that another's first line says had one."""
    chains = run.chains()
    named = {str(_first(files).get("services", "")) for files in chains.values() if files}
    return sorted({*chains, *",".join(named).split(",")} - {""})


def _first(files: tuple[Path, ...]) -> dict[str, object]:
    """The fields of a chain's first line; none when it has no such line."""
    try:
        return dict(json.loads(next(_lines(files[0]), b"")))
    except (ValueError, TypeError):
        return {}


def _checked(run: Run, service: str) -> Checked:
    """The chain against its head, and against the name of the folder that it stands in.

    The head is read first: what is written meanwhile comes after it."""
    noted, files = run.noted(service), run.chains().get(service, ())
    checked = check(((str(path), _lines(path)) for path in files), noted.head if noted else None)
    return Checked(
        lines=checked.lines, head=checked.head, findings=(*checked.findings, *_misplaced(run, service, files))
    )


def _misplaced(run: Run, service: str, files: tuple[Path, ...]) -> Iterator[Finding]:
    if not files:
        return
    wanted = {"event": BEGIN, "bottle": run.bottle, "session": run.session, "service": service}
    first = _first(files)
    if first | wanted != first:
        what = "the first line is not the one that this run began with"
        yield Finding(kind="misplaced", file=str(files[0]), line=1, what=what)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _verdict(run: Run, service: str, checked: Checked) -> str:
    if checked.findings:
        return f"NOT WHOLE, {len(checked.findings)} finding{'s' if len(checked.findings) != 1 else ''}"
    noted = run.noted(service)
    missing = f", {noted.lost} could not be written" if noted and noted.lost else ""
    broken = ", broken off" if noted and noted.state in ("open", "losing") and not run.is_written() else ""
    return f"whole, {checked.lines} lines{missing}{broken}, head {checked.head.hash}"


def _document(run: Run, service: str, checked: Checked) -> dict[str, object]:
    noted = run.noted(service)
    return {
        "bottle": run.bottle, "run": run.name, "service": service, "lines": checked.lines,
        "head": checked.head.hash, "state": noted.state if noted else None, "lost": noted.lost if noted else None,
        "findings": [asdict(finding) for finding in checked.findings],
    }  # fmt: skip


def _summarise(runs: tuple[Run, ...], *, as_json: bool) -> int:
    summary = summarise(line.fields for run in runs for line in written(run, follow=False))
    if as_json:
        print(json.dumps({"runs": len(runs), **asdict(summary)}))
        return 0
    if sys.stdout.isatty():
        _show(summary, len(runs))
        return 0
    print(_total(summary, len(runs)))
    for title, tallies in (("host", summary.hosts), ("credential", summary.credentials)):
        if tallies:
            print()
            print_table((title, "requests", "denied", "bytes sent", "bytes received"), map(_row, tallies))
    if summary.denials:
        print()
        print_table(("denied", "method", "host", "path"), _denials(summary))
    return 0


def _show(summary: Summary, runs: int) -> None:
    """The same as tables with lines."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(_total(summary, runs), markup=False)
    heads = ("requests", "denied", "bytes sent", "bytes received")
    tables: list[tuple[tuple[str, ...], list[tuple[str, ...]]]] = [
        (("host", *heads), [*map(_row, summary.hosts)]),
        (("credential", *heads), [*map(_row, summary.credentials)]),
        (("denied", "method", "host", "path"), [*_denials(summary)]),
    ]
    for head, rows in tables:
        if rows:
            table = Table(*head)
            for row in rows:
                table.add_row(*(Text(seen(cell)) for cell in row))
            console.print(table)


def _total(summary: Summary, runs: int) -> str:
    lost = f", {summary.lost} lines could not be written" if summary.lost else ""
    return f"{runs} run{'s' if runs != 1 else ''}, {summary.requests} requests, {summary.denied} denied{lost}"


def _row(tally: Tally) -> tuple[str, ...]:
    return (tally.name, str(tally.requests), str(tally.denied), str(tally.sent), str(tally.received))


def _denials(summary: Summary) -> Iterator[tuple[str, ...]]:
    for denial in summary.denials[:_DENIALS]:
        yield str(denial.count), denial.method, denial.host, denial.path
    if len(summary.denials) > _DENIALS:
        yield "", "", f"and {len(summary.denials) - _DENIALS} more", ""
