"""Model APIs as any agent calls them: where each is, and in which header it wants its key."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from bottlegen.errors import PlanError, Problem
from bottlegen.plan import AgentProvider, Auth, Route

PLACEHOLDER = "egress-placeholder"
"""What an agent holds in place of a key; most take any text for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One API: `header` carries `<scheme> <key>`, or the key alone where there is no scheme."""

    host: str
    header: str = "authorization"
    scheme: str = "Bearer"

    def route(self, token_ref: str, origin: str) -> Route:
        """The provider's route to this API; an empty `token_ref` leaves the agent's own credential alone."""
        auth = Auth(token_ref=token_ref, scheme=self.scheme, header=self.header) if token_ref else None
        return Route(host=self.host, auth=auth, tls_passthrough=True, origin=origin)


APIS: Final[Mapping[str, Api]] = {
    "anthropic": Api(host="api.anthropic.com", header="x-api-key", scheme=""),
    "google": Api(host="generativelanguage.googleapis.com", header="x-goog-api-key", scheme=""),
    "openai": Api(host="api.openai.com"),
    "openrouter": Api(host="openrouter.ai"),
}


def of_model(model: str, known: Collection[str]) -> str:
    """The API that `api/model` begins with, one of `known`; PlanError otherwise."""
    name, slash, _ = model.partition("/")
    if not slash or name not in known:
        raise PlanError(
            Problem(
                what=f"model '{model}' does not begin with an API that this agent can use here",
                fix=f"write it as api/model with one of: {', '.join(sorted(known))}",
            )
        )
    return name


def refuse_both(agent: AgentProvider, one: str, other: str, why: str) -> None:
    """PlanError when the profile names two ways of access of which an agent can use one."""
    if getattr(agent, one) and getattr(agent, other):
        raise PlanError(
            Problem(
                what=f"{one} and {other} contradict each other: {why}", fix="remove one of them from agent_provider"
            )
        )
