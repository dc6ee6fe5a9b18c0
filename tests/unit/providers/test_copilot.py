"""Copilot: GitHub's own token on GitHub's hosts and the few paths it needs, or a key of another API and no GitHub."""

import pytest

from bottlegen import pins
from bottlegen.errors import PlanError, SecretError
from bottlegen.hostview import HostProvision, HostView
from bottlegen.plan import AgentProvider
from bottlegen.providers import copilot

CANARY = "gho_canary-of-a-login"
REF = copilot.COPILOT_HOST_CREDENTIAL_TOKEN_REF
LOGIN = (
    f"github.com:\n    users:\n        me:\n            oauth_token: {CANARY}\n"
    f"    oauth_token: {CANARY}\n    user: me\n"
)


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


@pytest.mark.parametrize(
    ("one", "other"),
    [("auth_token", "api_key"), ("forward_host_credentials", "api_key"), ("forward_host_credentials", "auth_token")],
)
def test_two_credentials_contradict(one: str, other: str) -> None:
    with pytest.raises(PlanError, match=f"{one} and {other} contradict each other"):
        copilot.provision(AgentProvider(template="copilot", **{one: "A", other: "B"}), pins.load())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("env", "folder"),
    [
        ({}, "/home/me/.config/gh"),
        ({"XDG_CONFIG_HOME": "/x"}, "/x/gh"),
        ({"XDG_CONFIG_HOME": "/x", "GH_CONFIG_DIR": "/g"}, "/g"),
    ],
)
def test_the_token_is_taken_from_where_gh_keeps_it(env: dict[str, str], folder: str) -> None:
    host = HostView(env=env, home="/home/me", now=0, read={f"{folder}/hosts.yml": LOGIN.encode()}.get)
    made = copilot.provision_host(frozenset({REF}), host)
    assert [(name, secret.reveal()) for name, secret in made.env] == [(REF, CANARY)]
    assert made.files == ()


def test_it_goes_to_github_s_hosts_alone_and_the_agent_holds_a_placeholder() -> None:
    plan = copilot.provision(AgentProvider(template="copilot", forward_host_credentials=True), pins.load())
    assert {route.auth and route.auth.token_ref for route in plan.egress_routes} == {REF}
    assert all(
        route.host == "api.github.com" or route.host.endswith(".githubcopilot.com") for route in plan.egress_routes
    )
    assert dict(plan.env)["COPILOT_GITHUB_TOKEN"] == "github_pat_egress-placeholder"


def test_without_the_slot_nothing_is_read() -> None:
    host = HostView(env={}, home="/", now=0, read=lambda path: pytest.fail(f"read {path}"))
    assert copilot.provision_host(frozenset(), host) == HostProvision()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "no GitHub login of gh on this host"),
        ("example.com:\n    oauth_token: gho_canary-of-a-login\n", "the host's gh has no login to github.com"),
        ("github.com: gho_canary-of-a-login\n", "the host's gh has no login to github.com"),
        ("github.com:\n    user: me\n", "the host's gh keeps its token in a keyring"),
        ("github.com:\n    oauth_token: 7\n", "the host's GitHub login of gh holds no access token"),
        ("{gho_canary-of-a-login: [", "the host's GitHub login of gh is not a YAML object"),
    ],
)
def test_what_cannot_serve_is_refused_without_a_word_of_it(text: str | None, what: str) -> None:
    host = HostView(env={}, home="/home/me", now=0, read=lambda _: None if text is None else text.encode())
    with pytest.raises(SecretError, match=what) as refused:
        copilot.provision_host(frozenset({REF}), host)
    assert CANARY not in str(refused.value)
    assert 'COPILOT_GITHUB_TOKEN = { command = ["gh", "auth", "token"] }' in str(refused.value)
    assert refused.value.__context__ is None
