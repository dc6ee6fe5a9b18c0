"""One host of repositories and one gate before it for all tests here; each test has clones of its own."""

import itertools
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bottlegen.sidecars.git_gate import NAME
from tests.gitgate.gate import HOST, Gate, bundle_of, running
from tests.pretend.git_host import GitHost

TOKEN = "canary-5f7a91c2e4"
REMOTES = """
[[git.remotes]]
name = "strict"
url = "https://git.example.com/acme/strict.git"
token_ref = "GIT_TOKEN"
push = ["agent/**", "notes-*"]
tags = ["v*"]
max_size = "1MiB"

[[git.remotes]]
name = "free"
url = "https://git.example.com/acme/free"
token_ref = "GIT_TOKEN"
push = ["**"]
tags = ["**"]
force = true
delete = true
secret_scan = false
max_size = "300MiB"

[[git.remotes]]
name = "large"
url = "https://git.example.com/acme/large.git"
token_ref = "GIT_TOKEN"
push = ["**"]
max_size = "300MiB"

[[git.remotes]]
name = "docs"
url = "https://git.example.com/acme/docs.git"
token_ref = "GIT_TOKEN"
fetch = ["main"]
"""
_PATHS = {"strict": "acme/strict.git", "free": "acme/free", "large": "acme/large.git", "docs": "acme/docs.git"}
_numbers = itertools.count()


@dataclass(frozen=True)
class Done:
    """A git command that has ended; `said` is all that it printed, as an agent's terminal shows it."""

    status: int
    said: str


@dataclass
class Agent:
    """Somebody who uses plain git, with no credential, and the settings that a bottle gives its agent."""

    home: Path
    settings: dict[str, str]
    env: dict[str, str] = field(default_factory=dict)

    def git(self, *argv: str, cwd: Path | None = None, **env: str) -> Done:
        done = subprocess.run(
            ["git", *argv], cwd=cwd or self.home, capture_output=True, text=True, check=False, timeout=120,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C",
                 "GIT_TERMINAL_PROMPT": "0", **self.settings, **self.env, **env},
        )  # fmt: skip
        return Done(done.returncode, done.stdout + done.stderr)

    def must(self, *argv: str, cwd: Path | None = None, **env: str) -> str:
        done = self.git(*argv, cwd=cwd, **env)
        assert done.status == 0, done.said
        return done.said

    def clone(self, name: str, *more: str) -> Path:
        folder = self.home / f"{name}-{next(_numbers)}"
        self.must("clone", "-q", *more, f"https://{HOST}/{_PATHS[name]}", str(folder))
        return folder

    def commit(self, folder: Path, path: str, text: str | bytes = "some text\n") -> str:
        (folder / path).write_bytes(text.encode() if isinstance(text, str) else text)
        self.must("add", path, cwd=folder)
        self.must("commit", "-q", "-m", f"change {path}", cwd=folder)
        return self.must("rev-parse", "HEAD", cwd=folder).strip()


@dataclass
class World:
    """The gate, the host behind it, and what the host holds."""

    gate: Gate
    host: GitHost

    def upstream(self, name: str) -> Path:
        return self.host.root / _PATHS.get(name, name)

    def refs(self, name: str) -> dict[str, str]:
        lines = self._git(name, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split(" ") for line in lines)

    def holds(self, name: str) -> tuple[dict[str, str], set[str]]:
        """Every ref and every object, reachable or not."""
        return self.refs(name), set(self._git(name, "cat-file", "--batch-all-objects", "--batch-check").splitlines())

    def _git(self, name: str, *argv: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self.upstream(name)), *argv], capture_output=True, text=True, check=True
        ).stdout

    def pushes(self) -> int:
        """How often something was sent to the host's receiving side."""
        return sum(line.startswith("POST") and line.endswith("git-receive-pack") for line in self.host.seen)


def agent_settings(gate: Gate) -> dict[str, str]:
    """The variables of the bundle, with the gate's name replaced by where it listens here."""
    import json

    env: dict[str, str] = json.loads(gate.bundle.data("agent/env.json"))
    found = {name: value for name, value in env.items() if name.startswith("GIT_CONFIG_")}
    return {name: value.replace(f"git://{NAME}/", f"git://{gate.address}/") for name, value in found.items()}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("gitgate")
    with GitHost(folder / "repositories", token=TOKEN, hosts=(HOST,)) as host:
        for path in _PATHS.values():
            _seed(folder, host.make(path))
        (folder / "gate").mkdir()
        with running(folder / "gate", bundle_of(folder, REMOTES), host, {"GIT_TOKEN": TOKEN}) as gate:
            yield World(gate=gate, host=host)


def _seed(folder: Path, repository: Path) -> None:
    """Two branches and a tag, pushed past the gate."""
    seed = folder / f"seed-{repository.name}"
    agent = Agent(home=folder, settings={}, env=AUTHOR)
    agent.must("init", "-q", "-b", "main", str(seed))
    for number in range(3):
        agent.commit(seed, f"file-{number}", f"text {number}\n" * 50)
    agent.must("tag", "v0", cwd=seed)
    agent.must("push", "-q", str(repository), "main", "main:hidden", "main:agent/base", "v0", cwd=seed)


AUTHOR = {
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}  # fmt: skip


@pytest.fixture
def agent(world: World, tmp_path: Path) -> Agent:
    return Agent(home=tmp_path, settings=agent_settings(world.gate), env=dict(AUTHOR))


@pytest.fixture
def branch() -> str:
    """A branch that no other test uses and that may be pushed everywhere."""
    return f"agent/b{next(_numbers)}"
