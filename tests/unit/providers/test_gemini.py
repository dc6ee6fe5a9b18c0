"""Gemini: a Google login stays on the host but for its access token, which the egress sidecar alone gets."""

import json

import pytest

from bottlegen import pins
from bottlegen.errors import SecretError
from bottlegen.hostview import HostProvision, HostView
from bottlegen.plan import AgentProvider, Auth
from bottlegen.providers import gemini

NOW = 1_800_000_000
CANARY = "canary-of-a-login"
REF = gemini.GEMINI_HOST_CREDENTIAL_TOKEN_REF
REFS = frozenset({REF})


def _host(data: bytes | None) -> HostView:
    return HostView(env={}, home="/home/someone", now=NOW, read=lambda _: data)


def _login(**changes: object) -> bytes:
    tokens = {"access_token": CANARY, "refresh_token": "refresh", "expiry_date": (NOW + 3600) * 1000}
    return json.dumps({**tokens, **changes}).encode()


def test_the_access_token_and_no_file_is_handed_on() -> None:
    provision = gemini.provision_host(REFS, _host(_login()))
    ((name, secret),) = provision.env
    assert (name, secret.reveal(), provision.files) == (REF, CANARY, ())
    assert provision.expires == ((REF, NOW + 3600),)
    assert CANARY not in repr(provision)


def test_without_the_slot_nothing_is_read() -> None:
    host = HostView(env={}, home="/", now=NOW, read=lambda path: pytest.fail(f"read {path}"))
    assert gemini.provision_host(frozenset(), host) == HostProvision()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (None, "no Google login of Gemini CLI on this host"),
        (b"{" + CANARY.encode(), "the host's Google login of Gemini CLI is not a JSON object"),
        (b"[]", "the host's Google login of Gemini CLI is not a JSON object"),
        (_login(access_token=""), "the host's Google login of Gemini CLI holds no access token"),
        (_login(expiry_date=(NOW + gemini.EXPIRY_MARGIN) * 1000), "the host's Google login of Gemini CLI has expired"),
        (_login(expiry_date="soon"), "the host's Google login of Gemini CLI has expired"),
    ],
)
def test_what_cannot_serve_is_refused_without_a_word_of_it(data: bytes | None, what: str) -> None:
    with pytest.raises(SecretError) as refused:
        gemini.provision_host(REFS, _host(data))
    assert str(refused.value).startswith(f"error: {what}\n  --> /home/someone/.gemini/oauth_creds.json\n  fix: gemini")
    assert CANARY not in str(refused.value)
    assert refused.value.__context__ is None


def test_a_login_goes_to_its_own_host_and_the_agent_holds_a_placeholder() -> None:
    plan = gemini.provision(AgentProvider(template="gemini", forward_host_credentials=True), pins.load())
    (route,) = plan.egress_routes
    assert (route.host, route.auth) == ("cloudcode-pa.googleapis.com", Auth(token_ref=REF))
    assert dict(plan.env) == {"GOOGLE_GENAI_USE_GCA": "true", "GOOGLE_CLOUD_ACCESS_TOKEN": "egress-placeholder"}
