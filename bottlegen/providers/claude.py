"""Claude Code: it holds a placeholder that says so, and its first start asks nothing."""

import json

from bottlegen.hostview import HostProvision, HostView
from bottlegen.pins import Pins
from bottlegen.plan import (
    WORKSPACE,
    AgentFile,
    AgentProvider,
    Auth,
    Image,
    ProvisionPlan,
    Route,
)

fields: frozenset[str] = frozenset({"auth_token"})
token_refs: frozenset[str] = frozenset()

PLACEHOLDER = "egress-placeholder"

_TOKEN_ENV = "CLAUDE_CODE_OAUTH_TOKEN"  # noqa: S105 - the name of a variable

_BASE_ENV = (("DISABLE_AUTOUPDATER", "1"),)
"""The image is read-only: an update could not be written, and would not be the pinned version."""

# With these, 2.1.330 calls api.anthropic.com alone; without, also raw.githubusercontent.com, registry.npmjs.org,
# downloads.claude.ai and github.com (measured).
_TOKEN_MODE_ENV = (
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL", "1"),
    (_TOKEN_ENV, PLACEHOLDER),
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
    """With `auth_token` a Bearer credential is injected and the agent holds the placeholder; without it the user logs
    in inside the bottle and the agent's own token passes untouched."""
    auth = Auth(token_ref=agent.auth_token) if agent.auth_token else None
    return ProvisionPlan(
        image=Image(
            context="images/agent",
            base=pins.base,
            artifacts=pins.artifacts("claude", agent.version),
        ),
        image_files=(),
        command=agent.command or ("claude",),
        egress_routes=(
            Route(
                host="api.anthropic.com",
                auth=auth,
                tls_passthrough=True,
                origin="provider claude",
            ),
        ),
        env=_BASE_ENV + (_TOKEN_MODE_ENV if auth else ()),
        hidden_env_names=frozenset({_TOKEN_ENV}) if auth else frozenset(),
        files=(
            AgentFile(path=".claude.json", content=_json(_STATE), keep=True),
            AgentFile(path=".claude/settings.json", content=_json(_SETTINGS), keep=True),
        ),
    )


def provision_host(_token_refs: frozenset[str], _host: HostView) -> HostProvision:
    """Nothing: `auth_token` names a secret that is resolved like any other."""
    return HostProvision()


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, indent=2) + "\n"
