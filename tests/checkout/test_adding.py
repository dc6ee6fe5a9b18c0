"""An agent is one module, one registry line, its pins, one profile with its bundle, and one golden case: counted."""

import re
import subprocess
from pathlib import Path

import pytest

from bottlegen.providers import PROVIDERS

ROOT = Path(__file__).parents[2]
SHARED = {
    "CHANGELOG.md",
    "bottlegen.lock",
    "bottlegen/pins.toml",
    "bottlegen/providers/__init__.py",
    "docs/agents.md",
    "docs/architecture.md",
}
"""What each addition has a line or a table in, the second of them the registry."""

# The other three are the examples of pages and tests.
ADDED = sorted(PROVIDERS.keys() - {"codex", "claude", "shell"})


def _own(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"bottlegen/providers/{name}\.py|profiles/{name}\.toml|bundles/{name}/.*|tests/golden/{name}(-[a-z-]+)?/.*"
        rf"|tests/unit/providers/test_{name}\.py"
    )


def _files_that_name(name: str) -> set[str]:
    """Tracked files with the provider's name as a word of its own, where code, data or pages could know of it."""
    git = [
        "git",
        "grep",
        "--untracked",
        "-lIE",
        f"(^|[^&[:alnum:]_-]){name}([^[:alnum:]_]|$)",  # but for the entity &amp; and services such as a-b
        "--",
        "bottlegen.lock",
        "bottlegen",
        "runtime",
        "profiles",
        "bundles",
        "docs",
        "tasks.py",
    ]
    rest = ["tests/golden", "tests/unit", "tests/contract", "tests/cli", "*.md", "nix", "pyproject.toml"]
    done = subprocess.run([*git, *rest], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", ADDED)
def test_an_agent_is_in_its_own_places_only(name: str) -> None:
    elsewhere = {path for path in _files_that_name(name) if not _own(name).fullmatch(path)}
    assert elsewhere <= SHARED


@pytest.mark.parametrize("name", ADDED)
def test_an_agent_has_each_of_its_places(name: str) -> None:
    for path in (f"bottlegen/providers/{name}.py", f"profiles/{name}.toml", f"bundles/{name}/manifest.json"):
        assert (ROOT / path).is_file()
    for file in ("profile.toml", "turn.toml", "screen.txt", "bundle/manifest.json"):
        assert (ROOT / "tests/golden" / name / file).is_file()


def test_a_name_elsewhere_is_found() -> None:
    assert "docs/diff.md" in _files_that_name("diff")
    assert not _own("diff").fullmatch("docs/diff.md")
