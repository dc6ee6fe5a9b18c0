"""The git gate in a bottle of each runtime, one for all tests here; what it decides is shown in tests/gitgate."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bottlegen.bundle import Bundle
from runtime.base import LaunchSpec
from runtime.docker.naming import BOTTLE
from runtime.host import Host, HostConfig
from runtime.progress import make_progress
from runtime.start import refresh, start
from tests import outside
from tests.contract import traces
from tests.contract.bottle import Bottle, make_runtime
from tests.engine.bottle import LOCAL_BASE
from tests.gitgate.gate import HOST, bundle_of
from tests.pretend.git_host import GitHost

REMOTES = """
[[git.remotes]]
name = "site"
url = "https://git.example.com/acme/site.git"
token_ref = "SITE_TOKEN"
push = ["agent/**"]
max_size = "300MiB"
"""
_URL = "https://git.example.com/acme/site.git"
_ME = ("-c", "user.name=A", "-c", "user.email=a@example.org")


@dataclass
class Gated:
    """A running bottle whose git remote is a pretend host outside; `host_now` is what the host's settings say now."""

    bottle: Bottle
    remote: GitHost
    bundle: Bundle
    config: HostConfig
    token: str
    began: float
    kind: str
    state: Path

    def host_now(self) -> Host:
        return Host(env={"SITE_TOKEN": self.token}, home=Path("/nonexistent"), config=self.config)

    def git(self, *argv: str) -> tuple[int, str]:
        return self.bottle.run("git", *_ME, *argv)

    def must(self, *argv: str) -> str:
        status, said = self.git(*argv)
        assert status == 0, said
        return said

    def refs(self) -> dict[str, str]:
        lines = _git(self.remote.root / "acme/site.git", "for-each-ref", "--format=%(refname) %(objectname)")
        return dict(line.split(" ") for line in lines.splitlines())

    def scratch(self) -> list[str]:
        """Where the gate's copies are, as far as anything of this host knows of them."""
        if self.kind != "docker":
            return [str(path) for path in self.state.rglob("scratch-0/remotes/site/HEAD")]
        import docker

        engine = docker.from_env()
        try:
            return [volume.name for volume in engine.volumes.list(filters={"label": f"{BOTTLE}={self.bottle.name}"})]
        finally:
            engine.close()

    def work(self) -> str:
        """A fresh clone in the bottle with one more commit than the remote has."""
        folder = f"/tmp/work-{uuid.uuid4().hex[:8]}"
        self.must("clone", "-q", _URL, folder)
        self.must("-C", folder, "commit", "-q", "--allow-empty", "-m", "work")
        return folder


def _git(folder: Path, *argv: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *argv], capture_output=True, text=True, check=True).stdout


def _outside(kind: str) -> AbstractContextManager[tuple[str, str]]:
    """A network that leads out, and the address on it where the remote listens."""
    return outside.network() if kind == "docker" else nullcontext(("", "127.0.0.1"))


def _seed(folder: Path, repository: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    for argv in (
        ["git", "init", "-q", "-b", "main", str(folder)],
        ["git", "-C", str(folder), *_ME, "commit", "-q", "--allow-empty", "-m", "one"],
        ["git", "-C", str(folder), "push", "-q", str(repository), "main"],
    ):
        subprocess.run(argv, env=env, check=True)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("docker", marks=pytest.mark.engine),
        pytest.param("bubblewrap", marks=pytest.mark.namespaces),
    ],
)
def gated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    kind, folder = request.param, tmp_path_factory.mktemp("gated")
    token = f"canary-{uuid.uuid4().hex}"
    with ExitStack() as stack:
        network, address = stack.enter_context(_outside(kind))
        remote = GitHost(folder / "repositories", token=token, hosts=(HOST,), bind=(address, 0))
        stack.enter_context(remote)
        _seed(folder / "seed", remote.make("acme/site.git"))
        (folder / "ca.pem").write_text(remote.authority.pem)
        runtime = stack.enter_context(make_runtime(kind, folder / "state"))
        bundle = bundle_of(folder, REMOTES)
        config = HostConfig.model_validate(
            {"upstream": {"ca_file": str(folder / "ca.pem"), "hosts": {HOST: f"{address}:{remote.address[1]}"}}}
        )
        spec = LaunchSpec(
            bottle=f"gated-{os.getpid()}", session="s1", bundle=bundle, command=("sleep", "600"), tty=False,
            interactive=False, workspace=None, home=None, base_image=LOCAL_BASE, outside_network=network,
            terminal_env=(),
        )  # fmt: skip
        made = Gated(
            bottle=Bottle(spec=spec, runtime=runtime), remote=remote, bundle=bundle, config=config, token=token,
            began=time.time(), kind=kind, state=folder / "state",
        )  # fmt: skip
        stack.callback(_gone, made)
        start(spec, runtime, made.host_now(), make_progress())
        runtime.release_agent(spec.bottle)
        yield made


def _gone(gated: Gated) -> None:
    gated.bottle.runtime.remove(gated.bottle.name)
    assert gated.scratch() == []


def test_clone_push_and_a_refusal(gated: Gated) -> None:
    folder = gated.work()
    gated.must("-C", folder, "push", "-q", "origin", "HEAD:agent/one")
    assert gated.refs()["refs/heads/agent/one"] == gated.must("-C", folder, "rev-parse", "HEAD").strip()
    before = gated.refs()
    status, said = gated.git("-C", folder, "push", "origin", "HEAD:main")
    assert status == 1
    assert 'git.remotes "site": push = ["refs/heads/agent/**"]' in said
    assert gated.refs() == before
    assert "refs/heads/agent/**" in gated.bottle.run("sh", "-c", "cat ~/.config/bottle/git-gate.md")[1]


def test_the_remote_itself_is_not_reached(gated: Gated) -> None:
    """The gate is the one way: the same URL without the gate's setting ends at egress."""
    url = f"https://{HOST}:{gated.remote.address[1]}/acme/site.git"
    seen = len(gated.remote.seen) + len(gated.remote.refused)
    status, said = gated.git("ls-remote", url)
    assert status
    assert "403" in said or "unable to access" in said
    assert len(gated.remote.seen) + len(gated.remote.refused) == seen


def test_audit_lines_are_the_gates(gated: Gated) -> None:
    gated.must("ls-remote", _URL)
    lines = b"".join(gated.bottle.runtime.logs(gated.bottle.name, "git-gate", follow=False)).decode().splitlines()
    last = json.loads([line for line in lines if line.startswith("{")][-1])
    wanted = {"method": "FETCH", "decision": "allow", "bottle": gated.bottle.name, "slot": "GIT_GATE_TOKEN_0"}
    assert {name: last[name] for name in wanted} == wanted
    assert last["bundle"] == gated.bundle.hash


def test_its_copies_are_on_a_disk_that_goes_with_the_bottle(gated: Gated) -> None:
    """Not in memory, which a large push would fill; that they are gone afterwards is the fixture's last word."""
    gated.must("ls-remote", _URL)
    assert gated.scratch()


def test_no_trace_of_the_token(gated: Gated) -> None:
    gated.must("ls-remote", _URL)
    needle = [gated.token.encode()]
    if gated.kind == "docker":
        import docker

        engine = docker.from_env()
        try:
            assert traces.found_in_container(engine, gated.bottle.name, needle, gated.began) == []
        finally:
            engine.close()
    assert traces.found_on_host(None, [gated.state], needle, gated.began) == []
    said = b"".join(gated.bottle.runtime.logs(gated.bottle.name, "git-gate", follow=False))
    assert gated.token.encode() not in said


def test_a_refreshed_credential_is_used(gated: Gated) -> None:
    gated.token = gated.remote.token = f"canary-{uuid.uuid4().hex}"
    assert "refused the credential in slot GIT_GATE_TOKEN_0" in gated.git("ls-remote", _URL)[1]
    assert refresh(gated.bundle, gated.bottle.name, gated.bottle.runtime, gated.host_now()) == ("GIT_GATE_TOKEN_0",)
    gated.must("ls-remote", _URL)


def test_without_the_gate_nothing_goes(gated: Gated) -> None:
    """Last here: it ends the gate, and git says so, though to an address that nobody has any more."""
    _end_gate(gated)
    seen, began = len(gated.remote.seen), time.monotonic()
    status, said = gated.bottle.run("git", "ls-remote", _URL)
    assert status
    assert "unable to connect to git-gate" in said or "reset by peer" in said or "Broken pipe" in said, said
    assert time.monotonic() - began < 30
    assert "refs/" not in said
    assert len(gated.remote.seen) == seen
    (its,) = (status for status in gated.bottle.runtime.list() if status.bottle == gated.bottle.name)
    assert (its.state, its.amiss) in (("broken", "git-gate exited"), ("broken", "git-gate dead"))


def _end_gate(gated: Gated) -> None:
    name = gated.bottle.name
    if gated.kind == "docker":
        subprocess.run(["docker", "kill", f"bottlegen-{name}-git-gate"], check=True, capture_output=True)
        return
    from runtime.bubblewrap.records import Folder

    service: Any = Folder(gated.state / "bubblewrap" / name).service("git-gate")
    os.kill(json.loads((service / "running").read_text())[-1]["pid"], 9)
    end = time.monotonic() + 10
    while gated.bottle.state() != "broken":
        assert time.monotonic() < end
        time.sleep(0.05)
