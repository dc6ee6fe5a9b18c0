"""The rules that hold between modules, read from the syntax tree: what imports what, and how long things may grow.

import-linter checks the direction between our own modules; here stand the rules it cannot express.
"""

import ast
import stat
import statistics
import sys
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "bottlegen" / "images").rglob("*.py"))
"""What runs in a sidecar: files of an image context, which nothing imports."""

PURE = sorted({*(ROOT / "bottlegen").rglob("*.py")} - {*SCRIPTS})
RUNTIME = sorted((ROOT / "runtime").rglob("*.py"))
CODE = [*PURE, *SCRIPTS, *RUNTIME]

OUTSIDE_WORLD = frozenset(
    {
        "asyncio",
        "datetime",
        "docker",
        "getpass",
        "http",
        "invoke",
        "multiprocessing",
        "platform",
        "random",
        "requests",
        "runtime",
        "secrets",
        "smol",
        "socket",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib.request",
        "uuid",
    }
)
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "getlogin", "getuid", "getcwd", "urandom", "system"}
EMPTY_NAMES = {"util", "utils", "helper", "helpers", "common", "core", "manager", "misc"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
P90_FUNCTION_LINES = 30

# The modules that join a bundle with a host; all others below runtime/ know bundles alone.
COMPOSERS = {"cli", "build", "show", "diff", "explain", "lock", "bottles", "sides", "graph", "review", "suggest"}
MAKING_OF_BUNDLES = {"bottlegen.pipeline", "bottlegen.profile", "bottlegen.inheritance", "bottlegen.routes"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def direct_imports(source: str) -> set[str]:
    """Every module that the text imports itself; `from a import b` counts as `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def reaches(imported: set[str], forbidden: AbstractSet[str]) -> set[str]:
    """The forbidden modules that are imported, or whose submodules are."""
    return {bad for bad in forbidden for name in imported if name == bad or name.startswith(f"{bad}.")}


def host_reads(source: str) -> set[str]:
    """Attributes of `os` and `Path` that read the host's environment, user or working directory."""
    tree = ast.parse(source)
    attributes = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    paths = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & {"cwd", "home", "expanduser"}
    imported = {name.removeprefix("os.") for name in direct_imports(source) if name.startswith("os.")}
    return ((attributes | imported) & ENVIRONMENT) | {f"Path.{name}" for name in paths & _calls(tree)}


def _calls(tree: ast.AST) -> set[str]:
    return {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "Path"
    }


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Name and lines of every function, its docstring left out: explaining more must not cost."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            begin = node.lineno
            docstring = 0
            if ast.get_docstring(node) is not None:
                first = node.body[0]
                docstring = (first.end_lineno or first.lineno) - first.lineno + 1
            yield node.name, (node.end_lineno or begin) - begin + 1 - docstring


# --- the rules


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_bottlegen_reaches_nothing_outside(path):
    assert reaches(direct_imports(path.read_text()), OUTSIDE_WORLD) == set()


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_bottlegen_reads_no_host(path):
    assert host_reads(path.read_text()) == set()


@pytest.mark.parametrize("path", [path for path in RUNTIME if path.stem not in COMPOSERS], ids=name_of)
def test_a_runtime_knows_nothing_of_how_a_bundle_was_made(path):
    assert reaches(direct_imports(path.read_text()), MAKING_OF_BUNDLES) == set()


@pytest.mark.parametrize("path", RUNTIME, ids=name_of)
def test_nothing_but_the_registry_reaches_a_provider(path):
    providers = {
        f"bottlegen.providers.{module.stem}" for module in (ROOT / "bottlegen" / "providers").glob("[a-z]*.py")
    }
    assert reaches(direct_imports(path.read_text()), providers) == set()


def test_no_provider_is_named_outside_its_module():
    """A branch on the provider's name would be a string of its own: docstrings may name one."""
    names = {module.stem for module in (ROOT / "bottlegen" / "providers").glob("[a-z]*.py")} - {"shell"}
    found = {
        f"{name_of(path)}:{node.lineno}"
        for path in CODE
        if path.parent.name != "providers"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare | ast.Match)
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and part.value in names
    }
    assert found == set()


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_module_says_what_it_is(path):
    source = path.read_text()
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring or not source.strip(), "no module docstring"


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_module_has_a_name_and_a_size(path):
    assert path.stem not in EMPTY_NAMES
    assert len(path.read_text().splitlines()) < MAX_FILE_LINES


def test_functions_are_short():
    sizes = {f"{name_of(path)} {name}": lines for path in CODE for name, lines in functions(path.read_text())}
    assert {where: lines for where, lines in sizes.items() if lines > MAX_FUNCTION_LINES} == {}
    assert statistics.quantiles(sizes.values(), n=10)[-1] <= P90_FUNCTION_LINES


def test_ci_runs_the_command_of_the_readme():
    assert "./inv test" in (ROOT / "README.md").read_text()
    script = ROOT / ".ci" / "run"
    assert " ./inv test\n" in script.read_text()
    for path in (script, ROOT / "inv"):
        assert path.stat().st_mode & stat.S_IXUSR, f"{path.name} is not executable"


def test_lock_names_public_registries_alone():
    lines = [line for line in (ROOT / "uv.lock").read_text().splitlines() if "://" in line or "registry = " in line]
    foreign = [
        line
        for line in lines
        if "https://pypi.org/simple" not in line and "https://files.pythonhosted.org/" not in line
    ]
    assert len(lines) > 100
    assert foreign == []


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_a_sidecars_script_needs_nothing_but_python_and_its_neighbours(path):
    beside = {other.stem for other in path.parent.glob("*.py")}
    roots = {name.partition(".")[0] for name in direct_imports(path.read_text())}
    assert roots - beside - sys.stdlib_module_names == set()


# --- and the broken inputs that they catch


@pytest.mark.parametrize(
    "source",
    [
        "import socket",
        "import os, subprocess as s",
        "def f():\n    from http.client import X",
        "from runtime import base",
    ],
)
def test_catches_a_forbidden_import(source):
    assert reaches(direct_imports(source), OUTSIDE_WORLD)


@pytest.mark.parametrize(
    "source", ["import timeit", "from bottlegen import nar", "import os.path", "from .time import x"]
)
def test_lets_other_imports_be(source):
    assert not reaches(direct_imports(source), OUTSIDE_WORLD)


@pytest.mark.parametrize(
    "source", ["os.environ['HOME']", "from os import getenv", "Path.cwd()", "Path.home() / 'x'", "os.urandom(8)"]
)
def test_catches_a_look_at_the_host(source):
    assert host_reads(source)


def test_counts_lines_without_the_docstring():
    source = 'def f():\n    """One.\n\n    Two.\n    """\n    return 1\n\nasync def g(): pass\n'
    assert dict(functions(source)) == {"f": 2, "g": 1}
