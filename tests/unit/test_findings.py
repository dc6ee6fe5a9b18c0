"""What a finding of pipelock's is reduced to: hostile text in an event ends there."""

import json
from pathlib import Path
from typing import Any

import pytest

from bottlegen.bundle import Bundle
from bottlegen.errors import UsageError
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime import bottles
from runtime.base import BottleStatus
from runtime.findings import Finding, findings, line

SECRET = "ghp_0123456789abcdefghij"
PROFILE = """
[agent_provider]
template = "shell"
[[egress.routes]]
host = "open.test"
[[egress.routes]]
host = "*.wild.test"
[[tokens]]
kind = "gitea"
url = "https://forge.test"
token_ref = "T"
[[git.remotes]]
name = "site"
url = "https://git.test/acme/site"
"""


def _status(bundle: Bundle) -> BottleStatus:
    return BottleStatus(
        bottle="b", profile="p", hash=bundle.hash, session="s", runtime="docker", state="running", created="",
        services=(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("profile") / "p.toml"
    path.write_text(f"{PROFILE}[pipelock]\n")
    return build(load_profile(str(path)), load_pins())


def _found(bundle: Bundle, **event: Any) -> Finding:
    told = {"event": "blocked", "scanner": "dlp", "method": "GET", "time": "2026-11-22T15:01:48Z"} | event
    (finding,) = findings(json.dumps(told).encode() + b"\n{half", bundle)
    assert SECRET not in repr(finding) + line(finding)
    return finding


@pytest.mark.parametrize(
    ("reason", "rules"),
    [
        ("core DLP match: GitHub Token (critical)", ("GitHub Token",)),
        ("DLP match: Acme (profile) (critical)", ("Acme (profile)",)),
        ("DLP match: JWT Token (high) (base64-encoded)", ("JWT Token",)),
        ("known secret leak detected (hex-encoded)", ("Known Secret Leak",)),
        ("request body contains secret: JWT Token, Known Secret Leak", ("JWT Token", "Known Secret Leak")),
        (f"high entropy segment: {SECRET}", ()),
        (f"domain not in allowlist: {SECRET}.test", ()),
        (f"DLP match: GitHub Token (critical)\n{SECRET}", ()),
        (f"request body contains secret: {SECRET}=", ()),
    ],
)
def test_a_rule_is_a_name_of_a_known_sentence(bundle: Bundle, reason: str, rules: tuple[str, ...]) -> None:
    assert _found(bundle, reason=reason).rules == rules


@pytest.mark.parametrize(
    ("where", "host"),
    [
        ({"url": f"https://open.test:8443/?x={SECRET}"}, "open.test"),
        ({"url": f"https://{SECRET}@open.test/"}, "open.test"),
        ({"target": "git.test:443"}, "git.test"),
        ({"target": "forge.test:443"}, "forge.test"),
        ({"url": f"https://{SECRET}.a.wild.test/"}, "*.wild.test"),
        ({"url": f"https://{SECRET}.test/"}, "another host"),
        ({"url": f"https://[{SECRET}"}, "another host"),
        ({}, "another host"),
    ],
)
def test_a_host_is_a_pattern_of_the_bundle(bundle: Bundle, where: dict[str, str], host: str) -> None:
    assert _found(bundle, **where).host == host


def test_nothing_else_of_an_event_is_told(bundle: Bundle) -> None:
    found = _found(bundle, method=SECRET, time=SECRET, scanner="dlp", agent=SECRET, event="anomaly")
    assert (found.method, found.ts, found.decision) == ("", "", "warn")
    for event in ({"event": "startup"}, {"event": "anomaly", "scanner": "tls_intercept"}, {"event": "blocked"}):
        assert list(findings(json.dumps(event).encode(), bundle)) == []


class _Kept:
    """A runtime of one bottle whose pipelock has said one thing."""

    def read(self, bottle: str, service: str, path: str) -> bytes:
        assert (bottle, service, path) == ("b", "pipelock", "/tmp/events.jsonl")
        return b'{"event": "blocked", "scanner": "body_dlp", "url": "https://open.test/", "method": "POST"}'


def test_the_task_prints_it(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status = _status(bundle)
    monkeypatch.setattr(bottles, "find", lambda _name: (status, _Kept()))
    monkeypatch.setattr(bottles, "_kept", lambda _status: bundle)
    bottles.show_logs("b", follow=False, audit=False, inspection=True, as_json=False)
    assert capsys.readouterr().out.split() == ["deny", "POST", "open.test", "body_dlp"]
    bottles.show_logs("b", follow=False, audit=False, inspection=True, as_json=True)
    assert json.loads(capsys.readouterr().out)["host"] == "open.test"


def test_without_pipelock_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.toml").write_text(PROFILE)
    plain = build(load_profile(str(tmp_path / "p.toml")), load_pins())
    status = _status(plain)
    monkeypatch.setattr(bottles, "find", lambda _name: (status, _Kept()))
    monkeypatch.setattr(bottles, "_kept", lambda _status: plain)
    with pytest.raises(UsageError, match="has no pipelock"):
        bottles.show_logs("b", follow=False, audit=False, inspection=True, as_json=False)
