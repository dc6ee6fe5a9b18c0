"""Logins that agents keep alike: one token is taken out of the host's file, and none of it is in a dummy or message."""

import json
from typing import Any

import pytest

from bottlegen import logins
from bottlegen.errors import PlanError, SecretError
from bottlegen.hostview import HostProvision, HostView
from bottlegen.login_file import LoginFile
from bottlegen.logins import EXPIRY_MARGIN, Login
from bottlegen.plan import AgentProvider, Auth
from tests.pretend.login import CodexLogin

NOW = 1_800_000_000
CANARY = "canary-of-a-login"
FILE = LoginFile(path="/home/someone/auth.json", what="Some login", fix="some login", fix_missing="some login --first")
PLAIN = Login(entry="plain", token_ref="A_REF", about="", host="api.example.com", held="shaped-egress-placeholder")
LASTING = Login(entry="lasting", token_ref="B_REF", about="", host="api.example.com", expires=False)
CHATGPT = logins.chatgpt_login("chat", "C_REF", "")


def _host(data: bytes | None) -> HostView:
    return HostView(env={}, home="/home/someone", now=NOW, read=lambda _: data)


def _entry(**changes: object) -> dict[str, object]:
    return {"type": "oauth", "access": CANARY, "refresh": CANARY, "expires": (NOW + 3600) * 1000} | changes


def _provision(login: Login, **entries: object) -> HostProvision:
    return logins.provision(login, FILE, ".some/auth.json", _host(json.dumps(entries).encode()))


def _dummy(provision: HostProvision) -> Any:
    (file,) = provision.files
    assert (file.path, file.mode, file.keep) == (".some/auth.json", 0o600, False)
    assert CANARY not in file.content + repr(provision)
    return json.loads(file.content)


def test_the_token_is_taken_out_and_a_dummy_of_its_entry_alone_is_left() -> None:
    made = _provision(PLAIN, plain=_entry(), other=_entry(access="another's"))
    ((name, secret),) = made.env
    assert (name, secret.reveal()) == ("A_REF", CANARY)
    dummy = {"type": "oauth", "access": "shaped-egress-placeholder", "refresh": "egress-placeholder"}
    assert _dummy(made) == {"plain": {**dummy, "expires": 4102444800000}}


def test_what_does_not_expire_is_so_in_the_dummy_too() -> None:
    assert _dummy(_provision(LASTING, lasting=_entry(expires=0)))["lasting"]["expires"] == 0


@pytest.mark.parametrize("named", [True, False])
def test_a_chatgpt_dummy_names_the_account_from_entry_or_token(named: bool) -> None:
    token = CodexLogin(account="acct-1", expires=NOW, canary=CANARY).access_token
    entry = _entry(access=token, **({"accountId": "acct-1"} if named else {}))
    made = _provision(CHATGPT, chat=entry)
    dummy = _dummy(made)["chat"]
    assert dummy["accountId"] == "acct-1"
    assert made.env[0][1].reveal() == token
    header, claims, signature = dummy["access"].split(".")
    assert not {header, claims, signature} & set(token.split("."))


def test_without_a_login_nothing_is_read() -> None:
    host = HostView(env={}, home="/", now=NOW, read=lambda path: pytest.fail(f"read {path}"))
    assert logins.provision(None, FILE, ".some/auth.json", host) == HostProvision()


@pytest.mark.parametrize(
    ("login", "entries", "what"),
    [
        (PLAIN, {}, "the host's Some login has no login in its entry 'plain'"),
        (PLAIN, {"plain": CANARY}, "the host's Some login has no login in its entry 'plain'"),
        (PLAIN, {"plain": {"type": "api", "key": CANARY}}, "the host's Some login has no login in its entry 'plain'"),
        (PLAIN, {"plain": _entry(access="")}, "the host's Some login holds no access token"),
        (PLAIN, {"plain": _entry(expires=(NOW + EXPIRY_MARGIN) * 1000)}, "the host's Some login has expired"),
        (PLAIN, {"plain": _entry(expires="soon")}, "the host's Some login has expired"),
        (CHATGPT, {"chat": _entry()}, "the host's Some login holds no account id"),
    ],
)
def test_what_cannot_serve_is_refused_without_a_word_of_it(login: Login, entries: Any, what: str) -> None:
    with pytest.raises(SecretError) as refused:
        _provision(login, **entries)
    assert str(refused.value) == f"error: {what}\n  --> /home/someone/auth.json\n  fix: some login"


@pytest.mark.parametrize("data", [b"{" + CANARY.encode(), b"[]", b"\xff", b"[" * 100_000])
def test_no_decoder_s_words_are_in_a_message(data: bytes) -> None:
    with pytest.raises(SecretError, match="the host's Some login is not a JSON object") as refused:
        logins.provision(PLAIN, FILE, ".some/auth.json", _host(data))
    assert refused.value.__context__ is None


def test_a_missing_file_says_how_there_is_one() -> None:
    with pytest.raises(SecretError, match="no Some login on this host") as refused:
        logins.provision(PLAIN, FILE, ".some/auth.json", _host(None))
    assert str(refused.value).endswith("fix: some login --first")


def test_the_model_chooses_the_login_and_its_route() -> None:
    agent = AgentProvider(template="some", forward_host_credentials=True)
    login = logins.of_agent(agent, "chat/a-model", (PLAIN, CHATGPT))
    assert login is CHATGPT
    route = login.route("provider some")
    assert (route.host, route.paths, route.auth) == ("chatgpt.com", ("/backend-api/codex/**",), Auth(token_ref="C_REF"))
    assert logins.of_agent(AgentProvider(template="some"), "chat/a-model", (CHATGPT,)) is None
    with pytest.raises(PlanError, match="model 'other/m' is of no service whose login can be forwarded") as refused:
        logins.of_agent(agent, "other/m", (PLAIN, CHATGPT))
    assert "plain, chat; or name a key with api_key" in str(refused.value)
