"""What the way through the git gate costs, against git that speaks to the same remote itself, with the token in hand.

The remote is git's http-backend behind TLS on loopback, and the gate a process of this machine. Nothing leaves it.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from _paired import middle, milliseconds, ratio, rounds, table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.gitgate.conftest import AUTHOR, Agent, agent_settings  # noqa: E402 - the bench's own root
from tests.gitgate.gate import HOST, Gate, bundle_of, running  # noqa: E402
from tests.pretend.git_host import GitHost  # noqa: E402

TOKEN = "bench-token"
URL = f"https://{HOST}/acme/site.git"
ROUNDS = 5
FILES = 400
LARGE = 64
REMOTES = f"""
[[git.remotes]]
name = "site"
url = "{URL}"
token_ref = "T"
push = ["**"]
max_size = "1GiB"
"""
DIRECT, GATE = "direct git", "through the gate"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        host = GitHost(folder / "repositories", token=TOKEN, hosts=(HOST,))
        with host:
            host.make("acme/site.git")
            (folder / "gate").mkdir()
            with running(folder / "gate", bundle_of(folder, REMOTES), host, {"T": TOKEN}) as gate:
                _compare({DIRECT: _direct(folder, host), GATE: _gated(folder, gate)})


def _direct(folder: Path, host: GitHost) -> Agent:
    """git with everything that it needs of its own."""
    (folder / "ca.pem").write_text(host.authority.pem)
    settings = {
        "http.sslCAInfo": str(folder / "ca.pem"),
        "http.curloptResolve": f"{HOST}:{host.address[1]}:127.0.0.1",
        f"url.https://x:{TOKEN}@{HOST}:{host.address[1]}/.insteadOf": f"https://{HOST}/",
    }
    return _agent(folder / "direct", settings)


def _gated(folder: Path, gate: Gate) -> Agent:
    agent = _agent(folder / "gated", {})
    agent.settings = agent_settings(gate)
    return agent


def _agent(home: Path, settings: dict[str, str]) -> Agent:
    home.mkdir()
    env = {"GIT_CONFIG_COUNT": str(len(settings))}
    for index, (key, value) in enumerate(settings.items()):
        env |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    return Agent(home=home, settings=env, env=dict(AUTHOR))


def _compare(ways: dict[str, Agent]) -> None:
    _seed(ways[DIRECT])
    work = {name: _work(agent) for name, agent in ways.items()}
    jobs: dict[str, Callable[[str], object]] = {
        "ls-remote": lambda name: ways[name].must("ls-remote", URL),
        f"clone, {FILES} files": lambda name: _clone(ways[name]),
        "push, one commit": lambda name: _push(ways[name], work[name], b"small"),
        f"push, {LARGE} MB": lambda name: _push(ways[name], work[name], os.urandom(LARGE << 20)),
    }
    rows = []
    for job, run in jobs.items():
        times = rounds(ROUNDS, {name: partial(run, name) for name in ways})
        rows.append([job, *(milliseconds(middle(times[name])) for name in ways), f"{ratio(times, GATE, DIRECT):.2f}"])
    table(f"git over TLS on loopback (median of {ROUNDS} rounds)", ["", *ways, "ratio"], rows)


def _seed(agent: Agent) -> None:
    folder = agent.home / "seed"
    agent.must("init", "-q", "-b", "main", str(folder))
    for number in range(FILES):
        (folder / f"file-{number}").write_bytes(os.urandom(2000))
    agent.must("add", ".", cwd=folder)
    agent.must("commit", "-q", "-m", "all", cwd=folder)
    agent.must("push", "-q", URL, "main", cwd=folder)


def _work(agent: Agent) -> Path:
    folder = agent.home / "work"
    agent.must("clone", "-q", URL, str(folder))
    for setting in ("core.compression", "pack.compression"):
        agent.must("config", setting, "0", cwd=folder)
    agent.must("config", "core.bigFileThreshold", "1m", cwd=folder)
    agent.must("switch", "-q", "-c", f"agent/{agent.home.name}", cwd=folder)
    return folder


def _clone(agent: Agent) -> str:
    folder = agent.home / "clone"
    shutil.rmtree(folder, ignore_errors=True)
    return agent.must("clone", "-q", URL, str(folder))


def _push(agent: Agent, folder: Path, content: bytes) -> str:
    agent.commit(folder, "file", content + os.urandom(16))
    return agent.must("push", "-q", "origin", "HEAD", cwd=folder)


if __name__ == "__main__":
    main()
