"""Pi: its model decides which API the bottle reaches, and it holds a placeholder for the key of that one.

A login goes by the model too: Claude for `anthropic/…`, ChatGPT for `openai-codex/…`. Their tokens last for hours and
days; `pi` on the host renews them, and `refresh` brings the new one. `auth_token` is a Claude subscription's token that
lasts for a year. A login to GitHub Copilot is not forwarded: what Pi holds of it is a session's token of half an hour,
and the answer that brings the next one would hand it to the agent.
"""

import json
import posixpath
from dataclasses import replace

from bottlegen import logins
from bottlegen.agent_image import PROGRAMS, launcher, node_image
from bottlegen.apis import APIS, PLACEHOLDER, of_model, refuse_both
from bottlegen.hostview import HostProvision, HostView
from bottlegen.login_file import LoginFile
from bottlegen.logins import Login
from bottlegen.pins import Pins
from bottlegen.plan import AgentFile, AgentProvider, Auth, Credential, ProvisionPlan, Route

fields: frozenset[str] = frozenset({"api_key", "auth_token", "forward_host_credentials", "model"})

_SHAPED = "sk-ant-oat01-" + PLACEHOLDER
"""0.87.1 knows a Claude subscription's token by its beginning, and sends any other as a key."""

_LOGINS = (
    Login(
        entry="anthropic",
        token_ref="PI_CLAUDE_HOST_CREDENTIAL_TOKEN_REF",  # noqa: S106 - the name of a secret
        about="Claude login: pi, /login, for models anthropic/…",
        host="api.anthropic.com",
        held=_SHAPED,
    ),
    logins.chatgpt_login(
        "openai-codex",
        "PI_CHATGPT_HOST_CREDENTIAL_TOKEN_REF",
        "ChatGPT login: pi, /login, for models openai-codex/…",
    ),
)
token_refs: frozenset[str] = frozenset(login.token_ref for login in _LOGINS)
credentials: tuple[Credential, ...] = (
    Credential(field="api_key", name="ANTHROPIC_API_KEY", about="key of the API that the model is of"),
    Credential(field="auth_token", name="BOT_BOTTLE_CLAUDE_OAUTH_TOKEN", about="subscription: claude setup-token"),
    *(login.credential() for login in _LOGINS),
)

_MODEL = "anthropic/claude-sonnet-4-5"
_KEYS = {"anthropic": "ANTHROPIC_API_KEY", "google": "GEMINI_API_KEY", "openai": "OPENAI_API_KEY"}
_SUBSCRIPTION = {"anthropic": "ANTHROPIC_OAUTH_TOKEN"}
_ORIGIN = "provider pi"
_SCRIPT = f"{PROGRAMS}/lib/pi/node_modules/@earendil-works/pi-coding-agent/dist/bundle/cli.js"
_BESIDE = ("jiti", "photon-node", "typebox", "undici")
"""What the bundled program of 0.87.1 does not hold itself."""

_ENV = (("PI_OFFLINE", "1"),)
"""No version check, no telemetry, no catalogue, and fd and rg are those of the bottle."""


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """With `api_key` a key is injected, with `auth_token` a Claude subscription's token, with
    `forward_host_credentials` the token of a login of the host; without any what the agent sends passes untouched."""
    refuse_both(agent, "forward_host_credentials", "api_key", "one is a login, one is paid by use")
    refuse_both(agent, "forward_host_credentials", "auth_token", "the login has a token of its own")
    refuse_both(agent, "auth_token", "api_key", "one is a subscription's, one is paid by use")
    model = agent.model or _MODEL
    login = logins.of_agent(agent, model, _LOGINS)
    api = login.entry if login else of_model(model, _SUBSCRIPTION if agent.auth_token else _KEYS)
    env = _held(agent, api)
    return ProvisionPlan(
        image=node_image(pins, "pi", agent.version, beside=_BESIDE),
        image_files=(launcher("pi", "node", _SCRIPT),),
        command=agent.command or ("pi",),
        egress_routes=(login.route(_ORIGIN) if login else _route(agent, api),),
        env=(*_ENV, *env),
        hidden_env_names=frozenset(name for name, _ in env),
        files=(AgentFile(path=".pi/agent/settings.json", content=_settings(api, model), keep=True),),
    )


def _held(agent: AgentProvider, api: str) -> tuple[tuple[str, str], ...]:
    """What the agent holds in its environment; of a login it is a file that only a start makes."""
    if agent.auth_token:
        return ((_SUBSCRIPTION[api], _SHAPED),)
    return ((_KEYS[api], PLACEHOLDER),) if agent.api_key else ()


def _route(agent: AgentProvider, api: str) -> Route:
    route = APIS[api].route(agent.api_key, _ORIGIN)
    return replace(route, auth=Auth(token_ref=agent.auth_token)) if agent.auth_token else route


def _settings(api: str, model: str) -> str:
    """A project with resources of its own asks for trust otherwise."""
    settings = {"defaultProjectTrust": "always", "defaultProvider": api, "defaultModel": model.partition("/")[2]}
    return json.dumps(settings, sort_keys=True, indent=2) + "\n"


def provision_host(token_refs: frozenset[str], host: HostView) -> HostProvision:
    """The token of the login that the bundle has a slot for, and the agent's own file with a dummy; else nothing."""
    path = posixpath.join(host.home, ".pi/agent/auth.json")
    file = LoginFile(path=path, what="Pi login", fix="pi   # then /login")
    login = next((login for login in _LOGINS if login.token_ref in token_refs), None)
    return logins.provision(login, file, ".pi/agent/auth.json", host)
