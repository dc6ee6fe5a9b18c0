"""Copilot: GitHub's own token on GitHub's hosts and the few paths it needs, or a key of another API and no GitHub."""

import pytest

from bottlegen import pins
from bottlegen.errors import PlanError
from bottlegen.plan import AgentProvider
from bottlegen.providers import copilot


def test_the_token_goes_to_github_where_the_cli_asks_and_to_every_plan() -> None:
    plan = copilot.provision(AgentProvider(template="copilot", auth_token="A_TOKEN"), pins.load())
    reached = {route.host: route.paths for route in plan.egress_routes}
    assert reached == {
        "api.github.com": ("/copilot_internal/**",),
        "api.githubcopilot.com": (),
        "api.individual.githubcopilot.com": (),
        "api.business.githubcopilot.com": (),
        "api.enterprise.githubcopilot.com": (),
    }
    assert dict(plan.env)["COPILOT_GITHUB_TOKEN"].startswith("github_pat_")


def test_with_a_key_github_is_out_of_reach() -> None:
    agent = AgentProvider(template="copilot", api_key="A_KEY", model="openai/gpt-5.5")
    plan = copilot.provision(agent, pins.load())
    env = dict(plan.env)
    assert [route.host for route in plan.egress_routes] == ["api.openai.com"]
    assert (env["COPILOT_OFFLINE"], env["COPILOT_PROVIDER_WIRE_API"], env["COPILOT_MODEL"]) == (
        "true",
        "responses",
        "gpt-5.5",
    )
    assert "COPILOT_GITHUB_TOKEN" not in env


def test_two_credentials_contradict() -> None:
    with pytest.raises(PlanError, match="auth_token and api_key contradict each other"):
        copilot.provision(AgentProvider(template="copilot", auth_token="A", api_key="B"), pins.load())
