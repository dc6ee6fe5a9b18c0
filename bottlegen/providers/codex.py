"""Codex: in the bottle it is logged in with tokens that are dummies in all but their expiry and account.

The dummies carry the real expiry, as Codex would otherwise try to refresh with a refresh token that is none, and the
real account id, as it looks for its own among the accounts that the server lists. Both identify, neither authenticates.
"""

import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from bottlegen import chatgpt
from bottlegen.agent_image import program_image
from bottlegen.apis import APIS, PLACEHOLDER, refuse_both
from bottlegen.hostview import HostProvision, HostView
from bottlegen.login_file import LoginFile
from bottlegen.pins import Pins
from bottlegen.plan import (
    MATERIAL,
    WORKSPACE,
    AgentFile,
    AgentProvider,
    Auth,
    Credential,
    ProvisionPlan,
    Route,
)
from bottlegen.secret import Secret

fields: frozenset[str] = frozenset({"forward_host_credentials", "api_key", "model"})

CODEX_HOST_CREDENTIAL_TOKEN_REF = "CODEX_HOST_CREDENTIAL_TOKEN_REF"  # noqa: S105 - the name of a secret
"""What a bundle calls the access token of the host's login; `provision_host` puts the value under this name."""

token_refs: frozenset[str] = frozenset({CODEX_HOST_CREDENTIAL_TOKEN_REF})
credentials: tuple[Credential, ...] = (
    Credential(
        field="forward_host_credentials", name=CODEX_HOST_CREDENTIAL_TOKEN_REF, about="ChatGPT login: codex login"
    ),
    Credential(field="api_key", name="OPENAI_API_KEY", about="key of the OpenAI API"),
)

EXPIRY_MARGIN = 300
"""Seconds that a login must still last. Codex 0.169.0 refreshes 300 seconds before the end (measured: with 280 it does;
with 320 it does not), whatever the id token's expiry or `last_refresh` say."""

_ORIGIN = "provider codex"
_FIX_MISSING = 'codex login\n(kept in a keyring? first set cli_auth_credentials_store = "file" in config.toml)'

# The bottle is the sandbox, so Codex's own (bubblewrap, which needs user namespaces) is off; the rest keeps the start
# free of questions, update checks and a daemon that would outlive the agent.
_CONFIG = f"""\
check_for_update_on_startup = false
approval_policy = "never"
sandbox_mode = "danger-full-access"
cli_auth_credentials_store = "file"

[analytics]
enabled = false

[features]
daemon_auto_start = false
plugins = false
apps = false

[notice]
hide_full_access_warning = true

[projects."{WORKSPACE}"]
trust_level = "trusted"
"""

_KEY_AUTH = json.dumps({"OPENAI_API_KEY": PLACEHOLDER}) + "\n"


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """Never sets OPENAI_API_KEY: it would force API-key mode instead of the ChatGPT login, and where that mode is
    meant, an interactive start does not go by it (0.169.0)."""
    refuse_both(agent, "forward_host_credentials", "api_key", "one is a login, one is paid by use")
    return ProvisionPlan(
        image=program_image(pins, "codex", agent.version),
        instructions=".codex/AGENTS.md",
        command=agent.command or ("codex",),
        egress_routes=_routes(agent),
        env=(("CODEX_CA_CERTIFICATE", f"{MATERIAL}/ca-bundle.crt"),),
        files=(
            AgentFile(path=".codex/config.toml", content=_config(agent.model), keep=True),
            # Not kept, as a login that an earlier bottle left in this home would take precedence.
            *((AgentFile(path=".codex/auth.json", content=_KEY_AUTH),) if agent.api_key else ()),
        ),
    )


def _config(model: str) -> str:
    return f'model = "{model}"\n{_CONFIG}' if model else _CONFIG


def _routes(agent: AgentProvider) -> tuple[Route, ...]:
    """`chatgpt.com` exactly: telemetry on its subdomains gets no credential. The login hosts are only for who logs in
    inside the bottle, whose own token must pass untouched. A key is for its API alone."""
    if agent.api_key:
        return (APIS["openai"].route(agent.api_key, _ORIGIN),)
    forward = agent.forward_host_credentials
    auth = Auth(token_ref=CODEX_HOST_CREDENTIAL_TOKEN_REF) if forward else None
    hosts = () if forward else ("auth.openai.com", "api.openai.com")
    return (
        Route(host=chatgpt.HOST, auth=auth, tls_passthrough=True, origin=_ORIGIN),
        *(Route(host=host, tls_passthrough=True, origin=_ORIGIN) for host in hosts),
    )


def provision_host(token_refs: frozenset[str], host: HostView) -> HostProvision:
    """The host's access token and a dummy auth.json, when the bundle has a slot for them; else nothing."""
    if CODEX_HOST_CREDENTIAL_TOKEN_REF not in token_refs:
        return HostProvision()
    login = _read_login(host)
    return HostProvision(
        env=((CODEX_HOST_CREDENTIAL_TOKEN_REF, login.access_token),),
        files=(AgentFile(path=".codex/auth.json", content=_dummy_auth(login)),),
        expires=((CODEX_HOST_CREDENTIAL_TOKEN_REF, login.expires),),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Login:
    """The host's login: `access_token` is the only secret taken from it; `expires` in seconds since the epoch."""

    access_token: Secret
    expires: int
    account_id: str
    plan_type: str


def _read_login(host: HostView) -> _Login:
    path = posixpath.join(host.env.get("CODEX_HOME") or posixpath.join(host.home, ".codex"), "auth.json")
    file = LoginFile(path=path, what="Codex login", fix="codex login", fix_missing=_FIX_MISSING)
    document = file.read(host)
    tokens = document.get("tokens")
    if not isinstance(tokens, dict):
        raise file.refusal(_without_tokens(document))
    return _login(file, tokens, host.now)


def _without_tokens(document: Mapping[str, object]) -> str:
    if document.get("OPENAI_API_KEY"):
        return "the host's Codex login is an API key, not a ChatGPT login: forward_host_credentials cannot use it"
    return "the host's Codex login holds no tokens"


def _login(file: LoginFile, tokens: Mapping[str, object], now: int) -> _Login:
    access = file.secret(tokens.get("access_token"))
    claims = chatgpt.claims_of(access.reveal())
    expires = claims.get("exp") if claims else None
    if claims is None or not isinstance(expires, int):
        raise file.refusal("the access token of the host's Codex login is not a JWT with an expiry")
    if expires <= now + EXPIRY_MARGIN:
        raise file.refusal("the host's Codex login has expired")
    about = {
        **chatgpt.account_claims(claims),
        **chatgpt.account_claims(chatgpt.claims_of(tokens.get("id_token"))),
    }
    account = tokens.get("account_id") or about.get("chatgpt_account_id")
    if not isinstance(account, str):
        raise file.refusal("the host's Codex login holds no account id")
    plan = about.get("chatgpt_plan_type")
    return _Login(
        access_token=access,
        expires=expires,
        account_id=account,
        plan_type=plan if isinstance(plan, str) else "unknown",
    )


def _dummy_auth(login: _Login) -> str:
    token = chatgpt.dummy_token(login.account_id, login.plan_type, login.expires)
    document = {
        "OPENAI_API_KEY": None,
        "auth_mode": "chatgpt",
        "tokens": {
            "id_token": token,
            "access_token": token,
            "refresh_token": PLACEHOLDER,
            "account_id": login.account_id,
        },
        # Far ahead: to a Codex that goes by this, an old one would be a reason to refresh.
        "last_refresh": "2099-01-01T00:00:00Z",
    }
    return json.dumps(document, sort_keys=True, indent=2) + "\n"
