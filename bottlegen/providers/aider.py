"""Aider: its model decides which API the bottle reaches, and it holds a placeholder for the key of that one.

There is no login to forward: it takes keys alone.
"""

import json

from bottlegen.agent_image import PYTHON, launcher, python_image
from bottlegen.apis import APIS, PLACEHOLDER, of_model
from bottlegen.hostview import HostProvision, HostView
from bottlegen.pins import Pins
from bottlegen.plan import AgentFile, AgentProvider, Credential, ProvisionPlan

fields: frozenset[str] = frozenset({"api_key", "model"})
token_refs: frozenset[str] = frozenset()
credentials: tuple[Credential, ...] = (
    Credential(field="api_key", name="ANTHROPIC_API_KEY", about="key of the API that the model is of"),
)

_MODEL = "anthropic/claude-sonnet-4-5"
_KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "openrouter": "OPENROUTER_API_KEY"}
"""Not Google's: Aider sends that key in the address, where none is injected (0.86.2)."""

_ORIGIN = "provider aider"

_ENV = (("LITELLM_LOCAL_MODEL_COST_MAP", "True"),)
"""Prices come with it, and are not asked for at every start."""


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """With `api_key` a key is injected; without it what the agent sends passes untouched."""
    model = agent.model or _MODEL
    api = of_model(model, _KEYS)
    key = _KEYS[api]
    return ProvisionPlan(
        image=python_image(pins, "aider", agent.version),
        image_files=(launcher("aider", *PYTHON, "-m", "aider"),),
        command=agent.command or ("aider", "--yes-always"),
        egress_routes=(APIS[api].route(agent.api_key, _ORIGIN),),
        env=(*_ENV, (key, PLACEHOLDER)) if agent.api_key else _ENV,
        hidden_env_names=frozenset({key}) if agent.api_key else frozenset(),
        files=(AgentFile(path=".aider.conf.yml", content=_settings(model), keep=True),),
    )


def _settings(model: str) -> str:
    """What answers the questions of a first start, and ends its update check and its telemetry (0.86.2)."""
    settings = {
        "model": model,
        "check-update": False,
        "analytics-disable": True,
        "show-release-notes": False,
        "show-model-warnings": False,
        "gitignore": False,
    }
    return json.dumps(settings, sort_keys=True, indent=2) + "\n"  # which is YAML


def provision_host(_token_refs: frozenset[str], _host: HostView) -> HostProvision:
    """Nothing: `api_key` names a secret that is resolved like any other."""
    return HostProvision()
