"""The git gate behind a pipelock, as processes of this machine: each way out is its tunnel, and pushes are read."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from bottlegen.secret import Secret
from bottlegen.sidecars import pipelock
from bottlegen.sidecars.material import PIPELOCK_PORT
from runtime import ca
from runtime.bubblewrap.inside import passing
from tests import live
from tests.dataplane.sidecar import BOTTLE, now
from tests.gitgate.conftest import AUTHOR, Agent, World, agent_settings
from tests.gitgate.gate import HOST, bundle_of, running
from tests.inspection.chain import Pipelock, start_pipelock
from tests.inspection.conftest import GITHUB, JWT
from tests.pretend.git_host import GitHost
from tests.pretend.ssh_host import SSHD, USER, SshHost

TOKEN = "canary-of-git-5f7a91c2e4"
ELSEWHERE = "value-of-another-sidecar-77aa"
_REMOTES = """
[pipelock]

[[git.remotes]]
name = "own"
url = "https://{host}:{port}/acme/own.git"
token_ref = "GIT_TOKEN"
push = ["**"]

[[git.remotes]]
name = "inside"
url = "https://inside.example.com:{port}/acme/own.git"
push = ["**"]
"""
_SSH = """
[[git.remotes]]
name = "keyed"
url = "ssh://{user}@ssh.example.com:{port}/acme/own.git"
ssh_key_ref = "GIT_KEY"
known_hosts = ["{public}"]
push = ["agent/**"]
"""


@dataclass(frozen=True)
class Behind:
    """A gate whose one way out is `pipelock`, reached as in a bottle without networks: by a socket."""

    world: World
    pipelock: Pipelock
    agent: Agent
    url: str

    def work(self) -> Path:
        return self.agent.home / "work"

    def pushed(self, path: str, text: str) -> str:
        """What the agent sees of a push of one more file, which must not arrive."""
        before = self.world.holds("acme/own.git")
        self.agent.commit(self.work(), path, text)
        done = self.agent.git("push", "origin", "HEAD:agent/x", cwd=self.work())
        assert done.status, done.said
        assert self.world.holds("acme/own.git") == before
        self.agent.must("reset", "-q", "--hard", "HEAD~", cwd=self.work())
        return done.said


@pytest.fixture(scope="module")
def behind(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    folder = tmp_path_factory.mktemp("behind")
    for name in ("gate", "pipelock", "sockets", "ssh", "home"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        host = stack.enter_context(GitHost(folder / "repositories", token=TOKEN, hosts=(HOST, "inside.example.com")))
        host.make("acme/own.git")
        keyed = stack.enter_context(SshHost(folder / "ssh", folder / "repositories")) if SSHD else None
        told = _REMOTES.format(host=HOST, port=host.address[1])
        told += _SSH.format(user=USER, port=keyed.address[1], public=keyed.public) if keyed else ""
        bundle = bundle_of(folder, told)
        before = start_pipelock(
            program, folder / "pipelock", bundle.data(pipelock.FILE),
            signer=ca.mint_signer((HOST,), bottle=BOTTLE, now=now()), upstream_ca=host.authority.pem.encode(),
            names=dict.fromkeys((HOST, "ssh.example.com", "inside.example.com"), "127.0.0.1"),
            private=frozenset({"inside.example.com"}), secrets=(),
        )  # fmt: skip
        stack.callback(before.stop)
        bridging = passing.bridge(str(folder / "sockets" / str(PIPELOCK_PORT)), before.port)
        threading.Thread(target=asyncio.run, args=(bridging,), daemon=True).start()
        gate = stack.enter_context(running(
            folder / "gate", bundle, host, {"GIT_TOKEN": TOKEN, "GIT_KEY": keyed.key if keyed else ""},
            path=f"{Path(program).parent}:{os.environ['PATH']}", way_out=str(folder / "sockets"), static_hosts={},
            every_value=(Secret(ELSEWHERE), Secret(TOKEN)),
        ))  # fmt: skip
        agent = Agent(home=folder / "home", settings=agent_settings(gate), env=dict(AUTHOR))
        url = f"https://{HOST}:{host.address[1]}/acme/own.git"
        agent.must("clone", "-q", url, "work")
        agent.commit(agent.home / "work", "file")
        agent.must("push", "-q", "origin", "HEAD:main", cwd=agent.home / "work")
        yield Behind(World(gate=gate, host=host), before, agent, url)


def test_a_push_went_through_pipelock(behind: Behind) -> None:
    """By the fixture; that it was a tunnel of pipelock's is shown below, without pipelock."""
    new = behind.agent.must("rev-parse", "HEAD", cwd=behind.work()).strip()
    assert behind.world.holds("acme/own.git")[0] == {"refs/heads/main": new}


def test_a_value_of_the_bottle_is_not_pushed(behind: Behind) -> None:
    """Also one that the gate has no use for, and does not hold: of that it knows beginning, length and hash."""
    for value in (ELSEWHERE.encode().hex(), TOKEN):
        said = behind.pushed("notes", f"x = {value};\n")
        assert "notes (object " in said
        assert "holds a credential of this bottle" in said
        assert 'git.remotes "own": secret_scan = true' in said
        assert value not in said
    folder = behind.world.gate.folder
    assert live.holding(folder, TOKEN.encode()) != []  # the control
    for needle in (ELSEWHERE.encode(), ELSEWHERE.encode().hex().encode()):
        assert live.holding(folder, needle) == []


def test_what_pipelock_knows_is_not_pushed(behind: Behind) -> None:
    """A shape that the gate's own scan has too: both say so."""
    said = behind.pushed("notes", f"x = {GITHUB}\n")
    assert 'notes:1 holds what pipelock calls "GitHub Token"' in said
    assert GITHUB not in said


def test_a_comment_opens_no_way_past_it(behind: Behind) -> None:
    said = behind.pushed("notes", f'x = "{JWT}"  # pipelock:ignore\n')
    assert "notes:1  JWT Token (inline) holds what a comment asks pipelock to pass over" in said


def test_a_push_without_text_is_scanned_too(behind: Behind) -> None:
    """An empty file makes a diff without a line, which is no error."""
    behind.agent.commit(behind.work(), "empty", "")
    behind.agent.must("push", "-q", "origin", "HEAD:empty", cwd=behind.work())
    behind.agent.must("reset", "-q", "--hard", "HEAD~", cwd=behind.work())


def test_names_that_lead_inside_are_refused_by_pipelock(behind: Behind) -> None:
    seen = len(behind.world.host.seen) + len(behind.world.host.refused)
    done = behind.agent.git("ls-remote", behind.url.replace(HOST, "inside.example.com"))
    assert done.status
    assert "pipelock refused the way to inside.example.com" in done.said
    assert len(behind.world.host.seen) + len(behind.world.host.refused) == seen


@pytest.mark.sshd
def test_ssh_goes_through_pipelock_too(behind: Behind) -> None:
    settings = behind.agent.settings.items()
    port = next(value.rpartition(":")[2].partition("/")[0] for _, value in settings if "ssh.example.com:" in value)
    behind.agent.must("clone", "-q", f"ssh://{USER}@ssh.example.com:{port}/acme/own.git", "keyed")
    new = behind.agent.commit(behind.agent.home / "keyed", "another")
    behind.agent.must("push", "-q", "origin", "HEAD:agent/keyed", cwd=behind.agent.home / "keyed")
    assert behind.world.holds("acme/own.git")[0]["refs/heads/agent/keyed"] == new


def test_without_pipelock_nothing_goes(behind: Behind) -> None:
    """Last here: it ends pipelock. The remotes are at this machine's own addresses: nothing else holds the gate."""
    behind.pipelock.stop()
    seen = len(behind.world.host.seen) + len(behind.world.host.refused)
    names = [f"GIT_CONFIG_VALUE_{n}" for n in range(99)]
    urls = {behind.agent.settings[name] for name in names if behind.agent.settings.get(name, "").endswith(".git")}
    for url in urls:
        done = behind.agent.git("ls-remote", url)
        assert done.status, url
        assert "pipelock, the one way to " in done.said
    assert urls
    assert len(behind.world.host.seen) + len(behind.world.host.refused) == seen
