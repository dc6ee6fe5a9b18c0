"""The tasks as a user types them, in a project of their own: what they print and their status, never a traceback."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bottlegen import nar

ROOT = Path(__file__).parents[2]
_PROFILE = """
[agent_provider]
template = "shell"

[[egress.routes]]
host = "api.example.com"
methods = ["GET"]
auth = { token_ref = "MY_TOKEN" }
"""


class Project:
    """A folder with profiles, where the console script runs as in a user's repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "profiles").mkdir(parents=True)
        self.write("dev", _PROFILE)

    def write(self, name: str, text: str) -> None:
        (self.folder / "profiles" / f"{name}.toml").write_text(text)

    def run(self, *argv: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        whole = {"PATH": os.environ["PATH"], "HOME": str(self.folder.parent / "home"), "PYTHONPATH": str(ROOT), **env}
        done = subprocess.run(
            [sys.executable, "-m", "runtime.cli", *argv], cwd=cwd or self.folder, env=whole,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


def test_build_then_unchanged_then_stale(project: Project) -> None:
    assert project.run("build").stdout.startswith("written    bundles/dev sha256-")
    assert project.run("build").stdout.startswith("unchanged  bundles/dev")
    assert project.run("build", "--check").returncode == 0
    project.write("dev", _PROFILE.replace("GET", "POST"))
    check = project.run("build", "--check")
    assert check.returncode == 13
    assert "bundle 'bundles/dev' is stale or altered:\n      ~ manifest.json\n      ~ routes.json" in check.stderr
    assert "fix: bottlegen build --profile dev" in check.stderr


def test_build_elsewhere_writes_nothing_here(project: Project, tmp_path: Path) -> None:
    done = project.run("build", "--out", str(tmp_path / "out"))
    assert done.returncode == 0
    assert (tmp_path / "out" / "dev" / "manifest.json").is_file()
    assert not (project.folder / "bundles").exists()


def test_one_bad_profile_leaves_all_bundles_as_they_were(project: Project) -> None:
    project.run("build")
    before = (project.folder / "bundles" / "dev" / "manifest.json").read_bytes()
    project.write("dev", _PROFILE.replace("GET", "HEAD"))
    project.write("broken", _PROFILE.replace("methods", "methdos"))
    done = project.run("build")
    assert done.returncode == 11
    assert "error: unknown field 'methdos'\n  --> profiles/broken.toml:7  egress.routes[0].methdos" in done.stderr
    assert "did you mean 'methods'?" in done.stderr
    assert (project.folder / "bundles" / "dev" / "manifest.json").read_bytes() == before


def test_hash_writes_nothing_and_is_the_built_one(project: Project) -> None:
    printed = project.run("hash", "--profile", "dev").stdout.strip()
    assert not (project.folder / "bundles").exists()
    assert printed in project.run("build").stdout
    assert project.run("hash", "--profile", "profiles/dev.toml").stdout.strip() == printed


def test_hash_in_the_forms_of_nix(project: Project) -> None:
    sri = project.run("hash", "--profile", "dev").stdout.strip()
    printed = project.run("hash", "--profile", "dev", "--nix").stdout
    base32 = nar.base32(base64.b64decode(sri.removeprefix("sha256-")))
    assert re.fullmatch(
        rf"sri     {re.escape(sri)}\nbase32  sha256:{base32}\npath    /nix/store/[{nar.BASE32}]{{32}}-dev\n", printed
    )


def test_verify_prints_the_hash_of_a_whole_bundle(project: Project, tmp_path: Path) -> None:
    sri = project.run("hash", "--profile", "dev").stdout
    project.run("build")
    (tmp_path / "result").symlink_to(project.folder / "bundles" / "dev")
    path = str(project.folder / "bundles" / "dev")
    for words in (("bundles/dev",), ("bundles/dev/",), (path,), ("../result",), ("--bundle", "bundles/dev")):
        done = project.run("verify", *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, sri, "")


def test_verify_names_all_that_is_wrong(project: Project) -> None:
    project.run("build")
    bundle = project.folder / "bundles" / "dev"
    (bundle / "routes.json").write_text("{}\n")
    (bundle / "more").write_text("")
    done = project.run("verify", "--bundle", "bundles/dev")
    assert (done.returncode, done.stdout) == (13, "")
    assert "error: file 'more' is not listed in the manifest\n  --> bundles/dev/more" in done.stderr
    assert "error: file 'routes.json' has other bytes than the manifest says" in done.stderr
    assert project.run("verify", "--bundle", "profiles").stderr.startswith("error: no bundle at 'profiles'")
    both = project.run("verify", "--bundle", "bundles/dev", "--name", "dev")
    assert (both.returncode, both.stderr.partition("\n")[0]) == (
        10, "error: --name and a bundle contradict each other"
    )  # fmt: skip


def test_names_are_found_upward_then_shipped(project: Project) -> None:
    below = project.folder / "a" / "b"
    below.mkdir(parents=True)
    assert project.run("hash", "--profile", "dev", cwd=below).returncode == 0
    assert project.run("hash", "--profile", "codex", cwd=below).returncode == 0


def test_up_says_when_a_project_stands_in_for_a_shipped_profile(project: Project) -> None:
    """An agent that works in a project can put one there, and its bundle too."""
    socket = "unix:///nonexistent/docker.sock"
    project.write("codex", _PROFILE)
    project.run("build")
    done = project.run("up", "--profile", "codex", DOCKER_HOST=socket, MY_TOKEN="x")
    assert "codex.toml', not the one that ships with bottlegen" in done.stderr
    for named in ("dev", "claude", "profiles/codex.toml"):
        done = project.run("up", "--profile", named, DOCKER_HOST=socket, MY_TOKEN="x")
        assert "not the one that ships" not in done.stderr


def test_the_search_ends_at_the_repository(project: Project) -> None:
    inner = project.folder / "inner"
    (inner / ".git").mkdir(parents=True)
    assert project.run("hash", "--profile", "dev", cwd=inner).returncode == 10


def test_a_wrong_name_lists_the_right_ones(project: Project) -> None:
    done = project.run("up", "--profile", "codx")
    assert done.returncode == 10
    names = ", ".join(sorted(["dev", *(path.stem for path in (ROOT / "profiles").glob("*.toml"))]))
    assert done.stderr == f"error: no profile 'codx'\n  fix: use one of {names} - did you mean 'codex'?\n"
    assert "no profile given" in project.run("show").stderr


def test_up_refuses_what_is_missing_stale_or_altered(project: Project) -> None:
    missing = project.run("up", "--profile", "dev")
    assert (missing.returncode, "has no bundle at" in missing.stderr) == (13, True)
    project.run("build")
    env = project.folder / "bundles" / "dev" / "agent" / "env.json"
    env.write_text(env.read_text().replace("egress", "elsewhere"))
    altered = project.run("up", "--profile", "dev")
    assert (altered.returncode, "has other bytes than the manifest says" in altered.stderr) == (13, True)
    project.run("build")
    project.write("dev", _PROFILE.replace("GET", "POST"))
    stale = project.run("up", "--profile", "dev")
    assert (stale.returncode, "is not what profile 'dev' builds now" in stale.stderr) == (13, True)
    assert "bottlegen build --profile dev" in stale.stderr
    assert "up --dev" in stale.stderr


def test_without_an_engine(project: Project) -> None:
    project.run("build")
    done = project.run("up", "--profile", "dev", DOCKER_HOST="unix:///nonexistent/docker.sock", MY_TOKEN="x")
    assert done.returncode == 16
    assert done.stderr.startswith("error: ")
    assert "fix: " in done.stderr


def test_a_workspace_that_holds_the_home_is_refused(project: Project) -> None:
    project.run("build")
    home = project.folder.parent / "home"
    home.mkdir()
    done = project.run("up", "--profile", "dev", "--workspace", str(home.parent))
    assert (done.returncode, "holds your home folder" in done.stderr) == (10, True)


def test_a_workspace_path_behind_a_link_is_refused(project: Project, tmp_path: Path) -> None:
    """The profile and the link may both come with a repository: together they would name any folder of this host."""
    (tmp_path / "keys").mkdir()
    (project.folder / "docs").symlink_to(tmp_path / "keys")
    project.write("dev", _PROFILE + '[workspace]\npath = "docs"\n')
    done = project.run("up", "--dev", "--profile", "dev", "--workspace", str(project.folder))
    assert (done.returncode, "'docs' leads through a symbolic link" in done.stderr) == (10, True)


def test_a_bad_host_toml_is_named_with_its_line(project: Project, tmp_path: Path) -> None:
    project.run("build")
    (tmp_path / "host.toml").write_text("[upstream]\nca_fil = 'x'\n")
    done = project.run("up", "--profile", "dev", BOTTLEGEN_HOST_CONFIG=str(tmp_path / "host.toml"))
    assert (done.returncode, f"--> {tmp_path}/host.toml:2  upstream.ca_fil" in done.stderr) == (14, True)


def test_show_is_what_the_bundle_says(project: Project) -> None:
    document = json.loads(project.run("show", "--profile", "dev", "--json").stdout)
    assert document["routes"] == [
        {
            "host": "api.example.com", "port": 443, "methods": ["GET"], "paths": "any", "credential": "MY_TOKEN",
            "rule": "api.example.com:443/0", "tls_passthrough": False,
        }
    ]  # fmt: skip
    assert document["hash"] == project.run("hash", "--profile", "dev").stdout.strip()
    claude = json.loads(project.run("show", "--profile", "claude", "--json").stdout)
    assert claude["hidden_env"] == ["CLAUDE_CODE_OAUTH_TOKEN"]
    assert "CLAUDE_CODE_OAUTH_TOKEN" not in claude["env"]
    shown = project.run("show", "--profile", "dev").stdout
    assert "api.example.com" in shown
    assert "<MY_TOKEN>" in shown


def test_the_console_script_completes_and_explains(project: Project) -> None:
    listed = project.run("--list").stdout
    for name in (
        "build",
        "show",
        "hash",
        "diff",
        "explain",
        "up",
        "attach",
        "exec",
        "shell",
        "logs",
        "ps",
        "down",
        "refresh",
    ):
        assert f"\n  {name} " in listed
        assert "invoke" in project.run(name, "--help").stdout or name == "ps"
    assert "complete -F" in project.run("--print-completion-script", "bash").stdout


def test_help_and_build_load_no_engine() -> None:
    code = (
        "import sys; sys.argv = ['bottlegen', 'hash', '--profile', 'shell']; from runtime.cli import main; main();"
        "late = {'docker', 'requests', 'rich', 'cryptography', 'keyring'} & set(sys.modules); assert not late, late"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "argv",
    [("agents",), ("explain", "--profile", "codex", "GET", "https://chatgpt.com/x"), ("show", "--profile", "dev")],
)
def test_a_locale_that_has_no_such_character_gets_an_escape(argv: tuple[str, ...], project: Project) -> None:
    plain = project.run(*argv, LC_ALL="C.UTF-8")
    poor = project.run(*argv, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (poor.returncode, plain.returncode) == (0, 0)
    assert poor.stdout.isascii()
    assert poor.stdout.count("\\u2026") == plain.stdout.count("…")


def test_a_folder_that_is_gone_is_told(project: Project) -> None:
    gone = project.folder / "gone"
    gone.mkdir()
    script = f"rmdir '{gone}' && exec '{sys.executable}' -m runtime.cli build --check"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", script], cwd=gone, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-2:]) == (
        10,
        ["error: the folder that this was started in is gone", "  fix: cd to one that is there"],
    )


def test_who_hears_no_more_is_no_error(project: Project) -> None:
    for words in ("--list", "agents", "--print-completion-script bash"):
        script = f"'{sys.executable}' -u -m runtime.cli {words} | true; exit ${{PIPESTATUS[0]}}"
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(["bash", "-c", script], cwd=project.folder, env=env, capture_output=True, check=False)
        assert done.returncode in (0, 141)
        assert done.stderr == b""


@pytest.mark.skipif(shutil.which("script") is None, reason="util-linux' script makes the terminal")
def test_errors_are_coloured_on_a_terminal_alone(project: Project) -> None:
    command = f"{sys.executable} -m runtime.cli up --profile codx"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    env.pop("NO_COLOR", None)
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"], cwd=project.folder, env=env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "\x1b[" in done.stdout
    assert "\x1b[" not in project.run("up", "--profile", "codx").stderr


def test_a_rootfs_is_hashed_declared_and_shown(project: Project) -> None:
    root = project.folder / "agent-root"
    root.mkdir()
    (root / "file").write_text("x")
    (project.folder / "result").symlink_to("agent-root")
    digest = nar.tree_digest({b"file": nar.Regular(b"x")})
    for path in ("agent-root", "agent-root/", "result", str(root)):
        assert project.run("hash", "--path", path).stdout == nar.sri(digest) + "\n"
    forms = project.run("hash", "--path", "result", "--nix").stdout.splitlines()
    assert forms[2] == f"path    {nar.store_path(digest, 'result')}"
    project.write("dev", f'{_PROFILE}[rootfs]\ndirectory = "agent-root"\nhash = "{nar.sri(digest)}"\n')
    assert f"rootfs     directory agent-root  {nar.sri(digest)}\n" in project.run("show", "--profile", "dev").stdout
    shown = json.loads(project.run("show", "--profile", "dev", "--json").stdout)
    assert shown["rootfs"] == {"kind": "directory", "name": "agent-root", "hash": nar.sri(digest)}
    shutil.rmtree(root)  # a bundle is made of the profile's text alone
    assert project.run("build", "--profile", "dev").returncode == 0
    manifest = json.loads((project.folder / "bundles" / "dev" / "manifest.json").read_text())
    assert (manifest["format"], manifest["services"]["agent"]["image"]["rootfs"]) == (3, shown["rootfs"])
    assert project.run("verify", "bundles/dev").returncode == 0


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--path", "nowhere"), 10, "error: there is nothing at 'nowhere'\n  fix: --path with a folder, or an archive"),
        (("--path", "p", "--profile", "dev"), 10, "error: --profile and --path contradict each other"),
        (("--path", "pipes"), 16, "pipe' is a named pipe, which no Nix archive can hold"),
    ],
)
def test_what_cannot_be_hashed(project: Project, words: tuple[str, ...], status: int, said: str) -> None:
    (project.folder / "pipes").mkdir()
    os.mkfifo(project.folder / "pipes" / "pipe")
    done = project.run("hash", *words)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr


def test_show_lists_git_remotes(project: Project) -> None:
    more = '[[git.remotes]]\nname = "site"\nurl = "https://git.example.com/acme/site"\ntoken_ref = "SITE_TOKEN"\n'
    path = project.folder / "profiles" / "dev.toml"
    path.write_text(f'{path.read_text()}\n{more}push = ["agent/**"]\nforce = true\n')
    (remote,) = json.loads(project.run("show", "--profile", "dev", "--json").stdout)["git_remotes"]
    assert (remote["url"], remote["push"], remote["credential"]) == (
        "https://git.example.com/acme/site", ["refs/heads/agent/**"], "SITE_TOKEN",
    )  # fmt: skip
    shown = project.run("show", "--profile", "dev").stdout
    assert re.search(r"acme/site +refs/heads/\*\* refs/tags/\*\* +refs/heads/agent/\*\* +force +<SITE_TOKEN>", shown)
    assert "git-gate" in shown
    assert "GIT_CONFIG_" not in shown
    assert "git remotes, through the gate\n" in shown
    path.write_text(f"{path.read_text()}[pipelock]\n")
    shown = project.run("show", "--profile", "dev").stdout
    assert "git remotes, through the gate, and from it through pipelock, unread\n" in shown


def test_explain_answers_for_git(project: Project) -> None:
    more = '[[git.remotes]]\nname = "site"\nurl = "https://git.example.com/acme/site"\ntoken_ref = "SITE_TOKEN"\n'
    path = project.folder / "profiles" / "dev.toml"
    path.write_text(f'{path.read_text()}\n{more}push = ["agent/**"]\n')

    def asked(question: str) -> tuple[int, str]:
        done = project.run("explain", "--profile", "dev", "--request", question)
        return done.returncode, done.stdout + done.stderr

    status, said = asked("git push git@git.example.com:acme/site.git agent/x")
    assert status == 0
    assert "rule        refs/heads/agent/**" in said
    assert "git.remotes[0]" in said
    assert "SITE_TOKEN, which the gate holds" in said
    assert asked("git fetch https://git.example.com/acme/site main")[0] == 0
    status, said = asked("git push https://git.example.com/acme/site main")
    assert (status, "allowed is  refs/heads/agent/**" in said) == (2, True)
    status, said = asked("git fetch https://git.example.com/acme/other main")
    assert (status, "no git.remotes of the profile has this url" in said) == (2, True)
    assert "is no question about git" in asked("git pull https://git.example.com/acme/site main")[1]
