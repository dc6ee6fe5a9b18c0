"""OpenHands: its model decides which API the bottle reaches, and it holds a placeholder for the key of that one.

No login is forwarded: the one there is, to OpenHands Cloud, gives it settings of that service, and was not tried here.
"""

from bottlegen.agent_image import PYTHON, launcher, python_image
from bottlegen.apis import APIS, PLACEHOLDER, of_model
from bottlegen.hostview import HostProvision, HostView
from bottlegen.pins import Pins
from bottlegen.plan import AgentProvider, Credential, ProvisionPlan

fields: frozenset[str] = frozenset({"api_key", "model"})
token_refs: frozenset[str] = frozenset()
credentials: tuple[Credential, ...] = (
    Credential(field="api_key", name="ANTHROPIC_API_KEY", about="key of the API that the model is of"),
)

_MODEL = "anthropic/claude-sonnet-4-5"
_KNOWN = ("anthropic", "openai", "openrouter")
_KEY = "LLM_API_KEY"
_ORIGIN = "provider openhands"
_ENV = (("LITELLM_LOCAL_MODEL_COST_MAP", "True"), ("OPENHANDS_SUPPRESS_BANNER", "1"))
"""Prices come with it, and are not asked for at every start."""


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """With `api_key` a key is injected; without it what the agent sends passes untouched."""
    model = agent.model or _MODEL
    env = (*_ENV, ("LLM_MODEL", model))
    return ProvisionPlan(
        image=python_image(pins, "openhands", agent.version),
        image_files=(launcher("openhands", *PYTHON, "-m", "openhands_cli.entrypoint"),),
        command=agent.command or ("openhands", "--override-with-envs", "--always-approve"),
        egress_routes=(APIS[of_model(model, _KNOWN)].route(agent.api_key, _ORIGIN),),
        env=(*env, (_KEY, PLACEHOLDER)) if agent.api_key else env,
        hidden_env_names=frozenset({_KEY}) if agent.api_key else frozenset(),
    )


def provision_host(_token_refs: frozenset[str], _host: HostView) -> HostProvision:
    """Nothing: `api_key` names a secret that is resolved like any other."""
    return HostProvision()
