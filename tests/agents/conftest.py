"""Real agents from npm, each in a home that holds what its provider provisions and nothing else."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.downloads import cache_folder, unpack_agent
from tests.agents.stage import Stage
from tests.pretend.login import CodexLogin


@pytest.fixture(scope="session")
def programs() -> Iterator[Path]:
    """A folder with the pinned programs of every agent, which an unprivileged user can run."""
    with tempfile.TemporaryDirectory(prefix="bottlegen-agents-") as folder:
        Path(folder).chmod(0o755)
        for name in ("codex", "claude"):
            unpack_agent(name, cache_folder(), Path(folder))
        yield Path(folder) / "agent" / "bin"


@pytest.fixture
def login() -> CodexLogin:
    return CodexLogin(account="acct-of-the-host", expires=int(time.time()) + 10 * 86400)


@pytest.fixture
def stage(programs: Path, login: CodexLogin) -> Iterator[Stage]:
    """The home is not below /tmp: Codex warns about one that is."""
    with tempfile.TemporaryDirectory(prefix="bottlegen-home-", dir="/var/tmp") as home:
        yield Stage(programs=programs, home=Path(home), login=login)
