"""Claude: a placeholder where a token is injected, and nothing about credentials where none is."""

import json
from typing import Never

import pytest

from bottlegen import pins
from bottlegen.apis import PLACEHOLDER
from bottlegen.errors import PlanError
from bottlegen.hostview import HostProvision, HostView
from bottlegen.plan import WORKSPACE, AgentProvider, Auth, ProvisionPlan
from bottlegen.providers import PROVIDERS

CLAUDE = PROVIDERS["claude"]


def _plan(*, auth_token: str = "") -> ProvisionPlan:
    return CLAUDE.provision(AgentProvider(template="claude", auth_token=auth_token), pins.load())


def test_a_token_is_injected_and_its_placeholder_hidden() -> None:
    plan = _plan(auth_token="BOT_BOTTLE_CLAUDE_OAUTH_TOKEN")
    (route,) = plan.egress_routes
    assert (route.host, route.tls_passthrough) == ("api.anthropic.com", True)
    assert route.auth == Auth(token_ref="BOT_BOTTLE_CLAUDE_OAUTH_TOKEN", scheme="Bearer", header="authorization")
    assert dict(plan.env) == {
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
        "CLAUDE_CODE_OAUTH_TOKEN": "egress-placeholder",
        "DISABLE_AUTOUPDATER": "1",
    }
    assert plan.hidden_env_names == frozenset({"CLAUDE_CODE_OAUTH_TOKEN"})


def test_without_a_token_the_route_stands_alone() -> None:
    plan = _plan()
    (route,) = plan.egress_routes
    assert (route.host, route.auth, route.tls_passthrough) == ("api.anthropic.com", None, True)
    assert plan.env == (("DISABLE_AUTOUPDATER", "1"),)
    assert plan.hidden_env_names == frozenset()


def test_no_plan_holds_the_name_of_the_hosts_secret_outside_of_its_route() -> None:
    plan = _plan(auth_token="BOT_BOTTLE_CLAUDE_OAUTH_TOKEN")
    seen_by_agent = repr((plan.env, plan.files, plan.command, plan.image, plan.image_files))
    assert "BOT_BOTTLE_CLAUDE_OAUTH_TOKEN" not in seen_by_agent


def test_seeds_answer_the_first_starts_questions() -> None:
    state, settings = _plan().files
    assert (state.path, settings.path) == (".claude.json", ".claude/settings.json")
    assert all(file.keep and file.mode == 0o600 for file in (state, settings))
    assert json.loads(state.content)["projects"] == {WORKSPACE: {"hasTrustDialogAccepted": True}}
    assert json.loads(settings.content)["permissions"] == {"defaultMode": "bypassPermissions"}


def test_the_host_is_never_looked_at() -> None:
    def read(path: str) -> Never:
        raise AssertionError(path)

    host = HostView(env={}, home="/home/someone", now=0, read=read)
    assert CLAUDE.provision_host(frozenset({"BOT_BOTTLE_CLAUDE_OAUTH_TOKEN"}), host) == HostProvision()


def test_command_is_the_profiles_when_it_names_one() -> None:
    assert _plan().command == ("claude",)
    named = CLAUDE.provision(AgentProvider(template="claude", command=("claude", "--resume")), pins.load())
    assert named.command == ("claude", "--resume")


def test_a_key_goes_in_its_own_header_and_its_question_is_answered() -> None:
    plan = CLAUDE.provision(AgentProvider(template="claude", api_key="A_KEY"), pins.load())
    (route,) = plan.egress_routes
    assert route.auth == Auth(token_ref="A_KEY", scheme="", header="x-api-key")
    assert dict(plan.env)["ANTHROPIC_API_KEY"] == PLACEHOLDER
    assert "CLAUDE_CODE_OAUTH_TOKEN" not in dict(plan.env)
    state = json.loads(next(file.content for file in plan.files if file.path == ".claude.json"))
    assert state["customApiKeyResponses"]["approved"] == [PLACEHOLDER[-20:]]


def test_a_key_and_a_token_contradict() -> None:
    with pytest.raises(PlanError, match="auth_token and api_key contradict each other"):
        CLAUDE.provision(AgentProvider(template="claude", auth_token="A", api_key="B"), pins.load())
