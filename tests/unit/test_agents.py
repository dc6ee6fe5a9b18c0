"""The `agents` task: where this host has a credential, without any value and without running what host.toml names."""

from dataclasses import asdict
from pathlib import Path

from bottlegen import pins
from bottlegen.providers import PROVIDERS
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
