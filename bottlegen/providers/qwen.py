"""Qwen Code: it holds a placeholder for the key of Alibaba's Model Studio, whose host is the only one it needs.

There is no login to forward: the free one ended in April 2026, and what a subscription (Coding Plan) gives is a key.
"""

import json

from bottlegen.agent_image import PROGRAMS, launcher, node_image
from bottlegen.apis import PLACEHOLDER, Api
from bottlegen.hostview import HostProvision, HostView
from bottlegen.pins import Pins
from bottlegen.plan import AgentFile, AgentProvider, Credential, ProvisionPlan

fields: frozenset[str] = frozenset({"api_key", "model"})
token_refs: frozenset[str] = frozenset()
credentials: tuple[Credential, ...] = (
    Credential(field="api_key", name="DASHSCOPE_API_KEY", about="key of Alibaba Cloud Model Studio"),
)

_API = Api(host="dashscope.aliyuncs.com")
_MODEL = "qwen3-coder-plus"
_KEY = "DASHSCOPE_API_KEY"
_ORIGIN = "provider qwen"

_ENV = (("QWEN_CODE_SUPPRESS_YOLO_WARNING", "1"),)


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """With `api_key` a key is injected; without it what the agent sends passes untouched."""
    return ProvisionPlan(
        image=node_image(pins, "qwen", agent.version),
        image_files=(launcher("qwen", "node", f"{PROGRAMS}/lib/qwen/cli-entry.js"),),
        command=agent.command or ("qwen", "--yolo"),
        egress_routes=(_API.route(agent.api_key, _ORIGIN),),
        env=(*_ENV, (_KEY, PLACEHOLDER)) if agent.api_key else _ENV,
        hidden_env_names=frozenset({_KEY}) if agent.api_key else frozenset(),
        files=(AgentFile(path=".qwen/settings.json", content=_settings(agent.model or _MODEL), keep=True),),
    )


def _settings(model: str) -> str:
    """What answers "connect a provider" and the trust question of 0.24.4, and ends its telemetry and update check.

    Its own ripgrep is packed without the right to be run.
    """
    offered = {"id": model, "name": model, "envKey": _KEY, "baseUrl": f"https://{_API.host}/compatible-mode/v1"}
    settings = {
        "$version": 4,
        "security": {"auth": {"selectedType": "openai"}, "folderTrust": {"enabled": False}},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "general": {"enableAutoUpdate": False},
        "tools": {"useBuiltinRipgrep": False},
        "modelProviders": {"openai": [offered]},
        "model": {"name": model},
    }
    return json.dumps(settings, sort_keys=True, indent=2) + "\n"


def provision_host(_token_refs: frozenset[str], _host: HostView) -> HostProvision:
    """Nothing: `api_key` names a secret that is resolved like any other."""
    return HostProvision()
