"""The start sequence on a runtime that records: its order, what is missed at once, and that any failure undoes it."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bottlegen import nar
from bottlegen.errors import RuntimeFailure, SecretError
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime import tree
from runtime.base import Endpoints, Finding, LaunchSpec, MaterialFile, Run
from runtime.host import Host, parse_host
from runtime.progress import make_progress
from runtime.start import gather, refresh, renew, start
from tests.pretend.login import CodexLogin

STEPS = ["check", "prepare", "create", "place egress", "wait_ready", "create_agent", "place agent", "compare"]


class Recorder:
    """Stands for a runtime: writes down each step, and fails at the one it is told to."""

    name = "recorder"

    def __init__(self, fails_at: str = "", error: BaseException | None = None) -> None:
        self.steps: list[str] = []
        self.placed: dict[str, list[MaterialFile]] = {}
        self.fails_at, self.error = fails_at, error
        self.findings: Sequence[Finding] = ()

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.fails_at and self.error:
            raise self.error

    def place(self, bottle: str, service: str, files: Sequence[MaterialFile]) -> None:
        self.placed.setdefault(service, []).extend(files)
        self._step(f"place {service}")

    def create(self, spec: LaunchSpec) -> Endpoints:
        self._step("create")
        return Endpoints(addresses={"egress": "192.0.2.1"}, listens={})

    def compare(self, _run: Run) -> Sequence[Finding]:
        self._step("compare")
        return self.findings

    def remove(self, bottle: str, *, session: str = "") -> bool:
        self._step(f"remove {session}")
        return True

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: self._step(name)


class Silent:
    def step(self, title: str) -> Any:
        return nullcontext()


def _host(tmp_path: Path, *, expires_in: int | None = 86400, config: str = "", **env: str) -> Host:
    if expires_in is not None:
        (tmp_path / ".codex").mkdir(exist_ok=True)
        login = CodexLogin(expires=int(time.time()) + expires_in, canary="canary-0451")
        (tmp_path / ".codex" / "auth.json").write_text(login.auth_json())
    return Host(env=env, home=tmp_path, config=parse_host(config.encode(), "host.toml"))


_PROFILE = """
[agent_provider]
template = "codex"
forward_host_credentials = true
[[egress.routes]]
host = "api.example.com"
auth = { token_ref = "MY_TOKEN" }
[[egress.routes]]
host = "git.example.com"
auth = { token_ref = "GIT_TOKEN" }
"""


def _spec(home: Path | None = None) -> LaunchSpec:
    bundle = build(load_profile("dev.toml", lambda _: _PROFILE.encode()), load_pins())
    return LaunchSpec(
        bottle="dev", session="s1", bundle=bundle, command=(), tty=False, interactive=True, workspace=None, home=home,
        base_image="", outside_network="", terminal_env=(),
    )  # fmt: skip


def test_order(tmp_path: Path) -> None:
    recorder = Recorder()
    start(_spec(), recorder, _host(tmp_path, MY_TOKEN="canary-1", GIT_TOKEN="canary-2"), Silent())  # type: ignore[arg-type]
    assert sorted(recorder.steps) == sorted(STEPS)
    at = recorder.steps.index
    assert at("check") < at("prepare") < at("create") < at("place egress") < at("wait_ready") < at("place agent")
    assert at("create") < at("create_agent") < at("place agent")


@pytest.mark.parametrize("step", STEPS[2:])
@pytest.mark.parametrize("error", [RuntimeFailure("broken", fix="mend it"), KeyboardInterrupt(), ValueError("a bug")])
def test_any_failure_undoes_this_session(tmp_path: Path, step: str, error: BaseException) -> None:
    recorder = Recorder(step, error)
    with pytest.raises(type(error)):
        start(_spec(), recorder, _host(tmp_path, MY_TOKEN="a", GIT_TOKEN="b"), Silent())  # type: ignore[arg-type]
    assert recorder.steps[-1] == "remove s1"


@pytest.mark.parametrize("state", ["differs", "unknown"])
def test_a_bottle_that_is_not_what_its_bundle_says_is_undone(tmp_path: Path, state: Any) -> None:
    """What cannot be seen is no better than what is wrong; what is equal says nothing."""
    recorder = Recorder()
    recorder.findings = (
        Finding(part="agent", check="mounts", state=state, found="'/etc' is mounted too"),
        Finding(part="agent", check="env", state="equal"),
    )
    with pytest.raises(RuntimeFailure) as caught:
        start(_spec(), recorder, _host(tmp_path, MY_TOKEN="a", GIT_TOKEN="b"), Silent())  # type: ignore[arg-type]
    assert [problem.what for problem in caught.value.problems] == [
        "the bottle that was started is not what its bundle says: agent, mounts: '/etc' is mounted too"
    ]
    assert recorder.steps[-2:] == ["compare", "remove s1"]


def test_what_a_newer_engine_tells_is_said_and_the_bottle_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder()
    recorder.findings = (
        Finding(part="agent", check="newer fields", state="unknown", found="HostConfig.'New' is '1'", stops=False),
    )
    start(_spec(), recorder, _host(tmp_path, MY_TOKEN="a", GIT_TOKEN="b"), Silent())  # type: ignore[arg-type]
    assert recorder.steps[-1] == "compare"
    assert capsys.readouterr().err == (
        "warning: agent, newer fields: HostConfig.'New' is '1'\n"
        "  fix: a newer bottlegen may know it; bottlegen verify shows it again\n"
    )


def test_nothing_is_made_before_all_secrets_are_there(tmp_path: Path) -> None:
    recorder = Recorder()
    with pytest.raises(SecretError) as caught:
        start(_spec(), recorder, _host(tmp_path, expires_in=None, GIT_TOKEN=""), Silent())  # type: ignore[arg-type]
    text = str(caught.value)
    assert "no Codex login on this host" in text
    assert "secret 'MY_TOKEN' is not set" in text
    assert "secret 'GIT_TOKEN' is set but empty" in text
    assert "CODEX_HOST_CREDENTIAL_TOKEN_REF" not in text
    assert recorder.steps == ["check"]


def test_credentials_reach_the_sidecar_alone(tmp_path: Path) -> None:
    recorder = Recorder()
    host = _host(tmp_path, MY_TOKEN="canary-1", GIT_TOKEN="canary-2")
    start(_spec(), recorder, host, Silent())  # type: ignore[arg-type]
    needles = [value.reveal().encode() for value in gather(_spec().bundle, host).values.values()]
    assert len(needles) == 3
    at = {service: b"".join(file.data for file in files) for service, files in recorder.placed.items()}
    assert all(needle in at["egress"] for needle in needles)
    assert not any(needle in at["agent"] for needle in needles)
    assert not any(needle.decode() in repr(recorder.placed) for needle in needles)


def test_seeds_do_not_replace_what_the_agent_has(tmp_path: Path) -> None:
    home = tmp_path / "kept"
    (home / ".codex").mkdir(parents=True)
    (home / ".codex" / "config.toml").write_text("mine")
    recorder = Recorder()
    start(_spec(home), recorder, _host(tmp_path, MY_TOKEN="a", GIT_TOKEN="b"), Silent())  # type: ignore[arg-type]
    paths = {file.path for file in recorder.placed["agent"]}
    assert "/home/agent/.codex/config.toml" not in paths
    assert {"/home/agent/.codex/auth.json", "/run/bottle/ca.crt"} <= paths


def test_a_home_that_cannot_be_looked_into_is_no_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent may close folders of its home; to a host user who is not root they stay closed."""
    home = tmp_path / "kept"

    def closed(path: Any, **options: Any) -> os.stat_result:
        if str(path).startswith(str(home)):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    stat = os.stat
    recorder = Recorder()
    monkeypatch.setattr(os, "stat", closed)
    monkeypatch.setattr(os, "lstat", lambda path: closed(path, follow_symlinks=False))
    start(_spec(home), recorder, _host(tmp_path, MY_TOKEN="a", GIT_TOKEN="b"), Silent())  # type: ignore[arg-type]
    assert "/home/agent/.codex/config.toml" in {file.path for file in recorder.placed["agent"]}


def test_refresh_places_credentials_again_and_nothing_else(tmp_path: Path) -> None:
    recorder = Recorder()
    slots = refresh(_spec().bundle, "dev", recorder, _host(tmp_path, MY_TOKEN="new-1", GIT_TOKEN="new-2"))  # type: ignore[arg-type]
    assert len(slots) == 3
    assert len(recorder.placed["egress"]) == 3
    assert [file.path for file in recorder.placed["agent"]] == ["/home/agent/.codex/auth.json"]


def test_certificates_are_renewed_when_a_third_is_left_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    _, good = start(_spec(), recorder, _host(tmp_path, MY_TOKEN="a", GIT_TOKEN="b"), Silent())  # type: ignore[arg-type]
    began, spec = good.terms[0].begins + timedelta(hours=1), _spec()
    recorder.placed.clear()
    for days, used in ((0, 0), (59, 0), (61, 1), (61, 1), (200, 3), (749, 11)):
        monkeypatch.setattr("runtime.start._now", lambda days=days: began + timedelta(days=days))
        recorder.placed.clear()
        before, good = good, renew(spec.bundle, "dev", recorder, good)  # type: ignore[arg-type]
        assert (good.used, bool(recorder.placed)) == (used, used != before.used), days
    said = b"".join(file.data for file in recorder.placed["egress"])
    assert b"/0-11.pem" in said
    assert b"PRIVATE" not in said


def test_a_ca_file_that_is_none_is_missed_before_anything_is_made(tmp_path: Path) -> None:
    recorder = Recorder()
    host = _host(tmp_path, MY_TOKEN="a", GIT_TOKEN="b", SSL_CERT_FILE=str(tmp_path / "absent.pem"))
    with pytest.raises(Exception, match="cannot read the CA file"):
        start(_spec(), recorder, host, Silent())  # type: ignore[arg-type]
    assert recorder.steps == ["check"]


def _rooted(root: Path, **changes: Any) -> LaunchSpec:
    """Nobody's agent on the tree at `root`, as it is now."""
    text = (
        f'[agent_provider]\ntemplate = "shell"\n[rootfs]\ndirectory = "root"\nhash = "{nar.sri(tree.digest(root))}"\n'
    )
    bundle = build(load_profile("dev.toml", lambda _: text.encode()), load_pins())
    return replace(_spec(), bundle=bundle, rootfs_at=(root,), **changes)


def test_a_runtime_gets_the_verified_copy_and_only_that(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "file").write_text("x")
    spec = _rooted(tmp_path / "root")
    recorder = Recorder()
    given: list[LaunchSpec] = []
    recorder.prepare = lambda spec, progress: given.append(spec)  # type: ignore[attr-defined]
    start(spec, recorder, _host(tmp_path), make_progress())  # type: ignore[arg-type]
    assert given[0].rootfs is not None
    assert given[0].rootfs.is_relative_to(tmp_path / ".cache" / "bottlegen" / "rootfs")
    assert tree.digest(given[0].rootfs) == tree.digest(tmp_path / "root")
    (tmp_path / "root" / "file").write_text("other")
    recorder = Recorder()
    with pytest.raises(RuntimeFailure, match="is not the one that was declared"):
        start(spec, recorder, _host(tmp_path), make_progress())  # type: ignore[arg-type]
    assert recorder.steps == ["check"]


def test_a_cache_that_the_agent_could_write_to_holds_no_rootfs(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    spec = _rooted(tmp_path / "root", workspace=tmp_path)
    with pytest.raises(RuntimeFailure, match="lies in the workspace"):
        start(spec, Recorder(), _host(tmp_path), make_progress())  # type: ignore[arg-type]
    elsewhere = replace(spec, workspace=tmp_path / "root")
    start(elsewhere, Recorder(), _host(tmp_path), make_progress())  # type: ignore[arg-type]
