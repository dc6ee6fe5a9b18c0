"""opencode: which login serves which model, and where the host keeps it."""

import json

import pytest

from bottlegen import pins
from bottlegen.errors import PlanError
from bottlegen.hostview import HostView
from bottlegen.plan import AgentProvider
from bottlegen.providers import opencode

CHATGPT, COPILOT = "OPENCODE_CHATGPT_HOST_CREDENTIAL_TOKEN_REF", "OPENCODE_COPILOT_HOST_CREDENTIAL_TOKEN_REF"


@pytest.mark.parametrize(
    ("model", "host", "ref"),
    [
        ("", "chatgpt.com", CHATGPT),
        ("openai/gpt-5.5", "chatgpt.com", CHATGPT),
        ("github-copilot/gpt-5.5", "api.githubcopilot.com", COPILOT),
    ],
)
def test_a_login_goes_to_its_own_host_and_no_key_is_held(model: str, host: str, ref: str) -> None:
    plan = opencode.provision(
        AgentProvider(template="opencode", forward_host_credentials=True, model=model), pins.load()
    )
    (route,) = plan.egress_routes
    assert (route.host, route.auth and route.auth.token_ref) == (host, ref)
    assert plan.hidden_env_names == frozenset()


def test_there_is_no_login_for_claude() -> None:
    agent = AgentProvider(template="opencode", forward_host_credentials=True, model="anthropic/claude-sonnet-4-5")
    with pytest.raises(PlanError, match="openai, github-copilot; or name a key with api_key"):
        opencode.provision(agent, pins.load())


@pytest.mark.parametrize(
    ("env", "path"),
    [({}, "/home/me/.local/share/opencode/auth.json"), ({"XDG_DATA_HOME": "/d"}, "/d/opencode/auth.json")],
)
def test_the_login_is_where_opencode_keeps_it(env: dict[str, str], path: str) -> None:
    login = {"github-copilot": {"type": "oauth", "access": "gho_secret", "refresh": "gho_secret", "expires": 0}}
    host = HostView(env=env, home="/home/me", now=0, read={path: json.dumps(login).encode()}.get)
    made = opencode.provision_host(frozenset({COPILOT}), host)
    assert [(name, secret.reveal()) for name, secret in made.env] == [(COPILOT, "gho_secret")]
    assert [file.path for file in made.files] == [".local/share/opencode/auth.json"]
