"""Pi: its model decides which API the bottle reaches, and it holds a placeholder for the key of that one."""

import json

from bottlegen.apis import APIS, PLACEHOLDER, of_model
from bottlegen.hostview import HostProvision, HostView
from bottlegen.interpreted import PROGRAMS, launcher, node_image
from bottlegen.pins import Pins
from bottlegen.plan import AgentFile, AgentProvider, Credential, ProvisionPlan

fields: frozenset[str] = frozenset({"api_key", "model"})
token_refs: frozenset[str] = frozenset()
credentials: tuple[Credential, ...] = (
    Credential(field="api_key", name="ANTHROPIC_API_KEY", about="key of the API that the model is of"),
)

_MODEL = "anthropic/claude-sonnet-4-5"
_KEYS = {"anthropic": "ANTHROPIC_API_KEY", "google": "GEMINI_API_KEY", "openai": "OPENAI_API_KEY"}
_ORIGIN = "provider pi"
_SCRIPT = f"{PROGRAMS}/lib/pi/node_modules/@earendil-works/pi-coding-agent/dist/bundle/cli.js"
_BESIDE = ("jiti", "photon-node", "typebox", "undici")
"""What the bundled program of 0.87.1 does not hold itself."""

_ENV = (("PI_OFFLINE", "1"),)
"""No version check, no telemetry, no catalogue, and fd and rg are those of the bottle."""


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """With `api_key` a key is injected; without it what the agent sends passes untouched."""
    model = agent.model or _MODEL
    api = of_model(model, _KEYS)
    key = _KEYS[api]
    return ProvisionPlan(
        image=node_image(pins, "pi", agent.version, beside=_BESIDE),
        image_files=(launcher("pi", "node", _SCRIPT),),
        command=agent.command or ("pi",),
        egress_routes=(APIS[api].route(agent.api_key, _ORIGIN),),
        env=(*_ENV, (key, PLACEHOLDER)) if agent.api_key else _ENV,
        hidden_env_names=frozenset({key}) if agent.api_key else frozenset(),
        files=(AgentFile(path=".pi/agent/settings.json", content=_settings(api, model), keep=True),),
    )


def _settings(api: str, model: str) -> str:
    """A project with resources of its own asks for trust otherwise."""
    settings = {"defaultProjectTrust": "always", "defaultProvider": api, "defaultModel": model.partition("/")[2]}
    return json.dumps(settings, sort_keys=True, indent=2) + "\n"


def provision_host(_token_refs: frozenset[str], _host: HostView) -> HostProvision:
    """Nothing: `api_key` names a secret that is resolved like any other."""
    return HostProvision()
