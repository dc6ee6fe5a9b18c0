"""The registry: what holds for every provider, and that no other part of the program knows one by name."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

from bottlegen import pins
from bottlegen.errors import LockError
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
