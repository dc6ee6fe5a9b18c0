"""opencode: its model decides which API the bottle reaches, and it holds a placeholder for the key of that one."""

import json

from bottlegen.apis import APIS, PLACEHOLDER, of_model
from bottlegen.hostview import HostProvision, HostView
from bottlegen.pins import Pins
from bottlegen.plan import AgentFile, AgentProvider, Credential, Image, ProvisionPlan

fields: frozenset[str] = frozenset({"api_key", "model"})
token_refs: frozenset[str] = frozenset()
credentials: tuple[Credential, ...] = (
    Credential(field="api_key", name="ANTHROPIC_API_KEY", about="key of the API that the model is of"),
)

_MODEL = "anthropic/claude-sonnet-4-5"
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
    """With `api_key` a key is injected; without it what the agent sends passes untouched."""
    model = agent.model or _MODEL
    api = of_model(model, _KEYS)
    key = _KEYS[api]
    return ProvisionPlan(
        image=Image(context="images/agent", base=pins.base, artifacts=pins.artifacts("opencode", agent.version)),
        image_files=(),
        command=agent.command or ("opencode",),
        egress_routes=(APIS[api].route(agent.api_key, _ORIGIN),),
        env=(*_ENV, (key, PLACEHOLDER)) if agent.api_key else _ENV,
        hidden_env_names=frozenset({key}) if agent.api_key else frozenset(),
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


def provision_host(_token_refs: frozenset[str], _host: HostView) -> HostProvision:
    """Nothing: `api_key` names a secret that is resolved like any other."""
    return HostProvision()
