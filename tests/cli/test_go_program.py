"""A program built from source is the pinned one, from PATH or from Go, or an error that names both ways to it."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bottlegen.errors import RuntimeFailure
from bottlegen.manifest import ArtifactSpec
from runtime import go_program
from runtime.progress import make_progress

SUM = "h1:" + "A" * 43 + "="
OTHER = "linux/arm64" if go_program.host_platform() == "linux/amd64" else "linux/amd64"
GOOD = f"""\
case "$1 $2" in
"mod download") echo '{{"Sum": "{SUM}"}}';;
install*) printf 'built for %s/%s by %s %s' "$GOOS" "$GOARCH" "$4" "${{PASSWORD-}}" > "$GOBIN/tool";;
esac
"""


def spec(platform: str = "") -> ArtifactSpec:
    return ArtifactSpec(
        platform=platform or go_program.host_platform(),  # type: ignore[arg-type]
        source="go", package="example.org/team/tool/cmd/tool", version="2.3.0", filename="v1.0.1-0.2026-abc",
        integrity=SUM, members={"tool": "tool"},
    )  # fmt: skip


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str], None]:
    """Put a script of this name on the PATH of the test."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "cache").mkdir()

    def make(name: str, script: str) -> None:
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return make


def have(folder: Path, wanted: ArtifactSpec) -> str:
    """The program's bytes; its PATH has nothing of this machine."""
    env = {"PATH": str(folder / "bin"), "PASSWORD": "hunter2", "HOME": str(folder)}
    with make_progress().step("tool") as step:
        archive = go_program.have(wanted, folder / "cache", env, step)
    with tarfile.open(archive) as tar:
        (member,) = tar.getmembers()
        file = tar.extractfile(member)
        assert file
        assert (member.name, member.mode) == ("tool", 0o755)
        return file.read().decode()


Put = Callable[[str, str], None]


@pytest.mark.parametrize("said", ["echo tool version 2.3.0", "echo tool v2.3.0 >&2"])
def test_path_comes_first(put: Put, tmp_path: Path, said: str) -> None:
    put("tool", said)
    put("go", "exit 9")
    assert said in have(tmp_path, spec())


@pytest.mark.parametrize(
    "script", ["echo tool version 2.3.1", "echo tool version 12.3.0", "exit 1", "echo; echo 2.3.0", "kill -9 $$"]
)
def test_another_version_on_path_is_not_taken(put: Put, tmp_path: Path, script: str) -> None:
    put("tool", script)
    put("go", GOOD)
    assert have(tmp_path, spec()).startswith("built for linux/")


def test_a_program_of_this_host_is_not_one_for_an_engine_of_another_kind(put: Put, tmp_path: Path) -> None:
    put("tool", "echo tool version 2.3.0")
    put("go", GOOD)
    assert have(tmp_path, spec(OTHER)).startswith(f"built for {OTHER} ")


def test_go_builds_the_pinned_module_and_sees_little_of_the_environment(put: Put, tmp_path: Path) -> None:
    put("go", GOOD)
    built = have(tmp_path, spec())
    assert "-X example.org/team/tool/internal/cliutil.Version=2.3.0" not in built
    assert "hunter2" not in built
    put("go", "exit 9")
    assert have(tmp_path, spec()) == built  # kept


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (GOOD.replace("AAAA", "BBBB"), "is not the pinned source"),
        ("echo '{}'", "is not the pinned source: no sum"),
        ("echo nonsense", "is not the pinned source: no sum"),
        ("""echo '{"Error": "403 Forbidden: not available"}'; exit 1""", "go said: 403 Forbidden: not available"),
        ("echo first >&2; echo 'go: no such module' >&2; exit 1", "go said: go: no such module"),
        ("exec /bin/sleep 5", "did not end within"),
    ],
)
def test_what_go_cannot_give_is_an_error_with_a_way_out(
    put: Put, tmp_path: Path, script: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(go_program, "_SECONDS", 1)
    put("go", script)
    with pytest.raises(RuntimeFailure) as caught:
        have(tmp_path, spec())
    (problem,) = caught.value.problems
    assert words in problem.what
    assert "GOPROXY" in problem.fix
    assert os.listdir(tmp_path / "cache") == []


def test_without_go(put: Put, tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        have(tmp_path, spec())
    (problem,) = caught.value.problems
    assert "it is not on PATH in that version, and there is no go on PATH" in problem.what
    assert "put tool 2.3.0 on PATH" in problem.fix


def test_a_build_that_leaves_no_program_is_an_error(put: Put, tmp_path: Path) -> None:
    put("go", GOOD.replace('> "$GOBIN/tool"', "> /dev/null"))
    with pytest.raises(RuntimeFailure, match="tool"):
        have(tmp_path, spec())
