"""`up` without a runtime named, for real: with this host's engine, and where its socket is not to be seen."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.bottle import LOCAL_BASE, make_folder

ROOT = Path(__file__).parents[2]
_HIDDEN = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh"]
"""A mount namespace of the test's own, without the sockets of this host's services."""


class Place:
    """A workspace, a state folder, and host.toml; every bottle of it is removed afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"auto-{os.getpid()}"
        self.work = make_folder(folder / "work")
        self.host_toml("")

    def host_toml(self, text: str) -> None:
        (self.folder / "host.toml").write_text(f'{text}[images]\nbase = "{LOCAL_BASE}"\n')

    def profile(self, floor: str) -> str:
        path = self.folder / "floor.toml"
        path.write_text(f'isolation = "{floor}"\n[agent_provider]\ntemplate = "shell"\n')
        return str(path)

    def up(self, profile: str, *options: str, hidden: bool = True) -> subprocess.CompletedProcess[str]:
        names = ("PATH", "HOME", "SSL_CERT_FILE", "npm_config_registry", "PIP_INDEX_URL")
        env = {name: os.environ[name] for name in names if name in os.environ} | {
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "BOTTLEGEN_HOST_CONFIG": str(self.folder / "host.toml"),
        }
        command = [
            *(_HIDDEN if hidden else []), sys.executable, "-m", "runtime.cli", "up", "--profile", profile, "--dev",
            "--name", self.name, "--workspace", str(self.work), *options, "--", "echo", "in a bottle",
        ]  # fmt: skip
        return subprocess.run(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    assert list(tmp_path.glob("state/bottlegen/bubblewrap/*")) == []


def _lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("runtime: ")]


def test_without_an_engine_it_is_bubblewrap(place: Place) -> None:
    for options in ((), ("--runtime", "auto")):
        done = place.up("shell", *options)
        assert (done.returncode, done.stdout) == (0, "in a bottle\n"), done.stderr
        (line,) = _lines(done)
        assert line.startswith("runtime: bubblewrap (")
        assert "not docker: no docker engine here: its socket does not exist" in line


def test_without_an_engine_a_floor_is_held(place: Place) -> None:
    """By auto, by name and through host.toml; the control is the lowest floor."""
    profile = place.profile("container")
    refused = place.up(profile)
    assert (refused.returncode, refused.stdout, _lines(refused)) == (16, "", [])
    assert "error: no docker engine here" in refused.stderr
    said = "demands isolation 'container', runtime 'bubblewrap' gives 'process'"
    assert said in place.up(profile, "--runtime", "bubblewrap").stderr
    place.host_toml('runtime = "bubblewrap"\n')
    named = place.up(profile)
    assert (named.returncode, named.stdout) == (16, "")
    assert said in named.stderr
    assert place.up(place.profile("process")).stdout == "in a bottle\n"


if os.geteuid() != 0:  # a user may not mount over /run
    del test_without_an_engine_it_is_bubblewrap, test_without_an_engine_a_floor_is_held


@pytest.mark.engine
def test_with_an_engine_it_is_docker(place: Place) -> None:
    done = place.up("shell", hidden=False)
    assert (done.returncode, done.stdout) == (0, "in a bottle\n"), done.stderr
    (line,) = _lines(done)
    assert line.startswith("runtime: docker (")
    assert line.endswith("an engine answers)")
