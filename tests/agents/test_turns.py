"""Each real agent completes turns with what its provider provisions, over the hosts its provider lists, and no others.

No egress sidecar is here, so what the pretend provider sees is what the agent holds: placeholders and dummies alone.
"""

import json
from typing import Any

import pytest

from bottlegen.chatgpt import claims_of
from bottlegen.plan import AgentProvider, ProvisionPlan
from bottlegen.providers.codex import EXPIRY_MARGIN
from tests.agents.stage import Stage
from tests.pretend import Pretence, PretendProvider
from tests.pretend.connect import Forwarder
from tests.pretend.login import CodexLogin, jwt

CODEX = AgentProvider(template="codex", forward_host_credentials=True)
CLAUDE = AgentProvider(template="claude", auth_token="A_NAME_ON_THE_HOST")
RESPONSES = "/backend-api/codex/responses"


def _hosts(plan: ProvisionPlan) -> set[str]:
    return {f"{route.host}:{route.port}" for route in plan.egress_routes}


@pytest.mark.parametrize("websocket", [True, False], ids=["websocket", "sse"])
def test_codex_completes_a_turn(stage: Stage, login: CodexLogin, websocket: bool) -> None:
    plan = stage.provision(CODEX)
    dummy = json.loads((stage.home / ".codex/auth.json").read_text())["tokens"]["access_token"]
    pretence = Pretence(account=login.account, reply="the answer", websocket=websocket)
    with PretendProvider(pretence) as provider, Forwarder(provider.address) as forwarder:
        env = stage.environment(plan, provider, forwarder)
        done = stage.run((*plan.command, "exec", "--skip-git-repo-check", "say hi"), env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "the answer"
    turns = [seen for seen in provider.seen if seen.path == RESPONSES]
    assert ("POST" in {seen.method for seen in turns}) == (not websocket)
    assert {seen.header("authorization") for seen in provider.seen} == {f"Bearer {dummy}"}
    assert {seen.header("chatgpt-account-id") for seen in turns} == {login.account}
    assert set(forwarder.asked) <= _hosts(plan)


def test_codex_runs_a_tool(stage: Stage, login: CodexLogin) -> None:
    plan = stage.provision(CODEX)
    pretence = Pretence(account=login.account, command="echo tool-$((40 + 2)) | tee made-by-tool")
    with PretendProvider(pretence) as provider, Forwarder(provider.address) as forwarder:
        env = stage.environment(plan, provider, forwarder)
        done = stage.run((*plan.command, "exec", "--skip-git-repo-check", "say hi"), env)
    assert "tool-42" in done.stdout, done.stderr
    assert (stage.workspace / "made-by-tool").read_text() == "tool-42\n"


def test_codex_refuses_an_account_that_is_not_the_hosts(stage: Stage) -> None:
    """Why the dummy carries the real account id."""
    plan = stage.provision(CODEX)
    with PretendProvider(Pretence(account="another")) as provider, Forwarder(provider.address) as forwarder:
        env = stage.environment(plan, provider, forwarder)
        done = stage.run((*plan.command, "exec", "--skip-git-repo-check", "say hi"), env)
    assert done.returncode != 0
    assert not [seen for seen in provider.seen if seen.path == RESPONSES]


@pytest.mark.parametrize(("lifetime", "asks_to_refresh"), [(EXPIRY_MARGIN + 60, False), (EXPIRY_MARGIN - 30, True)])
def test_codex_refreshes_only_what_has_expired(stage: Stage, lifetime: int, asks_to_refresh: bool) -> None:
    """Why the dummy carries the real expiry, and why a login must last that much longer for a bottle to start."""
    plan = stage.provision(CODEX)
    path = stage.home / ".codex/auth.json"
    path.write_text(_with_lifetime(path.read_text(), lifetime - 10 * 86400))
    with PretendProvider(Pretence(account=stage.login.account)) as provider, Forwarder(provider.address) as forwarder:
        env = stage.environment(plan, provider, forwarder)
        stage.run((*plan.command, "exec", "--skip-git-repo-check", "say hi"), env)
    assert bool(provider.to("auth.openai.com")) == asks_to_refresh


def _with_lifetime(auth: str, change: int) -> str:
    document: dict[str, Any] = json.loads(auth)
    claims: dict[str, Any] = dict(claims_of(document["tokens"]["access_token"]) or {})
    token = jwt({**claims, "exp": claims["exp"] + change})
    document["tokens"].update(access_token=token, id_token=token)
    return json.dumps(document)


@pytest.mark.parametrize("command", ["", "echo tool-$((40 + 2)) | tee made-by-tool"], ids=["words", "tool"])
def test_claude_completes_a_turn(stage: Stage, command: str) -> None:
    plan = stage.provision(CLAUDE)
    pretence = Pretence(reply="the answer", command=command)
    with PretendProvider(pretence) as provider, Forwarder(provider.address) as forwarder:
        done = stage.run((*plan.command, "-p", "hi"), stage.environment(plan, provider, forwarder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ("the answer: tool-42" if command else "the answer")
    assert {seen.header("authorization") for seen in provider.seen} == {"Bearer egress-placeholder"}
    assert {seen.header("x-api-key") for seen in provider.seen} == {None}
    assert set(forwarder.asked) <= _hosts(plan)
    assert (stage.workspace / "made-by-tool").exists() == bool(command)
