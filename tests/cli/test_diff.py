"""`diff` and `explain` as a user types them, in a git repository of their own: what they say, and their status."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from bottlegen.bundle import assemble, read, write
from bottlegen.plan import RenderedFile
from runtime.cli import main
from tests.cli.test_tasks import Project

_PROFILE = """\
extends = ["base.toml"]

[[egress.routes]]
host = "api.example.com"
methods = ["GET"]
paths = ["/repos/**"]
auth = { token_ref = "MY_TOKEN" }
"""


class Repository(Project):
    """A project with one commit on main; the tasks run in this process, which is quicker."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.write("base", '[agent_provider]\ntemplate = "shell"\n')
        self.write("dev", _PROFILE)
        self.git("init", "-q", "-b", "main")
        self.commit()

    def run(self, *argv: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        status: object = 0
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.chdir(cwd or self.folder))
            stack.enter_context(mock.patch.dict(os.environ, env))
            stack.enter_context(mock.patch.object(sys, "argv", ["bottlegen", *argv]))
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            try:
                main()
            except SystemExit as e:
                status = e.code or 0
        assert isinstance(status, int)
        return subprocess.CompletedProcess(argv, status, out.getvalue(), err.getvalue())

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return done.stdout

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", "x")


@pytest.fixture
def project(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "project")


def test_against_the_main_branch(project: Repository) -> None:
    same = project.run("diff", "--profile", "dev")
    assert (same.returncode, same.stdout.splitlines()[0]) == (0, "dev: permits the same")
    project.git("checkout", "-qb", "work")
    project.write("dev", _PROFILE.replace('["GET"]', '["GET", "POST"]'))
    project.commit()
    before = (project.git("status", "--porcelain"), project.git("rev-parse", "HEAD"))
    changed = project.run("diff", "--profile", "dev")
    assert changed.returncode == 2
    assert "MY_TOKEN now also reaches POST api.example.com/repos/**" in changed.stdout
    assert "before  profiles/dev.toml at merge base with main (" in changed.stdout
    assert project.run("diff", "--profile", "dev", "--fail-on", "widen").returncode == 3
    assert project.run("diff", "--profile", "dev", "--against", "HEAD", "--fail-on", "widen").returncode == 0
    assert (project.git("status", "--porcelain"), project.git("rev-parse", "HEAD")) == before


def test_a_narrowing_does_not_fail_on_widening(project: Repository) -> None:
    project.write("dev", _PROFILE.replace("/repos/**", "/repos/acme/**"))
    done = project.run("diff", "--profile", "dev", "--fail-on", "widen")
    assert (done.returncode, "narrows" in done.stdout, "WIDENS" in done.stdout) == (2, True, False)


def test_what_extends_pulls_in_is_in_the_diff(project: Repository) -> None:
    project.write("base", '[agent_provider]\ntemplate = "shell"\n\n[[egress.routes]]\nhost = "evil.example.com"\n')
    done = project.run("diff", "--profile", "dev", "--format", "markdown")
    assert "- routes: `evil.example.com/** by any method is allowed now`" in done.stdout


def test_a_profile_that_was_not_there_widens(project: Repository) -> None:
    project.write("fresh", _PROFILE)
    done = project.run("diff", "--profile", "fresh", "--format", "json", "--fail-on", "widen")
    page = json.loads(done.stdout)
    assert (done.returncode, page["verdict"], page["before"]["hash"]) == (3, "widens", None)
    assert [change["text"] for change in page["changes"]] == [
        "MY_TOKEN now also reaches GET api.example.com/repos/**", "'fresh' is new",
    ]  # fmt: skip


def test_a_profile_in_another_form_is_the_same(project: Repository) -> None:
    (project.folder / "profiles" / "dev.toml").unlink()
    (project.folder / "profiles" / "dev.yaml").write_text(
        "extends: base.toml\negress:\n  routes:\n    - host: api.example.com\n      methods: [GET]\n"
        "      paths: [/repos/**]\n      auth: {token_ref: MY_TOKEN}\n"
    )
    assert project.run("diff", "--profile", "dev").returncode == 0


def test_bundles_and_profiles_compare_without_a_repository(project: Repository, tmp_path: Path) -> None:
    project.run("build")
    project.write("other", _PROFILE + "pipelock = { tls_passthrough = true }\n")
    for name in ("dev", "other"):
        path = project.folder / "profiles" / f"{name}.toml"
        path.write_text(path.read_text() + "[pipelock]\n")
    project.run("build")
    done = project.run("diff", "--from", "bundles/dev", "--to", "other", "--files", cwd=project.folder)
    assert done.returncode == 2
    assert "traffic of api.example.com is no longer inspected" in done.stdout
    assert '+      "tls_passthrough": true,' in done.stdout
    for words in (("bundles/dev", "other", "--files"), ("--files", "-o", "terminal", "bundles/dev", "other")):
        assert project.run("diff", *words, cwd=project.folder).stdout == done.stdout
    alone = project.run("diff", "bundles/dev")
    assert (alone.returncode, alone.stderr.splitlines()[0]) == (
        10,
        "error: diff takes no word without an option: 'bundles/dev'",
    )


def test_a_bundle_whose_config_is_not_its_routes_is_not_believed(project: Repository) -> None:
    project.run("build")
    folder = project.folder / "bundles" / "dev"
    made = read(folder)
    name = "sidecars/egress/envoy.json"
    wide = made.data(name).replace(b"/repos", b"/.{0,99}")
    files = [file for path, file in made.files.items() if path not in (name, "manifest.json")]
    write(assemble(made.manifest.model_dump(mode="json"), [*files, RenderedFile(path=name, data=wide)]), folder)
    done = project.run("diff", "--from", "dev", "--to", "bundles/dev")
    assert (done.returncode, "is not what this bottlegen makes of its routes.json" in done.stderr) == (13, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--profile", "dev", "--against", "nowhere"), "no commit 'nowhere'"),
        (("--profile", "dev", "--against", "--output=x"), "no commit '--output=x'"),
        (("--profile", "dev", "--format", "html"), "no format 'html'"),
        (("--profile", "dev", "--fail-on", "all"), "cannot fail on 'all'"),
        (("--from", "dev"), "--from and --to belong together"),
        (("--from", "dev", "--to", "base", "--against", "main"), "have no place beside them"),
    ],
)
def test_mistakes_are_told(project: Repository, arguments: tuple[str, ...], words: str) -> None:
    done = project.run("diff", *arguments)
    assert (done.returncode, words in done.stderr) == (10, True), done.stderr


def test_without_a_repository(project: Repository) -> None:
    (project.folder / ".git").rename(project.folder / "not-git")
    done = project.run("diff", "--profile", "dev", GIT_CEILING_DIRECTORIES=str(project.folder.parent))
    assert (done.returncode, "is in no git repository" in done.stderr) == (10, True)


def test_inside_of_a_hook_the_profile_s_own_repository_counts(project: Repository, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "other")], check=True)
    done = project.run("diff", "--profile", "dev", GIT_DIR=str(tmp_path / "other" / ".git"))
    assert (done.returncode, done.stderr) == (0, "")


def test_no_main_branch(project: Repository) -> None:
    project.git("branch", "-m", "trunk")
    done = project.run("diff", "--profile", "dev")
    assert (done.returncode, "no main branch shares a commit" in done.stderr) == (10, True)
    assert project.run("diff", "--profile", "dev", "--against", "trunk").returncode == 0


def test_an_image_or_version_that_moved_is_told(project: Repository) -> None:
    """The lock counts as it was in that revision, also when there was none."""
    project.write("dev", '[agent_provider]\ntemplate = "codex"\n')
    project.commit()
    assert project.run("lock").returncode == 0
    assert (
        project.run("diff", "--profile", "dev", "--against", "main").returncode == 0
    )  # what shipped, now written down
    project.commit()
    lock = project.folder / "bottlegen.lock"
    (old,) = re.findall(r'digest = "sha256:(.*)"', lock.read_text())
    (version,) = re.findall(r'codex\]\]\nversion = "(.*)"', lock.read_text())
    moved = lock.read_text().replace(old, "f" * 64)
    for name in ("version", "name"):
        moved = re.sub(rf'({name} = ".*){re.escape(version)}', r"\g<1>9.9.9", moved.replace("\n\n\n", "\n\n"))
    lock.write_text(moved)
    done = project.run("diff", "--profile", "dev", "--against", "main")
    assert done.returncode == 2, done.stderr
    for service in ("agent", "egress"):
        was, now = (f"'debian:bookworm-slim@sha256:{digest}'" for digest in (old, "f" * 64))
        assert f"{service} base image: {was} -> {now}\n" in done.stdout
    assert re.search(rf"agent @openai/codex for linux/amd64: {re.escape(version)} \w+ -> 9\.9\.9 \w+\n", done.stdout)
    assert "linux/arm64" in done.stdout
    assert project.run("build", "--check").returncode == 13


def test_lock_by_command_line(project: Repository) -> None:
    """`--update` takes a name or none."""
    assert project.run("lock", "--check").returncode == 17
    assert "written    bottlegen.lock" in project.run("lock").stdout
    assert project.run("lock", "--check").stdout == "current    bottlegen.lock\n"
    unknown = project.run("lock", "--update", "nobody")
    assert (unknown.returncode, "there is no 'nobody' to pin" in unknown.stderr) == (10, True)
    nowhere = "https://127.0.0.1:9/"
    one = project.run("lock", "--update", "codex", npm_config_registry=nowhere)
    assert (one.returncode, "cannot ask for '@openai/codex'" in one.stderr) == (17, True), one.stderr
    host = project.folder / "host.toml"
    host.write_text('[images]\nmirror = "127.0.0.1:9"\n')
    every = project.run("lock", "--update", BOTTLEGEN_HOST_CONFIG=str(host), npm_config_registry=nowhere)
    assert (every.returncode, "cannot ask for '127.0.0.1:9/library/debian:" in every.stderr) == (17, True), every.stderr
    both = project.run("lock", "--update", "--check")
    assert (both.returncode, "--check writes nothing" in both.stderr) == (10, True)


def test_explain_names_rule_line_and_credential(project: Repository) -> None:
    done = project.run("explain", "--profile", "dev", "--request", "https://api.example.com/x/../repos/a?q=1")
    assert done.stdout == (
        "allowed  GET https://api.example.com/x/../repos/a?q=1\n"
        "  rule        api.example.com:443/0: GET, /repos/**\n"
        "  from        profiles/dev.toml:3  egress.routes[0]\n"
        "  credential  MY_TOKEN, sent as 'authorization: Bearer …'\n"
        "  forwarded   as '/repos/a'\n"
        "  inspection  none: the profile has no [pipelock]\n"
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("POST https://api.example.com/repos/a", "403: no route of 'api.example.com' covers POST '/repos/a'"),
        ("https://api.example.com:8443/repos/a", "403: no route names 'api.example.com:8443'"),
        ("https://example.com/", "403: no route names 'example.com'"),
        ("http://api.example.com/repos/a", "403: plain HTTP does not leave the bottle"),
        ("https://api.example.com/repos/%2e%2e%2fx", "400: servers read this path differently"),
    ],
)
def test_explain_says_why_not(project: Repository, request_: str, answer: str) -> None:
    done = project.run("explain", "--profile", "dev", "--request", request_)
    assert (done.returncode, answer in done.stdout) == (2, True), done.stdout


def test_explain_for_programs(project: Repository) -> None:
    done = project.run("explain", "--profile", "codex", "--request", "https://chatgpt.com/x", "--json")
    found = json.loads(done.stdout)
    assert (found["allowed"], found["from_provider"], found["from"]) == (True, True, [])


def test_as_the_command_that_is_installed(project: Repository) -> None:
    done = Project.run(project, "diff", "--profile", "dev")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "dev: permits the same")
