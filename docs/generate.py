"""The pages of docs/ that are made from code, and what every page may speak of: links, tests and paths that exist.

`./inv docs` writes what has changed, `./inv docs --check` writes nothing; both fail when a page names what is not.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from bottlegen import reference
from bottlegen.plan import Credential
from bottlegen.providers import PROVIDERS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # for the tests that a page is made from
PACKAGES = ("bottlegen", "runtime")
BEGIN = "<!-- modules: made by `./inv docs` from the modules' own docstrings -->\n"
END = "<!-- end of modules -->\n"

_AGENTS = """\
# Agents

Made by `./inv docs` from the providers' own words. Each agent has a profile of its name in `profiles/`, which takes the
first way of access that stands here; `bottlegen agents` says which of them this host has. A login stays on the host: of
its file one token goes to the egress sidecar when a bottle starts, and the agent holds dummies. When the host has
renewed it, `bottlegen refresh` gives a running bottle the new one.
"""

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# `NAME` in a page is the reader's own.
_NAMED = re.compile(r"`(?![^`]*NAME)((?:tests/)?[\w/.-]*\btest_\w+(?:\.py)?)`")
_PATH = re.compile(r"`(?![^`]*NAME)((?:bottlegen|runtime|tests|docs)/[\w./-]+)`")


def pages(root: Path) -> Mapping[str, str]:
    """What the made pages should hold, by path below `root`."""
    from tests.attacks import report

    architecture = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    return {
        "docs/attacks.md": report.page(),
        "docs/profile.md": reference.markdown(),
        "docs/architecture.md": with_modules(architecture, module_lines(root)),
        "docs/agents.md": agents_page(root),
    }


def with_modules(text: str, lines: str) -> str:
    """`text` with `lines` between its two marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"docs/architecture.md needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}{lines}{END}{after}"


def module_lines(root: Path) -> str:
    """A table a package: each module with the first line of its docstring."""
    tables = []
    for folder in sorted({path.parent for package in PACKAGES for path in (root / package).rglob("*.py")}):
        rows = [f"| `{path.name}` | {_first_line(path)} |" for path in sorted(folder.glob("*.py"))]
        name = folder.relative_to(root).as_posix()
        tables.append("\n".join((f"| `{name}/` | |", "|---|---|", *rows)))
    return "\n\n".join(tables) + "\n"


def agents_page(root: Path) -> str:
    """A section an agent: what its module says of itself, and the ways to give it access."""
    return _AGENTS + "".join(_agent(root, name) for name in sorted(PROVIDERS))


def _agent(root: Path, name: str) -> str:
    text = f"\n## {name}\n\n{_docstring(root / 'bottlegen' / 'providers' / f'{name}.py')}\n"
    rows = [f"| `{_given(way)}` | {way.about} |" for way in PROVIDERS[name].credentials]
    return text + ("\n".join(("", "| in `[agent_provider]` | what it is |", "|---|---|", *rows)) + "\n" if rows else "")


def _given(way: Credential) -> str:
    return f"{way.field} = true" if way.field == "forward_host_credentials" else f'{way.field} = "{way.name}"'


def _first_line(path: Path) -> str:
    return _docstring(path).partition("\n")[0].removesuffix(".").removesuffix(":").replace("|", "\\|")


def flaws(root: Path) -> Iterator[str]:
    """Every link, test and path that a page names and that is not there, as `page: what`."""
    tests = set(_tests(root))
    for page in (*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))):
        text = _FENCE.sub("", page.read_text(encoding="utf-8"))
        shown = page.relative_to(root).as_posix()
        yield from (f"{shown}: broken link '{link}'" for link in _LINK.findall(text) if not _resolves(page, link))
        yield from (f"{shown}: no test '{name}'" for name in _NAMED.findall(text) if name not in tests)
        yield from (f"{shown}: no path '{path}'" for path in _PATH.findall(text) if not (root / path).exists())


def _tests(root: Path) -> Iterator[str]:
    """The names of test functions, and of test files with and without their folders."""
    for path in (root / "tests").rglob("test_*.py"):
        yield from (path.relative_to(root).as_posix(), path.relative_to(root / "tests").as_posix(), path.name)
        yield from re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)


def _resolves(page: Path, link: str) -> bool:
    """Whether a link inside of the project leads somewhere; what others publish is not looked up."""
    if re.match(r"[a-z]+:", link):
        return True
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(page: Path) -> set[str]:
    """Headings as GitHub names them."""
    headings = re.findall(r"^#+ +(.*)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def main(arguments: list[str]) -> int:
    """The exit status: 1 when a page is not current (with `--check`) or names what is not there."""
    found = list(flaws(ROOT))
    for name, text in pages(ROOT).items():
        path = ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            if "--check" in arguments:
                found.append(f"{name}: not what the code would write; run: ./inv docs")
            else:
                path.write_text(text, encoding="utf-8")
                sys.stdout.write(f"written {name}\n")
    sys.stderr.writelines(f"{flaw}\n" for flaw in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
