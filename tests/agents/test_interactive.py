"""An interactive start goes straight to the prompt: nothing is asked, and the first line typed is a turn.

Each seed is also left out once, to show that the question it answers would have been asked.
"""

import json
import re
from collections.abc import Callable

import pytest

from bottlegen.plan import AgentProvider
from tests.agents.stage import Stage
from tests.pretend import Pretence, PretendProvider
from tests.pretend.connect import Forwarder

CODEX = AgentProvider(template="codex", forward_host_credentials=True)
CLAUDE = AgentProvider(template="claude", auth_token="A_NAME_ON_THE_HOST")
QUESTIONS = (
    r"(?i)do you trust|trust this|sign in|log ?in|choose .* style|make auto mode|accept|update available|warning"
)


@pytest.mark.parametrize(
    ("agent", "prompt"), [(CODEX, "OpenAI Codex"), (CLAUDE, "bypass permissions on")], ids=["codex", "claude"]
)
def test_nothing_is_asked_and_the_first_line_is_a_turn(stage: Stage, agent: AgentProvider, prompt: str) -> None:
    plan = stage.provision(agent)
    pretence = Pretence(account=stage.login.account, reply="the answer of the pretend provider")
    hosts = {f"{route.host}:443" for route in plan.egress_routes}
    with PretendProvider(pretence) as provider, Forwarder(provider.address, allowed=hosts) as forwarder:
        env = stage.environment(plan, provider, forwarder)
        with stage.open_terminal(plan.command, env) as terminal:
            terminal.wait_for(prompt)
            terminal.settle()
            first_screen = terminal.words
            terminal.type("say hi")
            terminal.settle(quiet=0.3)
            terminal.type("\r")
            terminal.wait_for(r"the ?answer ?of ?the ?pretend ?provider")
    assert not re.search(QUESTIONS, first_screen)
    assert not (stage.home / ".codex/packages").exists(), "a daemon was installed"


def _without_codex_config(stage: Stage) -> None:
    """All but what keeps the daemon off, which no start survives that lacks Codex's whole package."""
    (stage.home / ".codex/config.toml").write_text("[features]\ndaemon_auto_start = false\n")


def _without_codex_login(stage: Stage) -> None:
    (stage.home / ".codex/auth.json").unlink()


def _without_claude_state(stage: Stage) -> None:
    (stage.home / ".claude.json").write_text("{}")


def _without_claude_trust(stage: Stage) -> None:
    path = stage.home / ".claude.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "projects": {}}))


@pytest.mark.parametrize(
    ("agent", "spoil", "question"),
    [
        (CODEX, _without_codex_config, r"(?i)bubblewrap|warning"),
        (CODEX, _without_codex_login, r"(?i)sign ?in"),
        (CLAUDE, _without_claude_state, r"(?i)theme|style|unable ?to ?connect"),
        (CLAUDE, _without_claude_trust, r"(?i)trust"),
    ],
)
def test_a_missing_seed_brings_its_question_back(
    stage: Stage, agent: AgentProvider, spoil: Callable[[Stage], None], question: str
) -> None:
    plan = stage.provision(agent)
    spoil(stage)
    with (
        PretendProvider(Pretence(account=stage.login.account)) as provider,
        Forwarder(provider.address) as forwarder,
        stage.open_terminal(plan.command, stage.environment(plan, provider, forwarder)) as terminal,
    ):
        terminal.wait_for(question)
