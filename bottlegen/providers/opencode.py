"""opencode: its model decides which API the bottle reaches, and it holds a placeholder for the key of that one.

A login goes by the model too: ChatGPT for `openai/…`, GitHub Copilot for `github-copilot/…`. There is none for Claude:
this version reaches it with a key alone. ChatGPT's token lasts for days; `opencode` on the host renews it, and
`refresh` brings the new one. The token for Copilot lasts until it is revoked.
"""

import json
import posixpath

from bottlegen import logins
from bottlegen.agent_image import program_image
from bottlegen.apis import APIS, PLACEHOLDER, of_model, refuse_both
from bottlegen.hostview import HostProvision, HostView
from bottlegen.login_file import LoginFile
from bottlegen.logins import Login
from bottlegen.pins import Pins
from bottlegen.plan import AgentFile, AgentProvider, Credential, ProvisionPlan

fields: frozenset[str] = frozenset({"api_key", "forward_host_credentials", "model"})

_LOGINS = (
    logins.chatgpt_login(
        "openai",
        "OPENCODE_CHATGPT_HOST_CREDENTIAL_TOKEN_REF",
        "ChatGPT login: opencode auth login, for models openai/…",
    ),
    Login(
        entry="github-copilot",
        token_ref="OPENCODE_COPILOT_HOST_CREDENTIAL_TOKEN_REF",  # noqa: S106 - the name of a secret
        about="Copilot login: opencode auth login, for models github-copilot/…",
        host="api.githubcopilot.com",
        held="gho_" + PLACEHOLDER,
        expires=False,
    ),
)
token_refs: frozenset[str] = frozenset(login.token_ref for login in _LOGINS)
credentials: tuple[Credential, ...] = (
    Credential(field="api_key", name="ANTHROPIC_API_KEY", about="key of the API that the model is of"),
    *(login.credential() for login in _LOGINS),
)

_MODEL = "anthropic/claude-sonnet-4-5"
_LOGIN_MODEL = "openai/gpt-5.5"
_KEYS = {
    "anthropic": "ANTHROPIC_API_KEY",
    "google": "GOOGLE_GENERATIVE_AI_API_KEY",
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
}
_ORIGIN = "provider opencode"

# The catalogue of models is in the program; the rest would be fetched from hosts that no route leads to.
_ENV = (
    ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
    ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
    ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
)


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """With `api_key` a key is injected, with `forward_host_credentials` the token of a login of the host; without
    either what the agent sends passes untouched."""
    refuse_both(agent, "forward_host_credentials", "api_key", "one is a login, one is paid by use")
    model = agent.model or (_LOGIN_MODEL if agent.forward_host_credentials else _MODEL)
    login = logins.of_agent(agent, model, _LOGINS)
    api = login.entry if login else of_model(model, _KEYS)
    held = _KEYS[api] if agent.api_key else ""
    return ProvisionPlan(
        image=program_image(pins, "opencode", agent.version),
        command=agent.command or ("opencode",),
        egress_routes=(login.route(_ORIGIN) if login else APIS[api].route(agent.api_key, _ORIGIN),),
        env=(*_ENV, (held, PLACEHOLDER)) if held else _ENV,
        hidden_env_names=frozenset({held}) if held else frozenset(),
        files=(AgentFile(path=".config/opencode/opencode.json", content=_config(model, api), keep=True),),
    )


def _config(model: str, api: str) -> str:
    """Everything is allowed, since the bottle and not a dialog is what holds the agent."""
    config = {
        "$schema": "https://opencode.ai/config.json",
        "autoupdate": False,
        "enabled_providers": [api],
        "model": model,
        "permission": {"*": "allow"},
        "share": "disabled",
    }
    return json.dumps(config, sort_keys=True, indent=2) + "\n"


def provision_host(token_refs: frozenset[str], host: HostView) -> HostProvision:
    """The token of the login that the bundle has a slot for, and the agent's own file with a dummy; else nothing."""
    data = host.env.get("XDG_DATA_HOME") or posixpath.join(host.home, ".local/share")
    file = LoginFile(path=posixpath.join(data, "opencode/auth.json"), what="opencode login", fix="opencode auth login")
    login = next((login for login in _LOGINS if login.token_ref in token_refs), None)
    return logins.provision(login, file, ".local/share/opencode/auth.json", host)
