"""cred-proxy in bottles of every runtime: real tools find their way there untold, and hold no credential."""

import pytest

from tests.contract.arena import Arena, arena  # noqa: F401 - a fixture

PROFILE = """
[agent_provider]
template = "claude"

[[tokens]]
kind = "anthropic"
token_ref = "BOT_BOTTLE_CLAUDE_OAUTH_TOKEN"

[[tokens]]
kind = "github"
token_ref = "MY_GITHUB_TOKEN"
"""


@pytest.mark.agents
def test_claude_and_git_go_through_it(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    arena.pretend()
    token = f"ghp-{arena.canary}"
    (arena.folder / "tokens.toml").write_text(PROFILE)
    monkeypatch.setattr(Arena, "env", {**arena.env, "MY_GITHUB_TOKEN": token})
    up = ("up", "--dev", "--profile", str(arena.folder / "tokens.toml"), "--name", "tokens", "--detach")
    assert arena.bottlegen(*up, "--", "sleep", "600", timeout=180).returncode == 0
    done = arena.bottlegen("exec", "--name", "tokens", "--", "claude", "-p", "say hi", timeout=180)
    assert arena.reply in done.stdout, done.stderr
    turns = [seen for seen in arena.provider.to("api.anthropic.com") if seen.path.startswith("/v1/messages")]
    assert {seen.header("authorization") for seen in turns} == {f"Bearer {arena.claude_token}"}
    for address in ("https://github.com/a/b.git", "git@github.com:a/b.git"):
        arena.bottlegen("exec", "--name", "tokens", "--", "git", "ls-remote", address)
        asked = arena.provider.to("github.com")[-1]
        assert (asked.path, asked.header("authorization")) == (
            "/a/b.git/info/refs?service=git-upload-pack",
            f"Bearer {token}",
        )
    needles = [arena.claude_token.encode(), token.encode()]
    assert arena.found_in_bottle("tokens", needles) == []
    assert arena.found_on_host(needles) == []
