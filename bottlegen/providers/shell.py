"""No agent: a shell with curl and git, for trying what a profile allows."""

from bottlegen.hostview import HostProvision, HostView
from bottlegen.pins import Pins
from bottlegen.plan import AgentProvider, Credential, Image, ProvisionPlan

fields: frozenset[str] = frozenset()
token_refs: frozenset[str] = frozenset()
credentials: tuple[Credential, ...] = ()


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """A login shell and no route of its own; a version is refused, as there is nothing to choose."""
    artifacts = pins.artifacts("shell", agent.version) if agent.version else ()
    return ProvisionPlan(
        image=Image(context="images/agent", base=pins.base, artifacts=artifacts),
        command=agent.command or ("/bin/bash", "-l"),
    )


def provision_host(_token_refs: frozenset[str], _host: HostView) -> HostProvision:
    """Nothing: whatever the profile's routes inject comes from the host's own secrets."""
    return HostProvision()
