"""Pi: three ways to a subscription, each with its own host, header and placeholder."""

import pytest

from bottlegen import pins
from bottlegen.errors import PlanError
from bottlegen.plan import AgentProvider, Auth
from bottlegen.providers import pi


def test_a_subscription_s_token_goes_as_bearer_and_the_placeholder_has_its_shape() -> None:
    plan = pi.provision(AgentProvider(template="pi", auth_token="A_TOKEN"), pins.load())
    (route,) = plan.egress_routes
    assert (route.host, route.auth) == ("api.anthropic.com", Auth(token_ref="A_TOKEN"))
    assert dict(plan.env)["ANTHROPIC_OAUTH_TOKEN"] == "sk-ant-oat01-egress-placeholder"
    assert plan.hidden_env_names == {"ANTHROPIC_OAUTH_TOKEN"}


@pytest.mark.parametrize(("model", "host"), [("", "api.anthropic.com"), ("openai-codex/gpt-5.5", "chatgpt.com")])
def test_a_login_goes_to_its_own_host(model: str, host: str) -> None:
    plan = pi.provision(AgentProvider(template="pi", forward_host_credentials=True, model=model), pins.load())
    (route,) = plan.egress_routes
    assert (route.host, route.auth and route.auth.header) == (host, "authorization")
    assert route.auth
    assert route.auth.token_ref in pi.token_refs


@pytest.mark.parametrize(
    "changes",
    [
        {"forward_host_credentials": True, "api_key": "A"},
        {"forward_host_credentials": True, "auth_token": "A"},
        {"auth_token": "A", "api_key": "B"},
        {"auth_token": "A", "model": "openai/gpt-5.5"},
        {"forward_host_credentials": True, "model": "github-copilot/gpt-5.5"},
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(PlanError):
        pi.provision(AgentProvider(template="pi", **changes), pins.load())  # type: ignore[arg-type]
