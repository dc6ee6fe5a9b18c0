"""`suggest` as a user types it: its patch is applied by the real tools, and allows exactly what was refused."""

import json
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bottlegen.bundle import write
from bottlegen.errors import RuntimeFailure
from bottlegen.observed import Observed, add_run, to_json
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile, preview
from bottlegen.sidecars.egress import routes_json
from runtime.observe import collect, load, mark, record_of
from runtime.state import State
from tests.cli.test_diff import Repository

_PROFILE = """\
extends = ["base.toml"]

[[egress.routes]]
host = "api.example.com"
methods = ["GET"]
paths = ["/repos/**"]

# long gone
[[egress.routes]]
host = "old.example.com"

[resources]
pids = 100"""
_AUDIT: tuple[Mapping[str, object], ...] = (
    {"event": "request", "decision": "allow", "route": "api.example.com:443/0"},
    {"event": "request", "decision": "deny", "route": "no-rule", "method": "POST", "host": "api.example.com",
     "path": "/repos/a"},
    {"event": "connect", "decision": "deny", "route": "no-route", "method": "CONNECT", "host": "10.1.2.3:443"},
)  # fmt: skip


class Observing(Repository):
    """A project, one of whose runs was observed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.state = State.of({"XDG_STATE_HOME": str(folder.parent / "state")}, folder)
        self.observed("dev.toml", _PROFILE)

    def observed(self, name: str, text: str, audit: Iterable[Mapping[str, object]] = _AUDIT) -> Path:
        path = self.folder / "profiles" / name
        path.write_text(text)
        view = preview(load_profile(str(path)), load_pins())
        record = record_of(path, self.state)
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_bytes(to_json(add_run(Observed(), routes_json(view.routes), audit)))
        return path

    def suggest(self, *argv: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self.run("suggest", *argv, cwd=cwd, XDG_STATE_HOME=str(self.state.root.parent))


@pytest.fixture
def project(tmp_path: Path) -> Observing:
    return Observing(tmp_path / "project")


_TOOLS = (("git", "apply", "-"), ("patch", "-p1"))


@pytest.mark.parametrize("tool", _TOOLS, ids=" ".join)
@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_the_patch_allows_exactly_what_was_refused(project: Observing, tool: tuple[str, ...], ending: str) -> None:
    path = project.folder / "profiles" / "dev.toml"
    path.write_bytes(_PROFILE.replace("\n", ending).encode())
    before = shutil.copytree(path.parent, project.folder / "before")
    done = project.suggest("--profile", "dev")
    assert (done.returncode, path.read_bytes()) == (0, _PROFILE.replace("\n", ending).encode())
    assert done.stderr == "not suggested: '10.1.2.3' (once): host '10.1.2.3' is an IP address\n"
    subprocess.run(tool, cwd=project.folder, input=done.stdout.encode(), check=True, capture_output=True)
    assert sorted(p.name for p in path.parent.iterdir()) == ["base.toml", "dev.toml"]
    assert project.run("build", "--profile", "dev").returncode == 0
    changes = json.loads(project.run("diff", str(before / "dev.toml"), "profiles/dev.toml", "-o", "json").stdout)[
        "changes"
    ]
    assert [(change["kind"], change["text"]) for change in changes] == [
        ("widens", "POST api.example.com/repos/a is allowed now"),
        ("narrows", "old.example.com/** by any method is no longer allowed"),
    ]
    again = project.suggest("--profile", "dev")
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr.endswith("nothing to change in 'profiles/dev.toml'\n")


def test_from_below_and_outside_of_the_project(project: Observing, tmp_path: Path) -> None:
    below = project.suggest("--profile", "dev", cwd=project.folder / "profiles")
    assert "--- a/dev.toml\n" in below.stdout
    subprocess.run(["git", "apply", "-"], cwd=project.folder / "profiles", input=below.stdout, text=True, check=True)
    assert 'paths = ["/repos/a"]' in (project.folder / "profiles" / "dev.toml").read_text()
    outside = project.suggest("--profile", str(project.observed("dev.toml", _PROFILE)), cwd=tmp_path)
    assert "--- a/project/profiles/dev.toml\n" in outside.stdout
    (tmp_path / "elsewhere").mkdir()
    elsewhere = project.suggest("--profile", "../project/profiles/dev.toml", cwd=tmp_path / "elsewhere")
    assert f"apply it in '{tmp_path / 'project'}'" in elsewhere.stderr
    assert "--- a/profiles/dev.toml\n" in elsewhere.stdout


def test_json(project: Observing) -> None:
    found = json.loads(project.suggest("--profile", "dev", "--json").stdout)
    assert found["add"] == [
        {"host": "api.example.com", "port": 443, "methods": ["POST"], "paths": ["/repos/a"], "notes": ["refused once"]}
    ]
    assert (found["unused"], found["runs"], found["dropped"], len(found["left"])) == ([1], 1, 0, 1)
    assert found["patch"] == project.suggest("--profile", "dev").stdout


def test_without_a_record_it_says_how(project: Observing) -> None:
    project.write("other", '[agent_provider]\ntemplate = "shell"\n')
    none = project.suggest("--profile", "other")
    assert (none.returncode, none.stdout) == (10, "")
    assert "no run of profile 'other' was observed" in none.stderr
    assert "bottlegen up --profile other --observe" in none.stderr


def test_forget(project: Observing) -> None:
    assert project.suggest("--profile", "dev", "--forget").stdout == "dev: forgotten\n"
    assert project.suggest("--profile", "dev", "--forget").stdout == "dev: nothing was recorded\n"
    assert project.suggest("--profile", "dev").returncode == 10


def test_a_broken_record_is_an_error_that_says_how_to_go_on(project: Observing) -> None:
    record_of(project.folder / "profiles" / "dev.toml", project.state).write_text("{")
    broken = project.suggest("--profile", "dev")
    assert broken.returncode == 14
    assert "fix: bottlegen suggest --profile dev --forget" in broken.stderr


def test_yaml_and_inline_routes_are_told_as_text(project: Observing) -> None:
    audit = ({"event": "connect", "decision": "deny", "route": "no-route", "host": "new.example.com:443"},)
    project.observed("why.yaml", "agent_provider: {template: shell}\n", audit)
    found = project.suggest("--profile", "why")
    assert (found.returncode, found.stdout) == (10, "")
    assert '  - {"host": "new.example.com", "methods": ["GET", "HEAD"]}' in found.stderr
    inline = 'egress = { routes = [{ host = "a.example.com" }] }\n[agent_provider]\ntemplate = "shell"\n'
    project.observed("inline.toml", inline, audit)
    found = project.suggest("--profile", "inline")
    assert (found.returncode, found.stdout) == (10, "")
    assert '[[egress.routes]]\n       host = "new.example.com"\n' in found.stderr
    assert "remove, as it is unused: profiles/inline.toml:1  egress.routes[0]" in found.stderr


class _Unreadable:
    """A runtime that has the bottle `b` and has lost its logs."""

    def list(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(bottle="b")]

    def logs(self, *_: object, **__: object) -> Iterator[bytes]:
        yield from ()
        raise RuntimeFailure("the logs are gone")


def test_only_this_user_reads_what_is_kept(project: Observing, capsys: pytest.CaptureFixture[str]) -> None:
    """A log that cannot be read costs the record alone; a run without the mark leaves none."""
    path = project.folder / "profiles" / "dev.toml"
    runtime: Any = _Unreadable()
    mark("b", path, project.state)
    assert stat.S_IMODE(project.state.observed_mark("b").stat().st_mode) == 0o600
    before = load(path, project.state)
    for bundle, reason in ((None, "no bundle at"), (build(load_profile(str(path)), load_pins()), "the logs are gone")):
        if bundle:
            write(bundle, project.state.bundle("b"))
        collect("b", runtime, project.state)
        words = capsys.readouterr().err
        assert words.startswith("warning: what bottle b was refused is not recorded: error: ")
        assert reason in words
    mark("b", None, project.state)
    collect("b", runtime, project.state)
    assert capsys.readouterr().err == ""
    assert load(path, project.state) == before
    assert [entry.name for entry in project.state.bottle("b").iterdir()] == ["bundle"]
