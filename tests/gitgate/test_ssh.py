"""Remotes over ssh, with OpenSSH's own server: its key is pinned, ours comes out of memory and stands nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import live
from tests.gitgate.conftest import AUTHOR, Agent, World, agent_settings
from tests.gitgate.gate import HOST, bundle_of, running
from tests.pretend.git_host import GitHost
from tests.pretend.ssh_host import USER, SshHost, make_key

pytestmark = pytest.mark.sshd
_URL = f"{USER}@{HOST}:acme/own.git"
REMOTE = f"""
[[git.remotes]]
name = "own"
url = "{_URL}"
ssh_key_ref = "GIT_KEY"
known_hosts = ["%s"]
push = ["agent/**"]
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[SshHost, GitHost]]:
    """The server, and what is behind it (whose own TLS side is not started)."""
    repositories = GitHost(tmp_path / "repositories", token="", hosts=(HOST,))
    repositories.make("acme/own.git")
    (tmp_path / "ssh").mkdir()
    with SshHost(tmp_path / "ssh", tmp_path / "repositories") as server:
        yield server, repositories


@contextmanager
def _gate(folder: Path, host: tuple[SshHost, GitHost], *, key: str = "", public: str = "") -> Iterator[World]:
    server, repositories = host
    (folder / "gate").mkdir()
    bundle = bundle_of(folder, REMOTE % (public or server.public))
    address = {HOST: f"127.0.0.1:{server.address[1]}"}
    with running(folder / "gate", bundle, None, {"GIT_KEY": key or server.key}, static_hosts=address) as gate:
        yield World(gate=gate, host=repositories)


def _agent(world: World, home: Path) -> Agent:
    return Agent(home=home, settings=agent_settings(world.gate), env=dict(AUTHOR))


def test_clone_and_push(tmp_path: Path, host: tuple[SshHost, GitHost]) -> None:
    with _gate(tmp_path, host) as world:
        agent = _agent(world, tmp_path)
        agent.must("clone", "-q", _URL, "work")
        new = agent.commit(tmp_path / "work", "file")
        agent.must("push", "-q", "origin", "HEAD:agent/x", cwd=tmp_path / "work")
        assert "outside of what may be pushed" in agent.git("push", "origin", "HEAD:main", cwd=tmp_path / "work").said
        body = host[0].key.splitlines()[2].encode()
        files = live.holding(world.gate.folder, body)
        assert files == [world.gate.folder / "base/slots/GIT_GATE_TOKEN_0"]
        assert files[0].stat().st_mode & 0o777 == 0o600
        assert body not in world.gate.said().encode()
    assert new in agent.must("-C", str(host[1].root / "acme/own.git"), "for-each-ref", "refs/heads/agent/x")
    assert "Accepted publickey" in host[0].said()


def test_a_host_with_another_key_is_not_spoken_to(tmp_path: Path, host: tuple[SshHost, GitHost]) -> None:
    make_key(tmp_path / "other")
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    with _gate(tmp_path, host, public=other) as world:
        done = _agent(world, tmp_path).git("ls-remote", _URL)
    assert done.status
    assert f"{HOST} shows another key than known_hosts has" in done.said
    assert "Accepted" not in host[0].said()
    assert "Connection closed" in host[0].said() or "Connection reset" in host[0].said()


def test_a_key_that_the_host_does_not_know(tmp_path: Path, host: tuple[SshHost, GitHost]) -> None:
    with _gate(tmp_path, host, key=make_key(tmp_path / "stranger")) as world:
        done = _agent(world, tmp_path).git("ls-remote", _URL)
    assert done.status
    assert f"{HOST} refused the credential in slot GIT_GATE_TOKEN_0" in done.said
    assert "Accepted" not in host[0].said()
