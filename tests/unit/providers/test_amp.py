"""Amp: the token of the host's login is the slot's secret, and no file of it comes into the bottle."""

import pytest

from bottlegen import pins
from bottlegen.errors import SecretError
from bottlegen.hostview import HostProvision, HostView
from bottlegen.plan import AgentProvider, Auth
from bottlegen.providers import amp

CANARY = "canary-of-a-login"
REF = amp.AMP_HOST_CREDENTIAL_TOKEN_REF


def _host(data: bytes | None) -> HostView:
    path = "/home/me/.local/share/amp/secrets.json"
    return HostView(env={}, home="/home/me", now=0, read=lambda asked: data if asked == path else None)


def test_the_token_is_taken_and_the_agent_holds_a_placeholder() -> None:
    made = amp.provision_host(frozenset({REF}), _host(f'{{"apiKey@https://ampcode.com/": "{CANARY}"}}'.encode()))
    assert [(name, secret.reveal()) for name, secret in made.env] == [(REF, CANARY)]
    assert made.files == ()
    plan = amp.provision(AgentProvider(template="amp", forward_host_credentials=True), pins.load())
    assert plan.egress_routes[0].auth == Auth(token_ref=REF)
    assert dict(plan.env)["AMP_API_KEY"] == "egress-placeholder"


def test_without_the_slot_nothing_is_read() -> None:
    host = HostView(env={}, home="/", now=0, read=lambda path: pytest.fail(f"read {path}"))
    assert amp.provision_host(frozenset({"AMP_API_KEY"}), host) == HostProvision()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (None, "no Amp login on this host"),
        (b'{"apiKey@https://other.example/": "canary-of-a-login"}', "the host's Amp login holds no access token"),
        (b"canary-of-a-login", "the host's Amp login is not a JSON object"),
    ],
)
def test_what_cannot_serve_is_refused_without_a_word_of_it(data: bytes | None, what: str) -> None:
    with pytest.raises(SecretError, match=what) as refused:
        amp.provision_host(frozenset({REF}), _host(data))
    assert CANARY not in str(refused.value)
    assert str(refused.value).endswith("fix: amp login")
