"""Amp: its models and its loop run on ampcode.com, the only host it needs; it holds a placeholder for its access token.

The server answers with a token for each thread, which the agent then holds: no header can replace that one.
"""

import json

from bottlegen.apis import PLACEHOLDER, Api
from bottlegen.hostview import HostProvision, HostView
from bottlegen.pins import Pins
from bottlegen.plan import AgentFile, AgentProvider, Credential, Image, ProvisionPlan

fields: frozenset[str] = frozenset({"api_key"})
token_refs: frozenset[str] = frozenset()
credentials: tuple[Credential, ...] = (
    Credential(field="api_key", name="AMP_API_KEY", about="access token of ampcode.com/settings"),
)

_API = Api(host="ampcode.com")
_KEY = "AMP_API_KEY"
_ORIGIN = "provider amp"
_ENV = (("AMP_SKIP_UPDATE_CHECK", "1"),)
_SETTINGS = {"amp.dangerouslyAllowAll": True, "amp.updates.mode": "disabled"}
_SESSION = {"neoWelcomeDismissed": True}
"""Without it an interactive start shows a tour of five pages (0.0.1790142911)."""


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """With `api_key` the token is injected; without it what the agent sends passes untouched."""
    return ProvisionPlan(
        image=Image(context="images/agent", base=pins.base, artifacts=pins.artifacts("amp", agent.version)),
        image_files=(),
        command=agent.command or ("amp",),
        egress_routes=(_API.route(agent.api_key, _ORIGIN),),
        env=(*_ENV, (_KEY, PLACEHOLDER)) if agent.api_key else _ENV,
        hidden_env_names=frozenset({_KEY}) if agent.api_key else frozenset(),
        files=(
            AgentFile(path=".config/amp/settings.json", content=_json(_SETTINGS), keep=True),
            AgentFile(path=".local/share/amp/session.json", content=_json(_SESSION), keep=True),
        ),
    )


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, indent=2) + "\n"


def provision_host(_token_refs: frozenset[str], _host: HostView) -> HostProvision:
    """Nothing: `api_key` names a secret that is resolved like any other."""
    return HostProvision()
