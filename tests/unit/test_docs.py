"""The pages of docs/ are current, and the check that says so finds each kind of flaw."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
assert _SPEC
assert _SPEC.loader
generate = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(generate)


@pytest.mark.parametrize("name", ["docs/attacks.md", "docs/profile.md", "docs/architecture.md", "docs/agents.md"])
def test_made_pages_are_current(name):
    assert (ROOT / name).read_text() == generate.pages(ROOT)[name], "run: ./inv docs"


def test_pages_name_what_is_there():
    assert list(generate.flaws(ROOT)) == []


@pytest.fixture
def project(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_walls.py").write_text("def test_no_way_out():\n    pass\n")
    (tmp_path / "docs" / "other.md").write_text("# A heading, with `code`\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("[a](other.md)", None),
        ("[a](other.md#a-heading-with-code)", None),
        ("[a](https://example.com/nowhere)", None),
        ("```\n[a](nowhere.md)\n```", None),
        ("`test_no_way_out` and `tests/test_walls.py`", None),
        ("`docs/NAME.md` and `tests/test_NAME.py`", None),
        ("[a](nowhere.md)", "docs/page.md: broken link 'nowhere.md'"),
        ("[a](other.md#nothing)", "docs/page.md: broken link 'other.md#nothing'"),
        ("`test_gone`", "docs/page.md: no test 'test_gone'"),
        ("`docs/gone.md`", "docs/page.md: no path 'docs/gone.md'"),
    ],
)
def test_flaws(project, text, flaw):
    (project / "docs" / "page.md").write_text(f"{text}\n")
    assert list(generate.flaws(project)) == ([flaw] if flaw else [])


def test_a_module_is_its_docstring_s_first_line(project):
    (project / "runtime").mkdir()
    (project / "runtime" / "one.py").write_text('"""Does a | b.\n\nAnd more."""\n')
    assert generate.module_lines(project) == "| `runtime/` | |\n|---|---|\n| `one.py` | Does a \\| b |\n"


def test_a_page_without_its_marks_is_not_guessed_at():
    with pytest.raises(ValueError, match="needs the lines"):
        generate.with_modules("# Architecture\n", "| a |\n")
