"""`graph` as a user types it, for the profiles that ship too, and `explain` with a request in words."""

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.cli.test_diff import Repository

SHIPPED = sorted(path.stem for path in (Path(__file__).parents[2] / "profiles").glob("*.toml"))


@pytest.fixture
def project(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "project")


def test_a_profile_and_its_bundle_give_one_picture(project: Repository) -> None:
    project.run("build")
    drawn = project.run("graph", "--profile", "dev")
    assert ET.fromstring(drawn.stdout).tag == "{http://www.w3.org/2000/svg}svg"
    assert "api.example.com" in drawn.stdout
    assert project.run("graph", "--bundle", "bundles/dev").stdout == drawn.stdout
    assert project.run("graph", "--profile", "dev", "--out", "dev.svg").stdout == ""
    assert (project.folder / "dev.svg").read_text() == drawn.stdout
    assert "flowchart LR" in project.run("graph", "--profile", "dev", "--format", "mermaid").stdout


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles_are_drawn(project: Repository, name: str, tmp_path: Path) -> None:
    done = project.run("graph", "--profile", name, "--out", str(tmp_path / "x.svg"))
    assert (done.returncode, done.stderr) == (0, "")
    if convert := shutil.which("rsvg-convert"):  # another reader of SVG than the one above, where there is one
        subprocess.run([convert, "-o", str(tmp_path / "x.png"), str(tmp_path / "x.svg")], check=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--profile", "dev", "--format", "png"), "no format 'png'"),
        (("--profile", "dev", "--bundle", "bundles/dev"), "contradict each other"),
        (("--profile", "dev", "--out", "nowhere/x.svg"), "cannot write 'nowhere/x.svg'"),
        ((), "no profile given"),
    ],
)
def test_mistakes_are_told(project: Repository, arguments: tuple[str, ...], words: str) -> None:
    done = project.run("graph", *arguments)
    assert (done.returncode, words in done.stderr) == (10, True), done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--profile", "dev", "GET", "https://api.example.com/repos/a"),
        ("GET", "https://api.example.com/repos/a", "--profile", "dev"),
        ("--profile=dev", "https://api.example.com/repos/a"),
        ("https://api.example.com/repos/a", "-p", "dev"),
        ("-p", "dev", "--request", "GET https://api.example.com/repos/a"),
    ],
)
def test_a_request_in_words(project: Repository, words: tuple[str, ...]) -> None:
    done = project.run("explain", *words)
    assert done.stdout.startswith("allowed  GET https://api.example.com/repos/a\n"), done.stderr


def test_the_method_counts(project: Repository) -> None:
    assert project.run("explain", "-p", "dev", "POST", "https://api.example.com/repos/a").returncode == 2


def test_a_method_that_only_http2_has(project: Repository) -> None:
    project.write("any", '[agent_provider]\ntemplate = "shell"\n\n[[egress.routes]]\nhost = "x.example.com"\n')
    done = project.run("explain", "--profile", "any", "M-SEARCH", "https://x.example.com/")
    assert (done.returncode, "over        HTTP/2 alone;" in done.stdout) == (0, True)
    assert "HTTP/2" not in project.run("explain", "--profile", "any", "SEARCH", "https://x.example.com/").stdout
