"""The real agents, unmodified, in bottles of the real engine take a turn, and the token is nowhere but upstream."""

import json
import os
from pathlib import Path

import pytest

from tests.contract.arena import AGENT_UID, ROOT, Arena, arena  # noqa: F401 - a fixture

pytestmark = pytest.mark.agents

CODEX_TURN = ("codex", "exec", "--skip-git-repo-check", "say hi")
TURNS_AT = {"codex": ("chatgpt.com", "/backend-api/codex/responses"), "claude": ("api.anthropic.com", "/v1/messages")}
CLAUDE_TURN = ("claude", "-p", "say hi")


@pytest.mark.parametrize("websocket", [True, False], ids=["websocket", "sse"])
def test_codex_completes_a_turn(arena: Arena, websocket: bool) -> None:  # noqa: F811
    arena.pretend(websocket=websocket)
    done = arena.bottlegen("up", "--profile", "codex", "--", *CODEX_TURN, timeout=180)
    assert done.returncode == 0, done.stderr
    assert arena.reply in done.stdout
    upgrades = [seen for seen in arena.provider.to("chatgpt.com") if seen.header("upgrade") == "websocket"]
    posts = [seen for seen in arena.provider.to("chatgpt.com") if seen.method == "POST" and "responses" in seen.path]
    assert upgrades
    assert bool(posts) is not websocket
    turn = upgrades[0] if websocket else posts[0]
    assert turn.header("authorization") == f"Bearer {arena.login.access_token}"
    assert turn.header("chatgpt-account-id") == arena.login.account


def test_codex_runs_its_tools_in_the_workspace(arena: Arena) -> None:  # noqa: F811
    arena.pretend(command="echo made-by-the-agent > made.txt")
    done = arena.bottlegen("up", "--profile", "codex", "--", *CODEX_TURN, timeout=180)
    assert done.returncode == 0, done.stderr
    made = arena.workspace / "made.txt"
    assert made.read_text() == "made-by-the-agent\n"
    assert made.stat().st_uid == arena.workspace.stat().st_uid


@pytest.mark.parametrize("name", ["codex", "claude"])
def test_no_trace_of_the_token(arena: Arena, name: str) -> None:  # noqa: F811
    """While the agent has taken a turn and the bottle still runs: every process, file, inspect, log and engine file.
    The turn's requests all carried the token, and what the agent holds for a login is a dummy."""
    arena.pretend()
    assert arena.bottlegen("up", "--profile", name, "--detach", "--", "sleep", "600").returncode == 0
    turn = {"codex": CODEX_TURN, "claude": CLAUDE_TURN}[name]
    done = arena.bottlegen("exec", "--name", name, "--", *turn, timeout=180)
    assert arena.reply in done.stdout, done.stderr
    needles = arena.secrets(name)
    host, path = TURNS_AT[name]
    turns = [seen for seen in arena.provider.to(host) if seen.path.startswith(path)]
    assert {seen.header("authorization") for seen in turns} == {f"Bearer {needles[0].decode()}"}
    if name == "codex":
        _login_is_a_dummy(arena)
    assert arena.found_in_bottle(name, needles) == []
    assert arena.found_on_host(needles) == []
    assert arena.bottlegen("down", "--name", name).returncode == 0
    assert arena.found_on_host(needles) == []


def _login_is_a_dummy(arena: Arena) -> None:  # noqa: F811
    """The bottle's auth.json: the expiry and account of the real one, and no token of it."""
    done = arena.bottlegen("exec", "--name", "codex", "--", "cat", "/home/agent/.codex/auth.json")
    document = json.loads(done.stdout)
    assert document["tokens"]["account_id"] == arena.login.account
    assert arena.claims(document["tokens"]["access_token"])["exp"] == arena.login.expires
    assert arena.claims(document["tokens"]["id_token"])["exp"] == arena.login.expires
    assert not any(secret.encode() in done.stdout.encode() for secret in arena.login.secrets)


def test_a_planted_token_is_found(arena: Arena) -> None:  # noqa: F811
    """The control: each place that the search covers is one where it finds."""
    needle = b"canary-planted-on-purpose"
    text = needle.decode()
    arena.bottlegen("up", "--profile", "shell", "--detach", "--", "sh", "-c", f"echo {text}; : {text}; sleep 600")
    for script in (
        f"echo {text} > /tmp/planted",
        f"echo {text} > $HOME/planted",
        f"echo {text} > /workspace/planted",
        f"X={text} sleep 601 & sleep 0.2",
    ):
        assert arena.bottlegen("exec", "--name", "shell", "--", "sh", "-c", script).returncode == 0
    (arena.state / "planted").write_text(text)
    inside = "\n".join(arena.found_in_bottle("shell", [needle]))
    said = ("inspect", "logs") if arena.engine else ("host process cmdline", "host process environ")
    for place in ("environ", "cmdline", "/tmp/planted", "/home/agent/planted", "/workspace/planted", *said):
        assert place in inside, f"{place} is not searched:\n{inside}"
    outside = "\n".join(arena.found_on_host([needle]))
    assert "state" in outside
    assert "engine" in outside or not arena.engine
    assert "/log" in outside or arena.engine


@pytest.mark.parametrize(("expires_in", "word"), [(None, "no Codex login"), (-60, "expired")])
def test_without_a_login(arena: Arena, expires_in: int | None, word: str) -> None:  # noqa: F811
    arena.log_in(expires_in)
    done = arena.bottlegen("up", "--profile", "codex", "--", *CODEX_TURN)
    assert done.returncode == 15
    assert word in done.stderr
    assert "fix: codex login" in done.stderr
    assert "Traceback" not in done.stderr
    assert arena.leftovers() == []


def test_refresh_rotates_a_running_bottle(arena: Arena) -> None:  # noqa: F811
    arena.pretend()
    arena.bottlegen("up", "--profile", "claude", "--detach", "--", "sleep", "600")
    ask = ("exec", "--name", "claude", "--", "curl", "-sS", "https://api.anthropic.com/v1/models")
    arena.bottlegen(*ask)
    arena.claude_token = "second-" + arena.claude_token
    assert arena.bottlegen("refresh", "--name", "claude").returncode == 0
    arena.until(lambda: arena.authorization_of(ask) == f"Bearer {arena.claude_token}")
    first, *_, last = (seen.header("authorization") for seen in arena.provider.to("api.anthropic.com"))
    assert first != last


def test_two_profiles_in_one_place(arena: Arena, tmp_path: Path) -> None:  # noqa: F811
    """Two bottles at once, each with its own home; the second of a name is refused and the first lives on."""
    for name in ("one", "two"):
        assert (
            arena.bottlegen("up", "--profile", "shell", "--detach", "--name", name, "--", "sleep", "600").returncode
            == 0
        )
    again = arena.bottlegen("up", "--profile", "shell", "--detach", "--name", "one", "--", "sleep", "600")
    assert again.returncode == 16
    assert "already up" in again.stderr
    listed = json.loads(arena.bottlegen("ps", "--json").stdout)
    mine = {entry["bottle"]: entry["state"] for entry in listed if entry["bottle"] in arena.names}
    assert mine == {arena.bottle("one"): "running", arena.bottle("two"): "running"}
    arena.down()
    assert arena.leftovers() == []


def test_an_agent_cannot_rewrite_what_was_reviewed(arena: Arena) -> None:  # noqa: F811
    """Profile, bundle and lock lie in the workspace; together rewritten, they would be what the next `up` runs."""
    profiles = arena.workspace / "profiles"
    profiles.mkdir()
    (profiles / "dev.toml").write_bytes((ROOT / "profiles" / "shell.toml").read_bytes())
    (arena.workspace / "bottlegen.lock").write_bytes((ROOT / "bottlegen.lock").read_bytes())
    assert arena.bottlegen("build", "--profile", str(profiles / "dev.toml")).returncode == 0
    for path in (arena.workspace, *arena.workspace.rglob("*")):
        os.chown(path, AGENT_UID, AGENT_UID)
    up = arena.bottlegen(
        "up", "--profile", str(profiles / "dev.toml"), "--name", "dev", "--detach", "--", "sleep", "600"
    )
    assert up.returncode == 0, up.stderr
    assert arena.bottlegen("exec", "--name", "dev", "--", "touch", "/workspace/mine").returncode == 0
    for attempt in (
        "echo >> profiles/dev.toml",
        "touch profiles/codex.toml",
        "mv profiles other",
        "echo >> bundles/dev/routes.json",
        "rm -r bundles/dev",
        "mv bundles other",
        "echo >> bottlegen.lock",
        "rm bottlegen.lock",
        "mv mine bottlegen.lock",
    ):
        done = arena.bottlegen("exec", "--name", "dev", "--", "sh", "-c", f"cd /workspace && {attempt}")
        assert done.returncode != 0, attempt
    assert (arena.workspace / "mine").exists()
    assert (arena.workspace / "bottlegen.lock").read_bytes() == (ROOT / "bottlegen.lock").read_bytes()


def test_the_home_is_kept_so_that_resume_works(arena: Arena) -> None:  # noqa: F811
    """A second bottle of the name goes on with the first one's session; --purge forgets it."""
    arena.pretend()
    first = arena.bottlegen("up", "--profile", "codex", "--", *CODEX_TURN, timeout=180)
    assert first.returncode == 0, first.stderr
    resumed = arena.bottlegen(
        "up", "--profile", "codex", "--", *CODEX_TURN[:3], "resume", "--last", "and again", timeout=180
    )
    assert resumed.returncode == 0, resumed.stderr
    session = next(line for line in first.stderr.splitlines() if line.startswith("session id:"))
    assert session in resumed.stderr
    assert arena.bottlegen("down", "--name", "codex", "--purge").returncode == 0
    assert not list(arena.state.rglob("sessions"))


def test_an_ephemeral_home_leaves_nothing(arena: Arena) -> None:  # noqa: F811
    profile = arena.folder / "brief.toml"
    profile.write_text('home = "ephemeral"\n[agent_provider]\ntemplate = "shell"\n')
    for _ in range(2):
        done = arena.bottlegen(
            "up", "--profile", str(profile), "--name", "brief", "--dev", "--", "sh", "-c", "ls -A ~; echo x > ~/mine"
        )
        assert (done.returncode, done.stdout) == (0, "")
    assert not list(arena.state.rglob("mine"))


def test_a_submodule_that_the_agent_adds_is_named(arena: Arena) -> None:  # noqa: F811
    """Git on the host enters it at `git status`, and heeds what is configured there."""
    script = (
        "git init -q trap && cd trap && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && cd .. "
        "&& git -c advice.addEmbeddedRepo=false add trap"
    )
    arena.make_repository()
    calm = arena.bottlegen("up", "--profile", "shell", "--", "true")
    assert (calm.returncode, "warning" in calm.stderr) == (0, False)
    done = arena.bottlegen("up", "--profile", "shell", "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert "warning: the agent added 'trap' to the index as a submodule" in done.stderr
