"""./inv makes .venv once, is quiet when nothing is to do, and mends what broke. Uses uv's cache or the network."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = (
    "inv", "pyproject.toml", "uv.lock", "README.md", "LICENSE", "tasks.py", "bottlegen.lock", "bottlegen", "runtime",
)  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy in a folder with a blank in its name, made ready by the first run."""
    place = tmp_path_factory.mktemp("check out")
    for part in PARTS:
        source = ROOT / part
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, place / part, ignore=ignore) if source.is_dir() else shutil.copy(source, place / part)
    assert "making" in inv(place, "--version").stderr
    return place


def inv(place: Path, *arguments: str, shell: str = "/bin/sh", **env: str) -> subprocess.CompletedProcess[str]:
    # The uv that this checkout's own ./inv fetched, so that the copy need not fetch it again.
    fetched = [str(path.parent) for path in ROOT.glob(".inv/uv==*/bin/uv")]
    path = os.pathsep.join([*fetched, os.environ["PATH"]])
    command = [shell, str(place / "inv"), *arguments]
    environment = os.environ | {"PATH": path} | env
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_quiet_from_any_folder_when_current(checkout):
    done = inv(checkout, "--list")
    assert (done.returncode, done.stderr) == (0, "")
    assert "up" in done.stdout.split()


def test_the_console_script_is_there(checkout):
    command = [checkout / ".venv" / "bin" / "bottlegen", "--version"]
    assert subprocess.run(command, cwd="/", check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_other_shells(checkout, shell):
    found = shutil.which(shell)
    if not found:
        pytest.skip(f"no {shell} here")
    command = [found, *(["sh"] if shell == "busybox" else []), str(checkout / "inv"), "--version"]
    assert subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stderr == ""


def test_task_options_and_failures_pass_through(checkout):
    done = inv(checkout, "show", "--profile", "no such profile")
    assert done.returncode == 10
    assert "no profile 'no such profile'" in done.stderr
    wrong = inv(checkout, "tset")
    assert (wrong.returncode, "did you mean 'test'?" in wrong.stderr) == (10, True)


def test_a_changed_lock_is_followed(checkout):
    with (checkout / "uv.lock").open("a") as lock:
        lock.write("\n")
    assert "refreshing" in inv(checkout, "--version").stderr
    assert inv(checkout, "--version").stderr == ""


def test_a_broken_venv_is_made_anew(checkout):
    (checkout / ".venv" / "bin" / "python").unlink()
    assert "making" in inv(checkout, "--version").stderr
    shutil.rmtree(checkout / ".venv")
    (checkout / ".venv").mkdir()
    assert "making" in inv(checkout, "--version").stderr


def test_a_moved_checkout_is_noticed(checkout, tmp_path):
    moved = checkout.rename(tmp_path / "moved")
    done = inv(moved, "--version")
    moved.rename(checkout)
    assert (done.returncode, "refreshing" in done.stderr) == (0, True)
    assert inv(checkout, "--version").returncode == 0


def test_two_at_once(checkout):
    shutil.rmtree(checkout / ".venv")
    command = ["/bin/sh", str(checkout / "inv"), "--version"]
    fetched = [str(path.parent) for path in ROOT.glob(".inv/uv==*/bin/uv")]
    env = os.environ | {"PATH": os.pathsep.join([*fetched, os.environ["PATH"]])}
    both = [subprocess.Popen(command, env=env, stdout=-1, stderr=-1, text=True) for _ in range(2)]
    told = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("inv: making" in text for text in told) == 1


def test_an_edited_pyproject_needs_a_new_lock(checkout):
    project = checkout / "pyproject.toml"
    before = project.read_text()
    project.write_text(before.replace('"docker>=7.1"', '"docker>=999"'))
    done = inv(checkout, "--version")
    project.write_text(before)
    assert done.returncode == 1
    assert "uv lock" in done.stderr
    assert inv(checkout, "--version").returncode == 0


def test_no_python(checkout):
    done = inv(checkout, "--version", BOTTLEGEN_PYTHON="/bin/false")
    assert done.returncode == 0, "an existing .venv needs no other Python"
    (checkout / ".venv" / "inv-stamp").unlink()
    done = inv(checkout, "--version", BOTTLEGEN_PYTHON="/bin/false")
    assert done.returncode == 1
    assert done.stderr == "inv: error: '/bin/false' (BOTTLEGEN_PYTHON) is no Python >= 3.11\n"
