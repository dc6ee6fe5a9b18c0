"""GitHub Copilot CLI: it holds a token in the shape that it checks for and no more, or a key of another API."""

import json

from bottlegen.apis import APIS, PLACEHOLDER, of_model, refuse_both
from bottlegen.hostview import HostProvision, HostView
from bottlegen.pins import Pins
from bottlegen.plan import WORKSPACE, AgentFile, AgentProvider, Auth, Credential, Image, ProvisionPlan, Route

fields: frozenset[str] = frozenset({"auth_token", "api_key", "model"})
token_refs: frozenset[str] = frozenset()
credentials: tuple[Credential, ...] = (
    Credential(field="auth_token", name="COPILOT_GITHUB_TOKEN", about="GitHub token that may use Copilot"),
    Credential(field="api_key", name="ANTHROPIC_API_KEY", about="key of the API that the model is of"),
)

_TOKEN = "COPILOT_GITHUB_TOKEN"  # noqa: S105 - the name of a variable
_KEY = "COPILOT_PROVIDER_API_KEY"
_SHAPED = "github_pat_" + PLACEHOLDER
"""1.0.102 wants a known beginning: `github_pat_`, `gho_` or `ghu_`."""

_PLANS = ("individual", "business", "enterprise")
_ORIGIN = "provider copilot"
_ENV = (("COPILOT_AUTO_UPDATE", "false"),)

# What 1.0.102 asks api.github.com for before and during a turn. The token can do more there, and the agent cannot.
_GITHUB_PATHS = ("/copilot_internal/**",)

_OWN_MODEL = "anthropic/claude-sonnet-4.6"
_TYPES = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """`auth_token` names a GitHub token, `api_key` a key of another API instead of GitHub's; without either the user
    logs in inside the bottle and the agent's own token passes untouched."""
    refuse_both(agent, "auth_token", "api_key", "one is for GitHub's models, one for another API's")
    routes, secret_env, env = _own_api(agent) if agent.api_key else _github(agent)
    return ProvisionPlan(
        image=Image(context="images/agent", base=pins.base, artifacts=pins.artifacts("copilot", agent.version)),
        image_files=(),
        command=agent.command or ("copilot", "--allow-all", "--disable-builtin-mcps"),
        egress_routes=routes,
        env=(*_ENV, *env, *secret_env),
        hidden_env_names=frozenset(name for name, _ in secret_env),
        files=(
            AgentFile(path=".copilot/config.json", content=_json({"trustedFolders": [WORKSPACE]}), keep=True),
            AgentFile(
                path=".copilot/settings.json", content=_json({"autoUpdate": False, "banner": "never"}), keep=True
            ),
        ),
    )


_Env = tuple[tuple[str, str], ...]


def _github(agent: AgentProvider) -> tuple[tuple[Route, ...], _Env, _Env]:
    """The token itself goes to both hosts; which of the second kind it is, GitHub tells the agent."""
    auth = Auth(token_ref=agent.auth_token) if agent.auth_token else None
    hosts = ("api.githubcopilot.com", *(f"api.{plan}.githubcopilot.com" for plan in _PLANS))
    routes = (
        Route(host="api.github.com", paths=_GITHUB_PATHS, auth=auth, tls_passthrough=True, origin=_ORIGIN),
        *(Route(host=host, auth=auth, tls_passthrough=True, origin=_ORIGIN) for host in hosts),
    )
    model = (("COPILOT_MODEL", agent.model),) if agent.model else ()
    return routes, ((_TOKEN, _SHAPED),) if auth else (), model


def _own_api(agent: AgentProvider) -> tuple[tuple[Route, ...], _Env, _Env]:
    """With these 1.0.102 calls the API alone, and GitHub not at all."""
    model = agent.model or _OWN_MODEL
    api = of_model(model, _TYPES)
    env = (
        ("COPILOT_OFFLINE", "true"),
        ("COPILOT_PROVIDER_TYPE", api),
        ("COPILOT_PROVIDER_BASE_URL", _TYPES[api]),
        ("COPILOT_MODEL", model.partition("/")[2]),
        *((("COPILOT_PROVIDER_WIRE_API", "responses"),) if api == "openai" else ()),
    )
    return (APIS[api].route(agent.api_key, _ORIGIN),), ((_KEY, PLACEHOLDER),), env


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, indent=2) + "\n"


def provision_host(_token_refs: frozenset[str], _host: HostView) -> HostProvision:
    """Nothing: both fields name secrets that are resolved like any other."""
    return HostProvision()
