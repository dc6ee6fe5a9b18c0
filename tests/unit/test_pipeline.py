"""What the pipeline refuses once profile and provider are put together, and what it must not let through."""

from pathlib import PurePath

import pytest

from bottlegen.errors import PlanError
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import Preview, load_profile, preview


def _preview(text: str) -> Preview:
    return preview(load_profile("dev.toml", lambda name: text.encode()), load_pins())


def _refusal(text: str) -> str:
    with pytest.raises(PlanError) as caught:
        _preview(text)
    return str(caught.value)


def test_a_providers_secret_goes_to_its_hosts_alone() -> None:
    text = """
[agent_provider]
template = "shell"

[[egress.routes]]
host = "elsewhere.example.org"
auth = { token_ref = "CODEX_HOST_CREDENTIAL_TOKEN_REF" }
"""
    assert _refusal(text) == (
        "error: plan conflict: dev.toml:5 egress.routes[0] uses token_ref 'CODEX_HOST_CREDENTIAL_TOKEN_REF', "
        "which belongs to a provider\n"
        "  --> dev.toml:5  egress.routes[0]\n"
        '  fix: name a secret of your own: token_ref = "…"'
    )
    assert _preview(text.replace("CODEX_HOST_CREDENTIAL_TOKEN_REF", "MY_TOKEN")).routes.slots[0].token_ref == "MY_TOKEN"


def test_a_providers_variable_is_not_replaced() -> None:
    text = '[agent_provider]\ntemplate = "claude"\n[env]\nDISABLE_AUTOUPDATER = "{}"\n'
    assert "env 'DISABLE_AUTOUPDATER' is set by the provider" in _refusal(text.format("0"))
    assert dict(_preview(text.format("1")).env)["DISABLE_AUTOUPDATER"] == "1"


def test_hidden_names_are_in_the_bundle_and_not_in_the_preview() -> None:
    view = _preview('[agent_provider]\ntemplate = "claude"\nauth_token = "MY_CLAUDE"\n')
    assert view.hidden == ("CLAUDE_CODE_OAUTH_TOKEN",)
    assert "CLAUDE_CODE_OAUTH_TOKEN" not in dict(view.env)
    assert b'"CLAUDE_CODE_OAUTH_TOKEN": "egress-placeholder"' in view.bundle.data("agent/env.json")


def test_routes_json_knows_no_host_name_of_a_secret() -> None:
    view = _preview('[agent_provider]\ntemplate = "claude"\nauth_token = "MY_CLAUDE"\n')
    files = {path: file for path, file in view.bundle.files.items() if b"MY_CLAUDE" in file.data}
    assert list(files) == ["tokens.json"]
    assert view.bundle.files["routes.json"].mode == 0o600
    assert all(not PurePath(path).is_absolute() for path in view.bundle.files)


def test_a_conflict_with_the_provider_names_both() -> None:
    refusal = _refusal(
        '[agent_provider]\ntemplate = "claude"\nauth_token = "A"\n'
        '[[egress.routes]]\nhost = "api.anthropic.com"\nauth = { token_ref = "B" }\n'
    )
    assert "plan conflict" in refusal
    assert "provider claude" in refusal
    assert "dev.toml:4 egress.routes[0]" in refusal
    assert "'A'" in refusal
    assert "'B'" in refusal
