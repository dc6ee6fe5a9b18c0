"""Gemini CLI: it holds a placeholder for an API key, or for the access token of the host's Google login."""

import json

from bottlegen.apis import APIS, PLACEHOLDER
from bottlegen.hostview import HostProvision, HostView
from bottlegen.interpreted import PROGRAMS, launcher, node_image
from bottlegen.pins import Pins
from bottlegen.plan import AgentFile, AgentProvider, Credential, ProvisionPlan

fields: frozenset[str] = frozenset({"api_key", "model"})
token_refs: frozenset[str] = frozenset()
credentials: tuple[Credential, ...] = (
    Credential(field="api_key", name="GEMINI_API_KEY", about="key of Google AI Studio"),
)

_MODEL = "gemini-2.5-pro"
"""Named, since with the agent's own choice every prompt is first sent to another model, to choose by (0.61.0)."""

_KEY = "GEMINI_API_KEY"
_ORIGIN = "provider gemini"


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """With `api_key` a key is injected; without it the agent asks for one, and what it then sends passes untouched."""
    return ProvisionPlan(
        image=node_image(pins, "gemini", agent.version),
        image_files=(launcher("gemini", "node", f"{PROGRAMS}/lib/gemini/bundle/gemini.js"),),
        command=agent.command or ("gemini", "--yolo"),
        egress_routes=(APIS["google"].route(agent.api_key, _ORIGIN),),
        env=((_KEY, PLACEHOLDER),) if agent.api_key else (),
        hidden_env_names=frozenset({_KEY}) if agent.api_key else frozenset(),
        files=(AgentFile(path=".gemini/settings.json", content=_settings(agent.model or _MODEL), keep=True),),
    )


def _settings(model: str) -> str:
    """Trust and sign-in are answered; what calls other hosts is off, with which a prompt is one request (0.61.0)."""
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
        "model": {"name": model},
    }
    return json.dumps(settings, sort_keys=True, indent=2) + "\n"


def provision_host(_token_refs: frozenset[str], _host: HostView) -> HostProvision:
    """Nothing: `api_key` names a secret that is resolved like any other."""
    return HostProvision()
