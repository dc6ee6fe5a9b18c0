"""The `agents` task: where this host has a credential, without any value and without running what host.toml names."""

import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from bottlegen import pins
from bottlegen.providers import PROVIDERS
from runtime import agents
from runtime.agents import Row, rows_of
from runtime.host import Host, HostConfig, SecretSource

CANARY = "canary-of-the-host"


def _rows(tmp_path: Path, env: dict[str, str], **secrets: SecretSource) -> dict[tuple[str, str], Row]:
    host = Host(env=env, home=tmp_path, config=HostConfig(secrets=secrets))
    return {(row.agent, row.field): row for row in rows_of(host, pins.load(), 0)}


def test_every_agent_is_listed_with_every_way_in(tmp_path: Path) -> None:
    rows = _rows(tmp_path, {})
    assert {agent for agent, _ in rows} == set(PROVIDERS)
    assert not any(row.source for row in rows.values())
    assert rows["claude", "api_key"].missing == "ANTHROPIC_API_KEY is not set"
    assert rows["codex", "forward_host_credentials"].missing == "no Codex login on this host"


def test_what_is_there_is_named_by_its_place_and_not_shown(tmp_path: Path) -> None:
    never = SecretSource(command=("false",))
    rows = _rows(tmp_path, {"OPENAI_API_KEY": CANARY, "BOT_BOTTLE_CLAUDE_OAUTH_TOKEN": " "}, ANTHROPIC_API_KEY=never)
    assert rows["codex", "api_key"].source == "environment"
    assert rows["claude", "api_key"].source == "host.toml"
    assert rows["claude", "auth_token"].source == ""
    assert CANARY not in str([asdict(row) for row in rows.values()])


@pytest.mark.parametrize(("columns", "terminal"), [(200, True), (80, True), (40, True), (40, False)])
def test_what_is_to_be_typed_stays_in_one_piece(
    columns: int, terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At any width; where a table fits, or nobody looks, each way in is one line."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    agents._print(tuple(rows_of(Host(env={}, home=tmp_path, config=HostConfig()), pins.load(), 0)))
    lines = capsys.readouterr().out.splitlines()
    line = next(line for line in lines if 'auth_token = "BOT_BOTTLE_CLAUDE_OAUTH_TOKEN"' in line)
    assert (line.startswith("claude ") and line.endswith(" is not set")) is (columns == 200 or not terminal)
    assert any(line.split()[:1] == ["shell"] for line in lines)
