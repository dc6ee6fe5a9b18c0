"""The `verify` task: a bundle beside its manifest, or a running bottle beside its bundle; every row is a comparison."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bottlegen.bundle import read
from bottlegen.errors import BundleError, UsageError
from bottlegen.wording import seen
from runtime import run_record
from runtime.base import BottleStatus, Finding, Run
from runtime.bottles import find
from runtime.host import this_host
from runtime.probes import host_addresses, probe
from runtime.state import State

DIFFERS = 2
"""Exit status when a running bottle is not what its bundle says, or cannot be seen to be."""

_MARK = {"equal": "ok", "differs": "DIFFERS", "unknown": "UNKNOWN"}
_STYLE = {"equal": "green", "differs": "bold red", "unknown": "yellow"}


def verified_hash(asked: str) -> str:
    """SRI hash of the bundle in the folder `asked`, a path of a Nix store or a link to one included."""
    if not asked:
        raise UsageError("nothing to verify", fix="bottlegen verify bundles/NAME, or a path in the Nix store")
    return read(Path(asked)).hash


def verify_bottle(name: str, *, probes: bool, as_json: bool) -> int:
    """Print every row of a running bottle, by its name or the only one there is; 0 when all are equal, else 2."""
    status, runtime = find(name)
    run = _run(status)
    findings = [*runtime.compare(run)]
    if probes and all(each.state == "equal" for each in findings if each.check == "running"):
        findings += probe(run, runtime, addresses=host_addresses())
    equal = all(each.state == "equal" for each in findings)
    if as_json:
        print(json.dumps(_document(status, findings, equal=equal), indent=2))
    else:
        _print(status, findings, equal=equal)
    return 0 if equal else DIFFERS


def _run(status: BottleStatus) -> Run:
    """The start of the bottle, from what it left: the bundle that it ran, and what it came to know."""
    host = this_host()
    state = State.of(host.env, host.home)
    kept = state.bundle(status.bottle)
    if not kept.exists():
        raise BundleError(
            f"'{kept}' is gone, so what bottle '{status.bottle}' should be is not known",
            fix="bottlegen down, then up (or verify with the XDG_STATE_HOME that up had)",
        )
    bundle = read(kept)
    if bundle.hash != status.hash:
        raise BundleError(
            f"bottle '{status.bottle}' says that it runs {status.hash}, and its kept bundle is {bundle.hash}",
            fix="bottlegen down, then up",
        )
    return run_record.load(state.run(status.bottle), bundle)


def _document(status: BottleStatus, findings: Iterable[Finding], *, equal: bool) -> dict[str, object]:
    return {
        "bottle": status.bottle,
        "profile": status.profile,
        "hash": status.hash,
        "runtime": status.runtime,
        "equal": equal,
        "rows": [
            {"part": each.part, "check": each.check, "state": each.state, "found": each.found} for each in findings
        ],
    }


def _print(status: BottleStatus, findings: Sequence[Finding], *, equal: bool) -> None:
    if sys.stdout.isatty():
        _print_table(findings)
    else:
        for each in findings:
            print(f"{_MARK[each.state]:8}{each.part}  {each.check}{f': {seen(each.found)}' if each.found else ''}")
    verdict = "is what its bundle says" if equal else "is NOT what its bundle says"
    print(f"bottle {status.bottle} on {status.runtime} {verdict}  {status.hash}")


def _print_table(findings: Iterable[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("part", "compared", "", "found"):
        table.add_column(column, overflow="fold")
    for each in findings:
        mark = f"[{_STYLE[each.state]}]{_MARK[each.state]}[/]"
        table.add_row(escape(each.part), each.check, mark, escape(seen(each.found)))
    Console(highlight=False).print(table)
