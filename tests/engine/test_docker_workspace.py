"""The agent works in the user's folder and leaves nothing there that git on the host would run."""

import gc
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bottlegen.errors import RuntimeFailure
from bottlegen.manifest import WorkspaceSpec
from runtime.docker import DockerRuntime
from tests.engine.bottle import (
    OWNER,
    Bottle,
    BottleMaker,
    SpecMaker,
    git,
    launch,
    make_folder,
    make_repository,
    make_runtime,
)


@pytest.fixture
def repo(folder: Path) -> Path:
    make_repository(folder)
    return folder


@pytest.fixture
def working(make_bottle: BottleMaker, repo: Path) -> Bottle:
    return make_bottle(workspace=repo)


IDENTITY = ("-c", "user.name=Agent", "-c", "user.email=agent@example.org")


def test_the_agent_commits_and_the_files_are_the_users(working: Bottle, repo: Path) -> None:
    assert working.run("sh", "-c", "echo hello > new.txt")[0] == 0
    status, output = working.run(
        "sh", "-c", f"git add new.txt && git {' '.join(IDENTITY)} commit -q -m two && git status --short"
    )
    assert (status, output) == (0, "")
    assert (repo / "new.txt").stat().st_uid == repo.stat().st_uid
    assert git(repo, "log", "-1", "--format=%s") == "two\n"
    assert git(repo, "status", "--short") == ""


def test_a_linked_worktree_is_not_led_astray(make_bottle: BottleMaker, repo: Path) -> None:
    other = make_folder(repo.parent / "other")
    git(repo, "worktree", "add", "-q", str(other / "tree"))
    bottle = make_bottle(workspace=repo)
    for attempt in ("echo /workspace/evil > .git/worktrees/tree/commondir", "mv .git/worktrees .git/x"):
        assert bottle.run("sh", "-c", attempt)[0] != 0
    assert git(other / "tree", "rev-parse", "--git-common-dir").strip() == str(repo / ".git")


def test_the_guard_goes_with_the_bottle(working: Bottle, repo: Path) -> None:
    guards = [repo / ".git/commondir", repo / ".git/modules/lib/commondir"]
    assert all(guard.read_text() == ".\n" for guard in guards)
    assert git(repo, "status", "--short") == ""  # git on the host works meanwhile
    working.runtime.remove(working.name)
    assert not any(guard.exists() for guard in guards)


def test_a_guard_stays_while_another_bottle_needs_it(make_bottle: BottleMaker, repo: Path) -> None:
    first, second = make_bottle(workspace=repo), make_bottle(workspace=repo)
    first.runtime.remove(first.name)
    assert (repo / ".git/commondir").exists()
    assert second.run("sh", "-c", "echo evil > .git/commondir")[0] != 0
    second.runtime.remove(second.name)
    assert not (repo / ".git/commondir").exists()


def test_without_the_guard_git_on_the_host_runs_what_the_agent_wrote(repo: Path) -> None:
    """The control: this is what the read-only mounts prevent."""
    evil = repo / "evil"
    subprocess.run(["cp", "-a", str(repo / ".git"), str(evil)], check=True)
    git(repo, "config", "--file", str(evil / "config"), "core.fsmonitor", f"touch {repo}/ran; false")
    (repo / ".git/commondir").write_text("../evil\n")
    git(repo, "status")
    assert (repo / "ran").exists()


def test_hooks_in_the_work_tree_cannot_be_changed(make_bottle: BottleMaker, repo: Path) -> None:
    """As husky and others set it up: git on the host runs what lies in the work tree."""
    hooks = repo / "tools" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text("#!/bin/sh\n")
    (repo / "shared.gitconfig").write_text("[user]\n\tname = x\n")
    git(repo, "config", "core.hooksPath", "tools/hooks")
    git(repo, "config", "include.path", "../shared.gitconfig")
    for path in (hooks.parent, hooks, repo / "shared.gitconfig"):
        os.chown(path, OWNER, OWNER)
    bottle = make_bottle(workspace=repo)
    for attempt in (
        "echo evil >> tools/hooks/post-checkout",
        "mv tools other",
        "rm -r tools/hooks",
        "mv tools/hooks tools/old",
        "echo evil >> shared.gitconfig",
        "mv shared.gitconfig old",
    ):
        assert bottle.run("sh", "-c", f"cd /workspace && {attempt}")[0] != 0, attempt
    assert bottle.run("sh", "-c", "cd /workspace && echo fine > tools/new")[0] == 0


def test_hooks_that_cannot_be_protected_are_refused(make_spec: SpecMaker, repo: Path) -> None:
    with make_runtime() as runtime:
        for value in ("missing/hooks", "."):
            git(repo, "config", "core.hooksPath", value)
            with pytest.raises(RuntimeFailure, match="git on this host takes hooks or configuration from"):
                runtime.check(make_spec(workspace=repo))
        git(repo, "config", "core.hooksPath", "/usr/share/hooks-elsewhere")
        runtime.check(make_spec(workspace=repo))


def test_read_only_paths_of_the_profile(make_bottle: BottleMaker, folder: Path, bundle: Any) -> None:
    (folder / "keep").mkdir()
    (folder / "keep/file").write_text("kept\n")
    if os.getuid() == 0:
        for path in (folder / "keep", folder / "keep/file"):
            os.chown(path, OWNER, OWNER)
    bottle = make_bottle(workspace=folder, bundle=_with_workspace(bundle, read_only=["keep"]))
    assert bottle.run("cat", "keep/file") == (0, "kept\n")
    for attempt in ("echo x > keep/file", "rm keep/file", "mv keep other", "touch keep/new"):
        assert bottle.run("sh", "-c", attempt)[0] != 0, attempt
    assert bottle.run("touch", "beside") == (0, "")


def _with_workspace(bundle: Any, **changes: Any) -> Any:
    from bottlegen.bundle import assemble

    workspace = WorkspaceSpec(**(bundle.manifest.workspace.model_dump() | changes))
    manifest = bundle.manifest.model_copy(update={"workspace": workspace})
    return assemble(
        manifest.model_dump(mode="json"), [file for path, file in bundle.files.items() if path != "manifest.json"]
    )


@pytest.mark.parametrize("link", [".git", ".git/hooks", ".git/config"])
def test_links_in_the_place_of_git_are_refused(
    link: str, make_spec: SpecMaker, runtime: DockerRuntime, folder: Path, tmp_path: Path
) -> None:
    git(folder, "init", "-q")
    path = folder / link
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RuntimeFailure, match=f"'{link}' of the workspace is a symbolic link"):
        runtime.check(make_spec(workspace=folder))


@pytest.mark.parametrize("name", ["modules/left/hooks", "modules/left/config", "config.worktree"])
def test_links_that_an_agent_left_are_not_mounted(
    name: str, make_bottle: BottleMaker, make_spec: SpecMaker, repo: Path, tmp_path: Path
) -> None:
    """An engine follows a link in a mount's source on the host: the next agent would see what it leads to."""
    (tmp_path / "key").write_text("of this host")
    first = make_bottle(workspace=repo)
    left = "mkdir -p .git/modules/left && echo 'ref: refs/heads/x' > .git/modules/left/HEAD"
    assert first.run("sh", "-c", f"cd /workspace && {left} && ln -s {tmp_path}/key .git/{name}") == (0, "")
    first.runtime.remove(first.spec.bottle)
    with make_runtime() as runtime, pytest.raises(RuntimeFailure, match=rf"\.git/{name}' (is not the|of the w)"):
        launch(make_spec(workspace=repo), runtime)


def test_a_workspace_of_root_is_refused_with_what_to_do(
    make_spec: SpecMaker, runtime: DockerRuntime, tmp_path: Path
) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make a folder of root")
    with pytest.raises(RuntimeFailure, match="belongs to root") as caught:
        runtime.check(make_spec(workspace=tmp_path))
    assert f"chown -R 1000:1000 '{tmp_path}'" in caught.value.problems[0].fix


def test_every_problem_of_a_workspace_is_told_at_once(
    make_spec: SpecMaker, runtime: DockerRuntime, folder: Path, bundle: Any
) -> None:
    spec = make_spec(workspace=folder, bundle=_with_workspace(bundle, read_only=["a", "b"]))
    with pytest.raises(RuntimeFailure) as caught:
        runtime.check(spec)
    assert len(caught.value.problems) == 2


def test_an_engine_elsewhere_takes_no_folder_of_this_host(make_spec: SpecMaker, folder: Path) -> None:
    """An engine behind TCP is another machine as far as bind mounts go; here a relay to the one there is."""
    from tests.engine.relay import relay

    with relay() as address:
        far = DockerRuntime({**os.environ, "DOCKER_HOST": address}, Path("/nonexistent"))
        with pytest.raises(RuntimeFailure, match="on another machine") as caught:
            far.check(make_spec(workspace=folder, home=folder))
        far.check(make_spec())
        far.close()
    assert [problem.where.field for problem in caught.value.problems if problem.where] == ["workspace.mode", "home"]


# The SDK leaves its socket to the garbage collector when it cannot connect; collected here, not in a later test.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_no_engine_is_an_error_with_a_fix(make_spec: SpecMaker, tmp_path: Path) -> None:
    nowhere = DockerRuntime({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}, tmp_path)
    with pytest.raises(RuntimeFailure, match="its socket does not exist") as caught:
        nowhere.check(make_spec())
    assert "systemctl start docker" in caught.value.problems[0].fix
    del caught, nowhere
    gc.collect()
