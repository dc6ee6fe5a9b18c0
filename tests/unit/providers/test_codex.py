"""Codex: what is real in the dummy login, what is not, and every way in which a host's login is refused."""

import base64
import json
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from bottlegen import pins
from bottlegen.errors import PlanError, SecretError
from bottlegen.hostview import HostProvision, HostView
from bottlegen.plan import MATERIAL, WORKSPACE, AgentProvider, Auth
from bottlegen.providers import PROVIDERS
from bottlegen.providers.codex import CODEX_HOST_CREDENTIAL_TOKEN_REF, EXPIRY_MARGIN
from tests.pretend.login import CodexLogin, jwt

CODEX = PROVIDERS["codex"]
NOW = 1_800_000_000
CANARY = "CaNaRy0123456789"
LOGIN = CodexLogin(account="acct-real-1", plan="team", expires=NOW + 86400, canary=CANARY)
REFS = frozenset({CODEX_HOST_CREDENTIAL_TOKEN_REF, "GITHUB_TOKEN"})
AUTH = "https://api.openai.com/auth"


def _host(content: bytes | None, *, env: Mapping[str, str] | None = None) -> HostView:
    return HostView(env=env or {}, home="/home/someone", now=NOW, read=lambda _: content)


def _claims(token: str) -> dict[str, Any]:
    header, payload, signature = token.split(".")
    parts = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in (header, payload, signature)]
    assert parts[2] == b"egress-placeholder"
    claims: dict[str, Any] = json.loads(parts[1])
    return claims


def _provision(login: CodexLogin = LOGIN) -> HostProvision:
    return CODEX.provision_host(REFS, _host(login.auth_json().encode()))


def _auth(provision: HostProvision) -> dict[str, Any]:
    (file,) = provision.files
    assert (file.path, file.mode, file.keep) == (".codex/auth.json", 0o600, False)
    document: dict[str, Any] = json.loads(file.content)
    return document


def test_forwarding_gives_the_real_access_token_and_only_that() -> None:
    ((name, secret),) = _provision().env
    assert (name, secret.reveal()) == (CODEX_HOST_CREDENTIAL_TOKEN_REF, LOGIN.access_token)


def test_when_the_login_ends_is_told() -> None:
    assert _provision().expires == ((CODEX_HOST_CREDENTIAL_TOKEN_REF, LOGIN.expires),)


def test_the_dummy_has_the_real_expiry_account_and_plan_in_every_token() -> None:
    tokens = _auth(_provision())["tokens"]
    assert tokens["account_id"] == "acct-real-1"
    for kind in ("access_token", "id_token"):
        claims = _claims(tokens[kind])
        assert claims["exp"] == LOGIN.expires
        assert claims[AUTH]["chatgpt_account_id"] == "acct-real-1"
        assert claims[AUTH]["chatgpt_plan_type"] == "team"


def test_the_dummy_is_that_of_a_chatgpt_login_that_never_needs_a_refresh() -> None:
    document = _auth(_provision())
    assert document["auth_mode"] == "chatgpt"
    assert document["OPENAI_API_KEY"] is None
    assert document["tokens"]["refresh_token"] == "egress-placeholder"
    assert document["last_refresh"] == "2099-01-01T00:00:00Z"


def test_nothing_secret_or_personal_is_in_the_files_and_in_no_repr() -> None:
    provision = _provision()
    text = "".join(file.content for file in provision.files) + repr(provision)
    for secret in (*LOGIN.secrets, CANARY, "user-pretend", "someone@example.com"):
        assert secret not in text
    host = _host(LOGIN.auth_json().encode(), env={"A_KEY": CANARY})
    assert CANARY not in repr(host)


def test_the_same_login_gives_the_same_dummy() -> None:
    assert _provision().files == _provision().files


def test_an_account_id_is_taken_from_the_claims_of_an_older_login() -> None:
    document = json.loads(LOGIN.auth_json())
    del document["tokens"]["account_id"]
    provision = CODEX.provision_host(REFS, _host(json.dumps(document).encode()))
    assert _auth(provision)["tokens"]["account_id"] == "acct-real-1"


def test_a_bundle_without_the_slot_reads_nothing_of_the_host() -> None:
    def read(path: str) -> bytes:
        pytest.fail(f"read {path}")

    host = HostView(env={}, home="/home/someone", now=NOW, read=read)
    assert CODEX.provision_host(frozenset({"GITHUB_TOKEN"}), host) == HostProvision()


@pytest.mark.parametrize(
    ("env", "path"),
    [
        ({}, "/home/someone/.codex/auth.json"),
        ({"CODEX_HOME": ""}, "/home/someone/.codex/auth.json"),
        ({"CODEX_HOME": "/elsewhere/codex"}, "/elsewhere/codex/auth.json"),
    ],
)
def test_the_login_is_where_codex_keeps_it(env: dict[str, str], path: str) -> None:
    asked: list[str] = []

    def read(name: str) -> bytes:
        asked.append(name)
        return LOGIN.auth_json().encode()

    CODEX.provision_host(REFS, HostView(env=env, home="/home/someone", now=NOW, read=read))
    assert asked == [path]


Change = Callable[[dict[str, Any]], None]


def _tokens(**changes: object) -> Change:
    return lambda document: document["tokens"].update(changes)


def _no_account(document: dict[str, Any]) -> None:
    document["tokens"] = {"access_token": jwt({"exp": NOW + 86400}, CANARY)}


NO_JWT = "the access token of the host's Codex login is not a JWT with an expiry"
REFUSED: list[tuple[str, Change, str]] = [
    (
        "api-key",
        lambda document: document.update(OPENAI_API_KEY=CANARY, tokens=None),
        "the host's Codex login is an API key, not a ChatGPT login: forward_host_credentials cannot use it",
    ),
    ("no-tokens", lambda document: document.pop("tokens"), "the host's Codex login holds no tokens"),
    ("no-access", _tokens(access_token=None), "the host's Codex login holds no access token"),
    ("empty-access", _tokens(access_token=""), "the host's Codex login holds no access token"),
    ("no-jwt", _tokens(access_token=CANARY), NO_JWT),
    ("line-in-jwt", _tokens(access_token=f"{jwt({'exp': NOW + 86400})}\nx"), NO_JWT),
    ("line-after-jwt", _tokens(access_token=f"{jwt({'exp': NOW + 86400})}\n"), NO_JWT),
    ("no-base64", _tokens(access_token=f"a.b.{CANARY}"), NO_JWT),
    ("no-object", _tokens(access_token=f"a.W10.{CANARY}"), NO_JWT),
    ("no-expiry", _tokens(access_token=jwt({}, CANARY)), NO_JWT),
    ("expiry-in-words", _tokens(access_token=jwt({"exp": "soon"}, CANARY)), NO_JWT),
    (
        "expired",
        _tokens(access_token=jwt({"exp": NOW + EXPIRY_MARGIN}, CANARY)),
        "the host's Codex login has expired",
    ),
    ("no-account", _no_account, "the host's Codex login holds no account id"),
]


@pytest.mark.parametrize(("change", "what"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_login_that_cannot_serve_is_refused(change: Change, what: str) -> None:
    document = json.loads(LOGIN.auth_json())
    change(document)
    _refused(json.dumps(document).encode(), what)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b"\xff\xfe", f'{{"tokens": {CANARY}'.encode(), b"[" * 100_000],
    ids=["empty", "array", "cut", "no-text", "canary", "deep"],
)
def test_a_file_that_is_no_login_is_refused(content: bytes) -> None:
    _refused(content, "the host's Codex login is not a JSON object")


def _refused(content: bytes, what: str) -> None:
    with pytest.raises(SecretError) as refused:
        CODEX.provision_host(REFS, _host(content))
    where = "/home/someone/.codex/auth.json"
    assert str(refused.value) == f"error: {what}\n  --> {where}\n  fix: codex login"
    assert refused.value.__cause__ is refused.value.__context__ is None
    assert CANARY not in "".join(traceback.format_exception(refused.value))


def test_one_second_more_than_the_margin_is_enough() -> None:
    login = CodexLogin(expires=NOW + EXPIRY_MARGIN + 1)
    assert _provision(login).env


def test_no_login_says_how_to_get_one() -> None:
    with pytest.raises(SecretError) as refused:
        CODEX.provision_host(REFS, _host(None))
    assert str(refused.value) == (
        "error: no Codex login on this host\n"
        "  --> /home/someone/.codex/auth.json\n"
        "  fix: codex login\n"
        '       (kept in a keyring? first set cli_auth_credentials_store = "file" in config.toml)'
    )


def test_a_login_that_cannot_be_read_says_why() -> None:
    def read(path: str) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    with pytest.raises(SecretError) as refused:
        CODEX.provision_host(REFS, HostView(env={}, home="/home/someone", now=NOW, read=read))
    assert str(refused.value) == (
        "error: cannot read the host's Codex login: Permission denied\n"
        "  --> /home/someone/.codex/auth.json\n"
        "  fix: codex login"
    )


def test_forwarding_injects_on_chatgpt_exactly_and_reaches_no_login_host() -> None:
    plan = CODEX.provision(AgentProvider(template="codex", forward_host_credentials=True), pins.load())
    (route,) = plan.egress_routes
    assert (route.host, route.tls_passthrough) == ("chatgpt.com", True)
    assert route.auth == Auth(token_ref="CODEX_HOST_CREDENTIAL_TOKEN_REF", scheme="Bearer", header="authorization")


def test_without_forwarding_the_agents_own_token_passes_untouched() -> None:
    routes = CODEX.provision(AgentProvider(template="codex"), pins.load()).egress_routes
    assert [route.host for route in routes] == ["chatgpt.com", "auth.openai.com", "api.openai.com"]
    assert {(route.auth, route.tls_passthrough) for route in routes} == {(None, True)}


@pytest.mark.parametrize("forward", [True, False])
def test_env_has_the_trust_bundle_and_no_api_key(forward: bool) -> None:
    agent = AgentProvider(template="codex", forward_host_credentials=forward)
    plan = CODEX.provision(agent, pins.load())
    assert plan.env == (("CODEX_CA_CERTIFICATE", f"{MATERIAL}/ca-bundle.crt"),)
    assert plan.hidden_env_names == frozenset()


def test_config_is_a_seed_that_switches_off_what_a_bottle_does_not_need() -> None:
    import tomllib

    plan = CODEX.provision(AgentProvider(template="codex"), pins.load())
    (file,) = plan.files
    config = tomllib.loads(file.content)
    assert (file.path, file.mode, file.keep) == (".codex/config.toml", 0o600, True)
    assert (config["sandbox_mode"], config["approval_policy"]) == ("danger-full-access", "never")
    assert config["cli_auth_credentials_store"] == "file"
    assert not any(config["features"].values())
    assert config["projects"] == {WORKSPACE: {"trust_level": "trusted"}}


def test_command_and_version_are_the_profiles_when_it_names_them() -> None:
    plan = CODEX.provision(AgentProvider(template="codex"), pins.load())
    assert plan.command == ("codex",)
    assert {artifact.package for artifact in plan.image.artifacts} == {"@openai/codex"}
    version = plan.image.artifacts[0].version
    named = CODEX.provision(AgentProvider(template="codex", version=version, command=("codex", "exec")), pins.load())
    assert (named.command, named.image) == (("codex", "exec"), plan.image)


def test_a_key_is_for_its_api_alone_and_the_login_file_says_it_is_none() -> None:
    plan = CODEX.provision(AgentProvider(template="codex", api_key="A_KEY", model="gpt-5.5"), pins.load())
    (route,) = plan.egress_routes
    assert (route.host, route.auth) == ("api.openai.com", Auth(token_ref="A_KEY"))
    auth = next(file for file in plan.files if file.path == ".codex/auth.json")
    assert (json.loads(auth.content), auth.keep) == ({"OPENAI_API_KEY": "egress-placeholder"}, False)
    config = next(file.content for file in plan.files if file.path == ".codex/config.toml")
    assert config.startswith('model = "gpt-5.5"\n')


def test_a_key_and_a_login_contradict() -> None:
    with pytest.raises(PlanError, match="forward_host_credentials and api_key contradict each other"):
        CODEX.provision(AgentProvider(template="codex", forward_host_credentials=True, api_key="A"), pins.load())
