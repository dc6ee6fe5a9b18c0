"""Tokens by kind: the paths, schemes and slots of requirements, in the profile's order, and what contradicts."""

import json

import pytest

from bottlegen.errors import PlanError
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import Preview, load_profile, preview
from bottlegen.plan import Route, Token
from bottlegen.routes import compile_routes
from bottlegen.tokens import compile_tokens

HEAD = '[agent_provider]\ntemplate = "shell"\n'
GITEA = "https://git.example.org"


def made(text: str) -> Preview:
    return preview(load_profile("dev.toml", lambda _: (HEAD + text).encode()), load_pins())


def entry(kind: str, token_ref: str, more: str = "") -> str:
    return f'[[tokens]]\nkind = "{kind}"\ntoken_ref = "{token_ref}"\n{more}'


@pytest.mark.parametrize(
    ("token", "wanted"),
    [
        (Token(kind="anthropic", token_ref="A"), [("/anthropic/", "https://api.anthropic.com", "Bearer")]),
        (
            Token(kind="github", token_ref="A"),
            [("/gh-api/", "https://api.github.com", "Bearer"), ("/gh-git/", "https://github.com", "Bearer")],
        ),
        (Token(kind="gitea", token_ref="A", url=GITEA), [("/gitea/git.example.org/", GITEA, "token")]),
        (
            Token(kind="gitea", token_ref="A", url=f"{GITEA}:3000/forge"),
            [("/gitea/git.example.org/", f"{GITEA}:3000/forge", "token")],
        ),
        (Token(kind="npm", token_ref="A"), [("/npm/", "https://registry.npmjs.org", "Bearer")]),
    ],
)
def test_each_kind_has_its_paths(token: Token, wanted: list[tuple[str, str, str]]) -> None:
    routes, slots = compile_tokens([token])
    scheme = {slot.name: slot.scheme for slot in slots}
    assert [(route.path, route.upstream, scheme[route.slot]) for route in routes] == wanted
    assert [slot.name for slot in slots] == ["CRED_PROXY_TOKEN_0"]


def test_order_is_that_of_the_profile() -> None:
    both = [Token(kind="npm", token_ref="B"), Token(kind="anthropic", token_ref="A")]
    for tokens in (both, both[::-1]):
        routes, slots = compile_tokens(tokens)
        assert [route.path for route in routes] == [f"/{token.kind}/" for token in tokens]
        assert [(slot.name, slot.token_ref) for slot in slots] == [
            (f"CRED_PROXY_TOKEN_{index}", token.token_ref) for index, token in enumerate(tokens)
        ]


def test_one_secret_for_two_instances_is_one_slot() -> None:
    routes, slots = compile_tokens(
        [
            Token(kind="gitea", token_ref="A", url=GITEA),
            Token(kind="gitea", token_ref="A", url="https://other.example.org"),
        ]
    )
    assert len(slots) == 1
    assert {route.slot for route in routes} == {slots[0].name}
    assert slots[0].hosts == ("git.example.org", "other.example.org")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (entry("npm", "A") + entry("npm", "B"), "path '/npm/'"),
        (entry("github", "A") + entry("github", "B"), "path '/gh-api/'"),
        (
            entry("gitea", "A", f'url = "{GITEA}"\n') + entry("gitea", "B", f'url = "{GITEA}:8443"\n'),
            "path '/gitea/git.example.org/'",
        ),
    ],
)
def test_two_entries_for_one_path_name_both(text: str, said: str) -> None:
    with pytest.raises(PlanError) as caught:
        made(text)
    assert said in str(caught.value)
    assert "dev.toml:3 tokens[0] (token_ref 'A')" in str(caught.value)
    assert "dev.toml:6 tokens[1] (token_ref 'B')" in str(caught.value) or "url" in text


def test_a_github_token_and_a_route_with_another_credential_contradict() -> None:
    route = '[[egress.routes]]\nhost = "api.github.com"\nauth = { token_ref = "B" }\n'
    with pytest.raises(PlanError, match="different credentials"):
        made(entry("github", "A") + route)


def test_what_a_provider_takes_from_the_host_is_nobody_elses() -> None:
    with pytest.raises(PlanError, match="belongs to a provider"):
        made(entry("npm", "CODEX_HOST_CREDENTIAL_TOKEN_REF"))


def test_the_sidecar_sees_slots_and_the_host_keeps_the_names() -> None:
    bundle = made(entry("npm", "MY_NPM_TOKEN") + entry("github", "MY_GITHUB_TOKEN")).bundle
    told = bundle.data("sidecars/cred-proxy/routes.json")
    assert [(route["path"], route["auth"]["slot"]) for route in json.loads(told)["routes"]] == [
        ("/npm/", "CRED_PROXY_TOKEN_0"),
        ("/gh-api/", "CRED_PROXY_TOKEN_1"),
        ("/gh-git/", "CRED_PROXY_TOKEN_1"),
    ]
    assert next(mode for path, mode, _ in bundle.manifest.files if path == "sidecars/cred-proxy/routes.json") == "600"
    assert json.loads(bundle.data("tokens.json")) == {
        "EGRESS_TOKEN_0": "MY_GITHUB_TOKEN",
        "CRED_PROXY_TOKEN_0": "MY_NPM_TOKEN",
        "CRED_PROXY_TOKEN_1": "MY_GITHUB_TOKEN",
    }
    for path, file in bundle.files.items():
        assert (b"MY_NPM_TOKEN" in file.data) == (path == "tokens.json"), path


def test_the_agents_tools_find_their_way() -> None:
    text = "".join(
        entry(kind, "A", f'url = "{GITEA}"\n' if kind == "gitea" else "")
        for kind in ("anthropic", "github", "gitea", "npm")
    )
    view = made(text)
    env = dict(view.env)
    assert env["ANTHROPIC_BASE_URL"] == "http://cred-proxy:3129/anthropic"
    assert env["npm_config_registry"] == "http://cred-proxy:3129/npm/"
    assert "cred-proxy" in env["NO_PROXY"].split(",")
    count = int(env["GIT_CONFIG_COUNT"])
    git = [(env[f"GIT_CONFIG_KEY_{index}"], env[f"GIT_CONFIG_VALUE_{index}"]) for index in range(count)]
    assert ("url.http://cred-proxy:3129/gh-git/.insteadOf", "https://github.com/") in git
    assert ("url.http://cred-proxy:3129/gitea/git.example.org/.insteadOf", f"{GITEA}/") in git
    assert view.bundle.manifest.services["egress"].listening is not None


def test_inspection_is_by_host() -> None:
    """What the routes of a host say holds for its token too, or one host would pass and be read at once."""
    token = Token(kind="npm", token_ref="A")
    for passed in (True, False):
        routes = compile_routes([Route(host="registry.npmjs.org", tls_passthrough=passed)], [token])
        assert routes.destinations == (("registry.npmjs.org", 443, passed),)
