"""`[review] require` of host.toml: which bundles `up` runs, and what it says of the others."""

from pathlib import Path

import pytest

from tests.cli.test_diff import _PROFILE, Repository

PASSED, REFUSED, MISUSED = 0, 13, 10
_AFTER = "'No Name'"
"""What comes after the gate is the bottle's name: a wrong one ends `up` there, with no engine in the way."""


class Reviewed(Repository):
    def up(self, require: str, *more: str, profile: str = "dev") -> tuple[int, str]:
        host = self.folder.parent / "host.toml"
        host.write_text(f'[review]\nrequire = "{require}"\n')
        done = self.run("up", "--profile", profile, "--name", "No Name", *more, BOTTLEGEN_HOST_CONFIG=str(host))
        return PASSED if _AFTER in done.stderr else done.returncode, done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Reviewed:
    made = Reviewed(tmp_path / "project")
    made.run("build")
    return made


def test_built_asks_no_repository(project: Reviewed) -> None:
    assert project.up("built")[0] == PASSED
    assert project.up("built", "--dev")[0] == PASSED


def test_committed_is_what_head_has(project: Reviewed) -> None:
    status, said = project.up("committed")
    assert (status, "bundles/dev' is not in HEAD (" in said) == (REFUSED, True), said
    assert "WIDENS   routes: MY_TOKEN now also reaches GET api.example.com/repos/**" in said
    project.commit()
    assert project.up("committed")[0] == PASSED


def test_what_differs_is_told_as_authority(project: Reviewed) -> None:
    project.commit()
    project.write("dev", _PROFILE.replace('["GET"]', '["GET", "POST"]'))
    project.run("build")
    status, said = project.up("committed")
    assert status == REFUSED
    assert 'this host asks for require = "committed":' in said
    assert "\n      WIDENS   routes: MY_TOKEN now also reaches POST api.example.com/repos/**\n" in said
    assert "fix: bottlegen diff --profile dev --against HEAD --files, then have it reviewed and commit it" in said
    project.commit()
    assert project.up("committed")[0] == PASSED


def test_a_change_that_permits_the_same_is_refused_too(project: Reviewed) -> None:
    project.commit()
    data = project.folder / "bundles" / "dev" / "routes.json"
    committed = data.read_bytes()
    data.write_bytes(committed + b"\n")
    project.commit()
    data.write_bytes(committed)
    status, said = project.up("committed")
    assert (status, "it permits the same, in other bytes\n      ~ routes.json\n" in said) == (REFUSED, True), said


def test_a_bundle_that_nobody_understands_is_refused(project: Reviewed) -> None:
    project.commit()
    data = project.folder / "bundles" / "dev" / "manifest.json"
    committed = data.read_bytes()
    data.write_bytes(b"{}")
    project.commit()
    data.write_bytes(committed)
    status, said = project.up("committed")
    assert (status, "cannot be compared by what it permits\n      ~ manifest.json" in said) == (REFUSED, True), said


def test_links_in_the_commit_are_no_bundle(project: Reviewed) -> None:
    project.commit()
    link = project.folder / "bundles" / "dev" / "routes.json"
    committed = link.read_bytes()
    link.unlink()
    link.symlink_to("tokens.json")
    project.commit()
    link.unlink()
    link.write_bytes(committed)
    status, said = project.up("committed")
    assert (status, "'routes.json' is no plain file" in said) == (REFUSED, True), said


def test_merged_is_what_the_branch_has(project: Reviewed) -> None:
    project.git("checkout", "-qb", "work")
    project.commit()
    assert project.up("committed")[0] == PASSED
    status, said = project.up("merged:main")
    assert (status, "is not in main (" in said, "merged into main" in said) == (REFUSED, True, True), said
    project.git("branch", "-f", "main", "work")
    assert project.up("merged:main")[0] == PASSED


def test_a_name_of_two_things_is_nobodys(project: Reviewed) -> None:
    """git would take the tag, and a tag is quickly made."""
    project.commit()
    project.git("update-ref", "refs/remotes/origin/main", "HEAD~1")
    assert project.up("merged:origin/main")[0] == REFUSED
    project.git("tag", "origin/main", "HEAD")
    status, said = project.up("merged:origin/main")
    assert status == MISUSED
    assert "'origin/main' is refs/remotes/origin/main and refs/tags/origin/main" in said
    assert project.up("merged:refs/remotes/origin/main")[0] == REFUSED
    assert project.up("merged:refs/tags/origin/main")[0] == PASSED


def test_an_object_in_the_place_of_another_is_not_seen(project: Reviewed) -> None:
    project.git("update-ref", "refs/remotes/origin/main", "HEAD")
    project.commit()
    project.git("replace", "refs/remotes/origin/main", "HEAD")
    assert project.git("ls-tree", "refs/remotes/origin/main:bundles/dev", "routes.json")
    assert project.up("merged:origin/main")[0] == REFUSED


def test_a_profile_in_the_place_of_a_shipped_one_is_caught(project: Reviewed) -> None:
    assert project.up("committed", profile="shell")[0] == PASSED  # the one that ships
    project.write("shell", _PROFILE)
    project.run("build")
    status, said = project.up("committed", profile="shell")
    assert (status, "shell.toml', not the one that ships" in said, "'shell' is new" in said) == (REFUSED, True, True)


def test_what_extends_pulls_in_does_not_pass_unseen(project: Reviewed) -> None:
    project.commit()
    project.write("base", '[agent_provider]\ntemplate = "shell"\n\n[[egress.routes]]\nhost = "evil.example.com"\n')
    project.run("build")
    status, said = project.up("committed")
    assert (status, "WIDENS   routes: evil.example.com/** by any method is allowed now" in said) == (REFUSED, True)


@pytest.mark.parametrize("require", ["committed", "merged:main"])
def test_dev_is_refused_where_more_is_asked_for(project: Reviewed, require: str) -> None:
    status, said = project.up(require, "--dev")
    assert (status, "--dev runs what nobody reviewed" in said) == (MISUSED, True)


@pytest.mark.parametrize(
    ("require", "words"),
    [
        ("merged:nowhere", "no branch or tag 'nowhere'"),
        ("merged:", '"merged:REF" is wanted here'),
        ("merged:--exec=x", '"merged:REF" is wanted here'),
        ("always", "review.require: "),
    ],
)
def test_mistakes_are_told(project: Reviewed, require: str, words: str) -> None:
    status, said = project.up(require)
    assert (status, words in said) in [(MISUSED, True), (14, True)], said


def test_without_a_repository(project: Reviewed, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.folder / ".git").rename(project.folder / "not-git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.folder.parent))
    status, said = project.up("committed")
    assert (status, "is in no git repository" in said) == (MISUSED, True)


def test_no_command_of_the_repository_s_settings_is_run(project: Reviewed, tmp_path: Path) -> None:
    """fsmonitor and hooks do run where git is asked the usual way."""
    project.commit()
    ran = tmp_path / "ran"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\necho x >>{ran}\n")
    script.chmod(0o755)
    project.git("config", "core.fsmonitor", str(script))
    project.git("config", "core.hooksPath", str(tmp_path))
    assert project.up("committed")[0] == PASSED
    assert not ran.exists()
    project.git("status")
    assert ran.exists()
