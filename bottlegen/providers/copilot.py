"""GitHub Copilot CLI: it holds a token in the shape that it checks for and no more, or a key of another API.

GitHub's token is named by `auth_token`, or it is that of the host's `gh auth login`, which the CLI outside of a bottle
takes by itself. Its own login is in a keyring, out of which nothing is taken. Where gh's is too, host.toml names it as
a command for `auth_token`: `COPILOT_GITHUB_TOKEN = { command = ["gh", "auth", "token"] }`.
"""

import json
import posixpath
from collections.abc import Mapping

from bottlegen.agent_image import program_image
from bottlegen.apis import APIS, PLACEHOLDER, of_model, refuse_both
from bottlegen.hostview import HostProvision, HostView
from bottlegen.login_file import LoginFile
from bottlegen.pins import Pins
from bottlegen.plan import WORKSPACE, AgentFile, AgentProvider, Auth, Credential, ProvisionPlan, Route

fields: frozenset[str] = frozenset({"auth_token", "forward_host_credentials", "api_key", "model"})

COPILOT_HOST_CREDENTIAL_TOKEN_REF = "COPILOT_HOST_CREDENTIAL_TOKEN_REF"  # noqa: S105 - the name of a secret
"""What a bundle calls the token of the host's gh; `provision_host` puts the value under this name."""

token_refs: frozenset[str] = frozenset({COPILOT_HOST_CREDENTIAL_TOKEN_REF})
credentials: tuple[Credential, ...] = (
    Credential(field="auth_token", name="COPILOT_GITHUB_TOKEN", about="GitHub token that may use Copilot"),
    Credential(
        field="forward_host_credentials", name=COPILOT_HOST_CREDENTIAL_TOKEN_REF, about="GitHub login: gh auth login"
    ),
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

_FIX = (
    "gh auth login --insecure-storage   # keeps it in this file; or, from a keyring, auth_token in the profile and in "
    'host.toml: COPILOT_GITHUB_TOKEN = { command = ["gh", "auth", "token"] }'
)
_OWN_MODEL = "anthropic/claude-sonnet-4.6"
_TYPES = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """`auth_token` names a GitHub token, `forward_host_credentials` takes that of the host's gh, `api_key` names a key
    of another API instead of GitHub's; without any the user logs in inside the bottle and the agent's own token passes
    untouched."""
    refuse_both(agent, "auth_token", "api_key", "one is for GitHub's models, one for another API's")
    refuse_both(agent, "forward_host_credentials", "api_key", "one is for GitHub's models, one for another API's")
    refuse_both(agent, "forward_host_credentials", "auth_token", "each is a token of GitHub")
    routes, secret_env, env = _own_api(agent) if agent.api_key else _github(agent)
    return ProvisionPlan(
        image=program_image(pins, "copilot", agent.version),
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
    ref = COPILOT_HOST_CREDENTIAL_TOKEN_REF if agent.forward_host_credentials else agent.auth_token
    auth = Auth(token_ref=ref) if ref else None
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


def provision_host(token_refs: frozenset[str], host: HostView) -> HostProvision:
    """The token of the host's gh, when the bundle has a slot for it; else nothing."""
    if COPILOT_HOST_CREDENTIAL_TOKEN_REF not in token_refs:
        return HostProvision()
    settings = host.env.get("XDG_CONFIG_HOME") or posixpath.join(host.home, ".config")
    folder = host.env.get("GH_CONFIG_DIR") or posixpath.join(settings, "gh")
    file = LoginFile(path=posixpath.join(folder, "hosts.yml"), what="GitHub login of gh", fix=_FIX)
    github = file.read(host, "YAML", _yaml).get("github.com")
    if not isinstance(github, Mapping):
        raise file.refusal("the host's gh has no login to github.com")
    if not github.get("oauth_token"):
        raise file.refusal("the host's gh keeps its token in a keyring")
    return HostProvision(env=((COPILOT_HOST_CREDENTIAL_TOKEN_REF, file.secret(github["oauth_token"])),))


def _yaml(data: bytes) -> object:
    """ValueError for what is none, as of JSON."""
    import yaml

    try:
        return yaml.safe_load(data)
    except yaml.YAMLError as e:
        raise ValueError from e
