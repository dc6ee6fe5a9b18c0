"""The agents that bottlegen knows: one module each, and only that module may know which agent it serves."""

from collections.abc import Mapping
from typing import Final, Protocol

from bottlegen.hostview import HostProvision, HostView
from bottlegen.pins import Pins
from bottlegen.plan import AgentProvider, Credential, ProvisionPlan
from bottlegen.providers import aider, amp, claude, codex, copilot, gemini, opencode, openhands, pi, qwen, shell


class Provider(Protocol):
    """What a provider's module defines. `fields` are the agent_provider keys it takes beside those that all take.

    `credentials` are the ways to give it access, for who looks for one, the one that its shipped profile takes first.
    `token_refs` are the names under which it provisions secrets of the host: no profile may lead one to another host.
    """

    fields: frozenset[str]
    credentials: tuple[Credential, ...]
    token_refs: frozenset[str]

    def provision(self, agent: AgentProvider, pins: Pins) -> ProvisionPlan:
        """The agent_provision_plan: all that is particular to this agent, from the profile's words and the pins."""

    def provision_host(self, token_refs: frozenset[str], host: HostView, /) -> HostProvision:
        """What only the host has, asked for when a bottle starts. `token_refs` are those of the bundle's slots: a
        provider answers for the ones it owns and ignores the rest. SecretError when the host cannot give one."""


PROVIDERS: Final[Mapping[str, Provider]] = {
    "codex": codex,
    "claude": claude,
    "shell": shell,
    "gemini": gemini,
    "qwen": qwen,
    "opencode": opencode,
    "copilot": copilot,
    "amp": amp,
    "pi": pi,
    "aider": aider,
    "openhands": openhands,
}
