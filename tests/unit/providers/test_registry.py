"""The registry: what holds for every provider, and that no other part of the program knows one by name."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

from bottlegen import pins
from bottlegen.errors import LockError
from bottlegen.pipeline import load_profile
from bottlegen.plan import AgentProvider
from bottlegen.providers import PROVIDERS, Provider

ROOT = Path(__file__).parents[3]
REGISTRY = ROOT / "bottlegen/providers/__init__.py"
COMMON = {"template", "version", "command"}


@pytest.fixture(params=sorted(PROVIDERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def provider(name: str) -> Provider:
    return PROVIDERS[name]


def test_fields_are_those_of_a_profile_and_not_the_common_ones(provider: Provider) -> None:
    assert provider.fields <= set(AgentProvider.__dataclass_fields__) - COMMON


def test_own_routes_pass_inspection_by_and_are_https(name: str, provider: Provider) -> None:
    for route in provider.provision(AgentProvider(template=name), pins.load()).egress_routes:
        assert (route.tls_passthrough, route.port, route.auth) == (True, 443, None)
        assert name in route.origin


def test_the_plan_is_a_function_of_its_arguments(name: str, provider: Provider) -> None:
    agent = AgentProvider(template=name)
    assert provider.provision(agent, pins.load()) == provider.provision(agent, pins.load())
    assert hash(provider.provision(agent, pins.load()))


def test_a_version_that_is_not_pinned_is_refused(name: str, provider: Provider) -> None:
    with pytest.raises(LockError, match=f"version '9.9' of '{name}' is not pinned"):
        provider.provision(AgentProvider(template=name, version="9.9"), pins.load())


def test_hidden_names_are_among_those_that_are_set(name: str, provider: Provider) -> None:
    token = "A_NAME" if "auth_token" in provider.fields else ""
    plan = provider.provision(AgentProvider(template=name, auth_token=token), pins.load())
    assert plan.hidden_env_names <= dict(plan.env).keys()


def test_each_credential_is_a_field_and_each_such_field_has_one(provider: Provider) -> None:
    ways = {"auth_token", "api_key", "forward_host_credentials"}
    assert {way.field for way in provider.credentials} == provider.fields & ways
    assert len({way.name for way in provider.credentials}) == len(provider.credentials)
    assert {way.name for way in provider.credentials if way.field == "forward_host_credentials"} == provider.token_refs


def test_the_shipped_profile_takes_the_first_credential_under_its_usual_name(name: str, provider: Provider) -> None:
    agent = load_profile(str(ROOT / "profiles" / f"{name}.toml")).agent
    assert agent.template == name
    if provider.credentials:
        first = provider.credentials[0]
        assert getattr(agent, first.field) in (first.name, True)


TAKES = [(name, field) for name in sorted(PROVIDERS) for field in sorted(PROVIDERS[name].fields)]


@pytest.mark.parametrize(("name", "field"), [pair for pair in TAKES if pair[1] in ("api_key", "auth_token")])
def test_a_named_secret_is_injected_and_the_agent_holds_only_a_placeholder(name: str, field: str) -> None:
    provider = PROVIDERS[name]
    agent = AgentProvider(template=name, **{field: "A_SECRET"})  # type: ignore[arg-type]
    plan = provider.provision(agent, pins.load())
    auths = [route.auth for route in plan.egress_routes if route.auth]
    assert {auth.token_ref for auth in auths} == {"A_SECRET"}
    held = [value for key, value in plan.env if key in plan.hidden_env_names]
    held += [file.content for file in plan.files if "placeholder" in file.content]
    assert held
    assert all("egress-placeholder" in text for text in held)
    without = provider.provision(AgentProvider(template=name), pins.load())
    assert without.egress_routes
    assert not any(route.auth for route in without.egress_routes)
    assert without.hidden_env_names == frozenset()
    assert "egress-placeholder" not in str((without.env, without.files))  # it would keep a login of its own from work


@pytest.mark.parametrize("name", [name for name, field in TAKES if field == "model"])
def test_the_agent_starts_with_the_model_that_is_named(name: str) -> None:
    agent = AgentProvider(template=name, api_key="A_SECRET", model="openai/some-model")
    plan = PROVIDERS[name].provision(agent, pins.load())
    assert len(plan.egress_routes) == 1
    seeds = "".join(file.content for file in plan.files) + str(plan.env)
    assert "some-model" in seeds


MODULES = tuple(
    path
    for path in (*ROOT.glob("bottlegen/**/*.py"), *ROOT.glob("runtime/**/*.py"), ROOT / "tasks.py")
    if path != REGISTRY and (path.parent != REGISTRY.parent or path.stem not in PROVIDERS)
)


def _mentions(source: str) -> list[tuple[int, str]]:
    """Where code, not prose, names a provider: a string that is its name, an import of it, or a name made from it."""
    names = set(PROVIDERS)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    words = [(token.start[0], token.string) for token in tokens if token.type == tokenize.NAME]
    texts = [(node.lineno, str(node.value)) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    # `shell` is a word of its own too, so only as a whole string it is the provider's name.
    named = [(line, word) for line, word in words if (names - {"shell"}) & set(word.lower().split("_"))]
    return named + [(line, text) for line, text in texts if text in names]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_other_part_knows_a_provider(path: Path) -> None:
    assert _mentions(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        'if template == "codex":\n    pass\n',
        'ROUTES = {"claude": 1}\n',
        "from bottlegen.providers import codex\n",
        "def codex_routes(): ...\n",
        'match template:\n    case "shell":\n        pass\n',
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert _mentions(source)
