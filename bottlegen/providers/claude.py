"""Claude Code: it holds a placeholder that says so, and its first start asks nothing."""

import json

from bottlegen.agent_image import program_image
from bottlegen.apis import PLACEHOLDER, refuse_both
from bottlegen.hostview import HostProvision, HostView
from bottlegen.pins import Pins
from bottlegen.plan import (
    WORKSPACE,
    AgentFile,
    AgentProvider,
    Auth,
    Credential,
    ProvisionPlan,
    Route,
)

fields: frozenset[str] = frozenset({"auth_token", "api_key"})
token_refs: frozenset[str] = frozenset()
credentials: tuple[Credential, ...] = (
    Credential(field="auth_token", name="BOT_BOTTLE_CLAUDE_OAUTH_TOKEN", about="subscription: claude setup-token"),
    Credential(field="api_key", name="ANTHROPIC_API_KEY", about="key of the Anthropic API"),
)

_TOKEN_ENV = "CLAUDE_CODE_OAUTH_TOKEN"  # noqa: S105 - the name of a variable

_BASE_ENV = (("DISABLE_AUTOUPDATER", "1"),)
"""The image is read-only: an update could not be written, and would not be the pinned version."""

_KEY_ENV = "ANTHROPIC_API_KEY"

# With these, 2.1.330 calls api.anthropic.com alone; without, also raw.githubusercontent.com, registry.npmjs.org,
# downloads.claude.ai and github.com (measured).
_QUIET_ENV = (
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL", "1"),
)

# Each key removes one question or notice of an interactive start of 2.1.330; bypassPermissions because the bottle, not
# a dialog, is what holds the agent.
_STATE = {
    "hasCompletedOnboarding": True,
    "hasSeenAutoDefaultNotice": True,
    "hasSeenAutoDefaultNudge": True,
    "projects": {WORKSPACE: {"hasTrustDialogAccepted": True}},
}
_SETTINGS = {
    "theme": "dark",
    "skipDangerousModePermissionPrompt": True,
    "permissions": {"defaultMode": "bypassPermissions"},
}


def provision(agent: AgentProvider, pins: Pins) -> ProvisionPlan:
    """With `auth_token` (a subscription) or `api_key` the credential is injected and the agent holds the placeholder;
    without either the user logs in inside the bottle and the agent's own token passes untouched."""
    auth, held = _credential(agent)
    return ProvisionPlan(
        image=program_image(pins, "claude", agent.version),
        instructions=".claude/CLAUDE.md",
        command=agent.command or ("claude",),
        egress_routes=(
            Route(
                host="api.anthropic.com",
                auth=auth,
                tls_passthrough=True,
                origin="provider claude",
            ),
        ),
        env=(*_BASE_ENV, *_QUIET_ENV, (held, PLACEHOLDER)) if held else _BASE_ENV,
        hidden_env_names=frozenset({held}) if held else frozenset(),
        files=(
            AgentFile(path=".claude.json", content=_json(_state(held)), keep=True),
            AgentFile(path=".claude/settings.json", content=_json(_SETTINGS), keep=True),
        ),
    )


def _credential(agent: AgentProvider) -> tuple[Auth | None, str]:
    """What is injected, and the variable in which the agent holds the placeholder for it.

    A key has a header of its own: injected as the other, the placeholder would go out beside it.
    """
    refuse_both(agent, "auth_token", "api_key", "one is a subscription's, one is paid by use")
    if agent.api_key:
        return Auth(token_ref=agent.api_key, scheme="", header="x-api-key"), _KEY_ENV
    return (Auth(token_ref=agent.auth_token), _TOKEN_ENV) if agent.auth_token else (None, "")


def _state(held: str) -> object:
    """A key in the environment is asked about, by its last 20 characters, unless it was approved before."""
    answer = {"customApiKeyResponses": {"approved": [PLACEHOLDER[-20:]], "rejected": []}} if held == _KEY_ENV else {}
    return {**_STATE, **answer}


def provision_host(_token_refs: frozenset[str], _host: HostView) -> HostProvision:
    """Nothing: both fields name secrets that are resolved like any other."""
    return HostProvision()


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, indent=2) + "\n"
