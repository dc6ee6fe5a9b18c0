"""pipelock's config says what the route set says, and one that says anything else is not taken for it."""

import json
from typing import Any

import pytest

from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from bottlegen.plan import Auth, Route
from bottlegen.profile import Inspection
from bottlegen.render import canonical_json
from bottlegen.routes import compile_routes
from bottlegen.sidecars import pipelock

ROUTES = compile_routes(
    [
        Route(host="open.test"),
        Route(host="*.wild.test"),
        Route(host="inject.test", auth=Auth(token_ref="T")),
        Route(host="key.test", auth=Auth(token_ref="K", header="X-Api-Key")),
        Route(host="passed.test", auth=Auth(token_ref="P", header="private-token"), tls_passthrough=True),
    ]
)
OTHER = Inspection(
    mode="audit", action="warn", patterns=(("Ticket", "T-[0-9]+"),), max_body=2**20, max_response=2**21,
    requests_per_minute=7,
)  # fmt: skip


def rendered() -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(pipelock.render("p", Inspection(), ROUTES))
    return tree


def test_destinations_are_those_of_the_routes() -> None:
    tree = rendered()
    assert tree["api_allowlist"] == ["*.wild.test", "inject.test", "key.test", "open.test", "passed.test"]
    assert tree["tls_interception"]["passthrough_domains"] == ["passed.test"]


def test_only_headers_that_egress_fills_in_on_inspected_hosts_are_left_unread() -> None:
    unread = {name.lower() for name in rendered()["request_body_scanning"]["ignore_headers"]}
    assert {"authorization", "x-api-key"} <= unread
    assert not {"private-token", "cookie", "proxy-authorization", "x-token"} & unread


def test_no_host_is_not_every_host() -> None:
    tree = json.loads(pipelock.render("p", Inspection(), compile_routes([])))
    assert tree["api_allowlist"] == ["nothing.invalid"]


def test_the_start_alone_brings_addresses_and_values() -> None:
    assert rendered()["trusted_domains"] == []
    assert rendered()["dlp"]["secrets_file"] == pipelock.SECRETS


@pytest.mark.parametrize("inspection", [Inspection(), OTHER])
def test_what_a_profile_set_is_read_back(inspection: Inspection) -> None:
    config = pipelock.render("p", inspection, ROUTES)
    assert pipelock.settings(config) == inspection
    assert pipelock.enforces("p", config, ROUTES)


def _without(tree: dict[str, Any], *keys: str) -> None:
    for key in keys[:-1]:
        tree = tree[key]
    del tree[keys[-1]]


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree["api_allowlist"].append("more.test"),
        lambda tree: tree["tls_interception"]["passthrough_domains"].append("open.test"),
        lambda tree: tree["tls_interception"].update(enabled=False),
        lambda tree: tree["request_body_scanning"]["ignore_headers"].append("Cookie"),
        lambda tree: tree["request_body_scanning"].update(enabled=False),
        lambda tree: tree["dlp"].update(include_defaults=False),
        lambda tree: tree.update(enforce=False),
        lambda tree: tree.update(mode="permissive"),
        lambda tree: tree["internal"].clear(),
        lambda tree: tree["trusted_domains"].append("open.test"),
        lambda tree: tree["logging"].update(output="stdout"),
        lambda tree: tree.update(surprise=True),
        lambda tree: _without(tree, "dlp", "secrets_file"),
        lambda tree: _without(tree, "request_body_scanning"),
        lambda tree: tree["dlp"].update(patterns=7),
    ],
)
def test_a_config_that_was_touched_is_not_taken_for_what_the_routes_say(change: Any) -> None:
    tree = rendered()
    change(tree)
    assert not pipelock.enforces("p", canonical_json(tree), ROUTES)


def test_a_config_of_other_routes_is_not_either() -> None:
    config = pipelock.render("p", Inspection(), ROUTES)
    assert not pipelock.enforces("p", config, compile_routes([Route(host="open.test")]))
    assert not pipelock.enforces("p", b"null", ROUTES)


def test_without_the_table_there_is_no_sidecar_and_egress_leaves_by_itself() -> None:
    text = b'[agent_provider]\ntemplate = "shell"\n'
    plain, inspected = (
        build(load_profile("p.toml", {"p.toml": content}.__getitem__), load_pins())
        for content in (text, text + b"[pipelock]\n")
    )
    assert pipelock.NAME not in plain.manifest.services
    assert "outside" in plain.manifest.services["egress"].networks
    assert "outside" not in inspected.manifest.services["egress"].networks
    assert set(inspected.manifest.services["pipelock"].networks) == {"chain", "outside"}
    assert "bottle" not in inspected.manifest.services["pipelock"].networks
