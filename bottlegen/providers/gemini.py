"""Gemini CLI: it holds a placeholder for an API key, or for the access token of the host's Google login."""

import json
import posixpath

from bottlegen.agent_image import PROGRAMS, launcher, node_image
from bottlegen.apis import APIS, PLACEHOLDER, Api, refuse_both
from bottlegen.hostview import HostProvision, HostView
from bottlegen.login_file import LoginFile
from bottlegen.pins import Pins
from bottlegen.plan import AgentFile, AgentProvider, Credential, ProvisionPlan

fields: frozenset[str] = frozenset({"api_key", "forward_host_credentials", "model"})

GEMINI_HOST_CREDENTIAL_TOKEN_REF = "GEMINI_HOST_CREDENTIAL_TOKEN_REF"  # noqa: S105 - the name of a secret
"""What a bundle calls the access token of the host's Google login; `provision_host` puts the value under this name."""

token_refs: frozenset[str] = frozenset({GEMINI_HOST_CREDENTIAL_TOKEN_REF})
credentials: tuple[Credential, ...] = (
    Credential(field="api_key", name="GEMINI_API_KEY", about="key of Google AI Studio"),
    Credential(
        field="forward_host_credentials", name=GEMINI_HOST_CREDENTIAL_TOKEN_REF, about="Google login: gemini, /auth"
    ),
)

_MODEL = "gemini-2.5-pro"
"""Named, since with the agent's own choice every prompt is first sent to another model, to choose by (0.61.0)."""

_KEY = "GEMINI_API_KEY"
_ORIGIN = "provider gemini"
_CODE_ASSIST = Api(host="cloudcode-pa.googleapis.com")
_FIX = 'gemini -p "hi"   # renews it; or run gemini and choose Login with Google'
_LOGIN_ENV = "GOOGLE_CLOUD_ACCESS_TOKEN"

EXPIRY_MARGIN = 60
"""Seconds that a login must still last for a start to be worth it. Google's access tokens last an hour."""


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """With `api_key` a key is injected, with `forward_host_credentials` the access token of the host's login;
    without either the agent asks for a key, and what it then sends passes untouched."""
    refuse_both(agent, "forward_host_credentials", "api_key", "one is a login, one is paid by use")
    login = agent.forward_host_credentials
    ref = GEMINI_HOST_CREDENTIAL_TOKEN_REF if login else agent.api_key
    held = (_LOGIN_ENV if login else _KEY) if ref else ""
    return ProvisionPlan(
        image=node_image(pins, "gemini", agent.version),
        image_files=(launcher("gemini", "node", f"{PROGRAMS}/lib/gemini/bundle/gemini.js"),),
        command=agent.command or ("gemini", "--yolo"),
        egress_routes=((_CODE_ASSIST if login else APIS["google"]).route(ref, _ORIGIN),),
        env=(*((("GOOGLE_GENAI_USE_GCA", "true"),) if login else ()), *(((held, PLACEHOLDER),) if held else ())),
        hidden_env_names=frozenset({held}) if held else frozenset(),
        files=(AgentFile(path=".gemini/settings.json", content=_settings(agent), keep=True),),
    )


def _settings(agent: AgentProvider) -> str:
    """Trust and sign-in are answered; what calls other hosts is off, with which a prompt is one request (0.61.0)."""
    way = "oauth-personal" if agent.forward_host_credentials else "gemini-api-key"
    settings = {
        "security": {"auth": {"selectedType": way}, "folderTrust": {"enabled": False}},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
        "model": {"name": agent.model or _MODEL},
    }
    return json.dumps(settings, sort_keys=True, indent=2) + "\n"


def provision_host(token_refs: frozenset[str], host: HostView) -> HostProvision:
    """The access token of the host's Google login, when the bundle has a slot for it; else nothing."""
    if GEMINI_HOST_CREDENTIAL_TOKEN_REF not in token_refs:
        return HostProvision()
    path = posixpath.join(host.home, ".gemini", "oauth_creds.json")
    file = LoginFile(path=path, what="Google login of Gemini CLI", fix=_FIX)
    document = file.read(host)
    token = file.secret(document.get("access_token"))
    ends = file.lasts(document.get("expiry_date"), host.now, EXPIRY_MARGIN)
    ref = GEMINI_HOST_CREDENTIAL_TOKEN_REF
    return HostProvision(env=((ref, token),), expires=((ref, ends),))
