"""What users put into their CI, run as it stands: the steps of action.yml and of docs/ci/gitlab.yml, and the hooks.

GitHub and GitLab are a pretend API on loopback; the scripts, git and bottlegen are the real ones.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from runtime.forge import MARK
from tests.checkout.test_inv import PARTS
from tests.cli.test_diff import _PROFILE, Repository

ROOT = Path(__file__).parents[2]
GENERATED = shutil.ignore_patterns("__pycache__")
HOSTILE = "'\"; touch pwned; $(touch pwned) `touch pwned` ${{ github.token }}"


@dataclass
class Forge:
    """A server with the few calls of both APIs that we use; `ours` makes what is posted a robot's, or the token's."""

    url: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    refuse: int = 0

    def answer(self, method: str, path: str, body: dict[str, str]) -> tuple[int, Any]:
        where = urlsplit(path)
        if self.refuse:
            return self.refuse, {"message": "no"}
        if where.path.endswith("/user"):
            return 200, {"id": 7}
        if method == "GET":
            page = int(parse_qs(where.query)["page"][0])
            return 200, self.comments[100 * (page - 1) : 100 * page]
        if method == "POST":
            made = {
                "id": len(self.comments) + 1,
                "user": {"type": "Bot"},
                "author": {"id": 7},
                "at": where.path,
                **body,
            }
            self.comments.append(made)
            return 201, made
        comment = self.comments[int(where.path.rpartition("/")[2]) - 1]
        comment.update(body)
        return 200, comment


@pytest.fixture
def forge() -> Iterator[Forge]:
    told = Forge()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            told.tokens.add(self.headers.get("Authorization") or self.headers.get("PRIVATE-TOKEN") or "")
            status, document = told.answer(self.command, self.path, body)
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_PUT = _answer  # noqa: N815 - the server's names

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield told
        server.shutdown()
        thread.join()


class Checkout(Repository):
    """What a job has: the user's repository, and bottlegen beside it."""

    installed: Path


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bottlegen as the first step leaves it; `test_the_first_step_installs_what_runs` is about that step itself."""
    place = tmp_path_factory.mktemp("installed")
    (place / "inv").write_text("#!/bin/sh\n")
    (place / "inv").chmod(0o755)
    (place / ".venv").symlink_to(Path(sys.prefix))
    return place


@pytest.fixture
def project(tmp_path: Path, installed: Path) -> Checkout:
    """A branch `work` off a main whose bundles are committed."""
    made = Checkout(tmp_path / "project")
    made.installed = installed
    made.run("build")
    made.commit()
    made.git("checkout", "-qb", "work")
    return made


def widen(project: Checkout, message: str = "x", *, build: bool = True) -> None:
    project.write("dev", _PROFILE.replace('["GET"]', '["GET", "POST"]'))
    if build:
        project.run("build")
    project.git("add", "-A")
    project.git("commit", "-qm", message)


def run(project: Checkout, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    """As a runner runs it: bash -eo pipefail, in the checkout."""
    whole = {"PATH": os.environ["PATH"], "HOME": str(project.folder.parent / "home"), **env}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], cwd=project.folder, env=whole,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert not list(project.folder.rglob("pwned"))
    return done


def action(
    project: Checkout, forge: Forge, labels: tuple[str, ...] = (), path: str = os.environ["PATH"], **inputs: str
) -> subprocess.CompletedProcess[str]:
    """All steps of action.yml, until one fails."""
    document = yaml.safe_load((ROOT / "action.yml").read_text())
    event = project.folder.parent / "event.json"
    pull = {
        "number": 5, "title": HOSTILE, "body": HOSTILE, "head": {"ref": HOSTILE},
        "labels": [{"name": name} for name in labels],
        "base": {"sha": project.git("rev-parse", "main").strip()},
    }  # fmt: skip
    event.write_text(json.dumps({"pull_request": pull}))
    defaults = {name: str(given.get("default", "")) for name, given in document["inputs"].items()}
    known = {f"inputs.{name}": value for name, value in {**defaults, **inputs}.items()}
    known |= {"github.action_path": str(project.installed), "github.token": "ghs_canary"}
    given = {
        "GITHUB_EVENT_PATH": str(event), "GITHUB_API_URL": forge.url, "GITHUB_REPOSITORY": "acme/project",
        "GITHUB_STEP_SUMMARY": str(project.folder.parent / "summary.md"), "PATH": path,
    }  # fmt: skip
    done = None
    for step in document["runs"]["steps"]:
        env = {name: _filled(_filled(str(value), known), known) for name, value in step.get("env", {}).items()}
        done = run(project, step["run"], **given, **env)
        if done.returncode:
            break
    assert done
    return done


def _filled(text: str, known: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: known[found[1]], text)


def test_no_script_holds_an_expression() -> None:
    """What GitHub puts in the place of an expression becomes text of the script."""
    for step in yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]:
        assert "${{" not in step["run"]
        assert set(re.findall(r"\$\{\{ ([\w.]+)", json.dumps(step.get("env", {})))) <= {
            "github.action_path", "inputs.label", "inputs.trailer", "inputs.comment", "inputs.token",
        }  # fmt: skip


def test_nothing_changed(project: Checkout, forge: Forge) -> None:
    done = action(project, forge)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Every profile permits the same as at `" in done.stdout
    assert forge.comments[0]["body"].startswith(f"{MARK}\n## What this change lets agents do\n")


def test_a_widening_fails_and_is_commented_once(project: Checkout, forge: Forge) -> None:
    widen(project)
    done = action(project, forge)
    assert done.returncode == 3, done.stderr
    assert "**It widens.** Nobody said that this is meant." in done.stdout
    assert "- routes: `MY_TOKEN now also reaches POST api.example.com/repos/**`" in done.stdout
    assert "```mermaid" in done.stdout
    assert (project.folder.parent / "summary.md").read_text() in done.stdout
    assert action(project, forge).returncode == 3
    (comment,) = forge.comments
    assert comment["at"] == "/repos/acme/project/issues/5/comments"
    assert comment["body"] == f"{MARK}\n{done.stdout.partition(chr(10))[0]}" + comment["body"].partition("agents do")[2]
    assert forge.tokens == {"Bearer ghs_canary"}
    assert "ghs_canary" not in done.stdout + done.stderr


def test_a_label_says_that_it_is_meant(project: Checkout, forge: Forge) -> None:
    widen(project)
    done = action(project, forge, ("bug", "bottle-widens"))
    assert (done.returncode, "Meant, says `label bottle-widens`." in done.stdout) == (0, True), done.stderr
    assert action(project, forge, ("bottle-widens-not", HOSTILE)).returncode == 3
    assert action(project, forge, ("bottle-widens",), label="other").returncode == 3


def test_a_trailer_says_so_where_it_may(project: Checkout, forge: Forge) -> None:
    widen(project, "Let it write\n\nBottle-Widens: issues have to be answered")
    assert action(project, forge).returncode == 3
    done = action(project, forge, trailer="Bottle-Widens")
    assert (done.returncode, "Meant, says `trailer Bottle-Widens of commit " in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize(
    "message", ["x\n\nBottle-Widens:", "Bottle-Widens: in the subject", "x\n\nBottle-Widens: y\n\nz"]
)
def test_what_is_no_trailer_says_nothing(project: Checkout, forge: Forge, message: str) -> None:
    widen(project, message)
    assert action(project, forge, trailer="Bottle-Widens").returncode == 3


def test_a_trailer_from_before_says_nothing(project: Checkout, forge: Forge) -> None:
    project.git("checkout", "-q", "main")
    project.git("commit", "-q", "--allow-empty", "-m", "x\n\nBottle-Widens: for another change")
    project.git("checkout", "-q", "-B", "work")
    widen(project)
    assert action(project, forge, trailer="Bottle-Widens").returncode == 3


def test_stale_bundles_fail_whatever_the_label(project: Checkout, forge: Forge) -> None:
    widen(project, build=False)
    done = action(project, forge, ("bottle-widens",))
    assert (done.returncode, "bundle 'bundles/dev' is stale or altered" in done.stderr) == (13, True)
    assert "**Bundles that are not what their profiles build: 1.**" in done.stdout


def test_a_fork_s_token_cannot_comment_and_the_verdict_stands(project: Checkout, forge: Forge) -> None:
    forge.refuse = 403
    done = action(project, forge)
    assert (done.returncode, "warning: GET http" in done.stderr, "answered with 403" in done.stderr) == (0, True, True)
    widen(project)
    assert action(project, forge).returncode == 3
    quiet = action(project, forge, comment="false")
    assert (quiet.returncode, quiet.stderr) == (3, "")


def test_a_comment_of_somebody_else_is_left_alone(project: Checkout, forge: Forge) -> None:
    forge.comments += [{"id": n + 1, "user": {"type": "User"}, "body": f"{MARK}\nmine"} for n in range(150)]
    action(project, forge)
    assert [comment["body"] for comment in forge.comments[:150]] == [f"{MARK}\nmine"] * 150
    action(project, forge)
    assert len(forge.comments) == 151


def test_profiles_that_come_go_and_break(project: Checkout, forge: Forge) -> None:
    project.write("new", _PROFILE)
    project.write("plain", '[agent_provider]\ntemplate = "shell"\n')
    project.run("build")
    project.commit()
    assert "### `new: 2 WIDENS`" in action(project, forge).stdout
    project.git("branch", "-f", "main", "work")
    (project.folder / "profiles" / "new.toml").unlink()
    project.commit()
    assert "### `new: 2 narrows`" in action(project, forge).stdout
    project.write("dev", "broken")
    project.commit()
    assert action(project, forge).returncode == 11
    project.git("branch", "-f", "main", "work")
    project.write("dev", _PROFILE)
    project.commit()
    done = action(project, forge)
    assert ("`nothing that builds at " in done.stdout, done.returncode) == (True, 3)


# --- GitLab


def gitlab(project: Checkout, forge: Forge, labels: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """The lines of the job, without those that install."""
    job = yaml.safe_load((ROOT / "docs" / "ci" / "gitlab.yml").read_text())["bottles"]
    env = {
        **job["variables"], "BOTTLEGEN": str(project.installed),
        "CI_MERGE_REQUEST_IID": "9", "CI_MERGE_REQUEST_PROJECT_ID": "42", "CI_API_V4_URL": f"{forge.url}/api/v4",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": project.git("rev-parse", "main").strip(),
        "CI_MERGE_REQUEST_LABELS": labels, "CI_MERGE_REQUEST_TITLE": HOSTILE, "BOTTLEGEN_GITLAB_TOKEN": "glpat_canary",
        **more,
    }  # fmt: skip
    return run(project, "\n".join(job["script"]), **env)


def test_gitlab(project: Checkout, forge: Forge) -> None:
    widen(project)
    done = gitlab(project, forge, f"bug,{HOSTILE}")
    assert (done.returncode, done.stderr) == (3, "")
    assert gitlab(project, forge, "bug,bottle-widens").returncode == 0
    (note,) = forge.comments
    assert note["at"] == "/api/v4/projects/42/merge_requests/9/notes"
    assert "Meant, says `label bottle-widens`." in note["body"]
    assert forge.tokens == {"glpat_canary"}


def test_gitlab_without_a_token_warns(project: Checkout, forge: Forge) -> None:
    done = gitlab(project, forge, BOTTLEGEN_GITLAB_TOKEN="")
    assert (done.returncode, "BOTTLEGEN_GITLAB_TOKEN is not set" in done.stderr, forge.comments) == (0, True, [])


def test_a_token_goes_nowhere_else(project: Checkout, forge: Forge) -> None:
    done = gitlab(project, forge, CI_API_V4_URL="http://forge.example.com/api/v4")
    assert (done.returncode, "$CI_API_V4_URL is no https URL" in done.stderr) == (14, True)


# --- installed for real


@pytest.mark.slow
def test_the_first_step_installs_what_runs(project: Checkout, forge: Forge, tmp_path: Path) -> None:
    """From the lock file, without what only the tests of bottlegen need."""
    place = tmp_path / "an action"
    place.mkdir()
    for part in PARTS:
        source = ROOT / part
        shutil.copytree(source, place / part, ignore=GENERATED) if source.is_dir() else shutil.copy(source, place)
    project.installed = place
    fetched = [str(path.parent) for path in ROOT.glob(".inv/uv==*/bin/uv")]
    widen(project)
    done = action(project, forge, path=os.pathsep.join([*fetched, os.environ["PATH"]]))
    assert (done.returncode, len(forge.comments)) == (3, 1), done.stderr
    assert (place / ".venv" / "bin" / "bottlegen").exists()
    assert not (place / ".venv" / "bin" / "pytest").exists()


@pytest.mark.slow
def test_the_hooks_of_pre_commit(project: Checkout, tmp_path: Path) -> None:
    """pre-commit itself, with a repository of this checkout's files as the one that has the hooks."""
    hooks = tmp_path / "bottlegen"
    hooks.mkdir()
    for part in (*PARTS, ".pre-commit-hooks.yaml", "profiles", "bundles"):
        source = ROOT / part
        shutil.copytree(source, hooks / part, ignore=GENERATED) if source.is_dir() else shutil.copy(source, hooks)
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(hooks))
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "x")):
        subprocess.run([*git, *command], check=True)
    config = {
        "repos": [
            {"repo": str(hooks), "rev": _head(hooks), "hooks": [{"id": "bottlegen-check"}, {"id": "bottlegen-build"}]}
        ]
    }
    (project.folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    project.commit()
    env = {"PRE_COMMIT_HOME": str(tmp_path / "cache"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    assert run(project, "pre-commit run --all-files", **env).returncode == 0
    project.write("dev", _PROFILE.replace('["GET"]', '["GET", "POST"]'))
    project.git("add", "-A")
    check = run(project, "pre-commit run bottlegen-check", **env)
    assert (check.returncode, "bundle 'bundles/dev' is stale or altered" in check.stdout) == (1, True), check.stdout
    build = run(project, "pre-commit run bottlegen-build", **env)
    assert (build.returncode, "files were modified by this hook" in build.stdout) == (1, True), build.stdout
    project.git("add", "-A")
    assert run(project, "pre-commit run", **env).returncode == 0
    project.commit()
    (project.folder / "README").write_text("x")
    project.commit()
    assert "no files to check" in run(project, "pre-commit run --from-ref HEAD~1 --to-ref HEAD", **env).stdout.lower()


def _head(folder: Path) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


# --- the task by itself


def test_review_without_a_forge(project: Checkout) -> None:
    widen(project)
    done = project.run("review", "--out", "page.md")
    assert done.returncode == 3
    assert (project.folder / "page.md").read_text() == done.stdout
    assert "at merge base with main (" in done.stdout
    assert project.run("review", "--post").returncode == 14
    assert project.run("review", "--trailer", "no trailer").returncode == 10
    assert project.run("review", "--against", "HEAD").returncode == 0


def test_a_page_for_many_profiles_fits_into_a_comment(project: Checkout) -> None:
    hosts = "".join(f'\n[[egress.routes]]\nhost = "h{n}.example.com"\n' for n in range(40))
    for n in range(60):
        project.write(f"many-{n}", f'[agent_provider]\ntemplate = "shell"\n{hosts}')
    done = project.run("review")
    assert len(done.stdout) < 65_000
    assert "### `many-0: 41 WIDENS`" in done.stdout
    assert "- `many-9: 41 WIDENS`" in done.stdout
