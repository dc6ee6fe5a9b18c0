"""A skip is visible, and where its marker is required it is a failure: tried on small suites with the real conftest."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPPING = "import pytest\ndef test_it(): pytest.skip('no such thing here')\n"
MODULE_SKIPPING = "import pytest\npytest.skip('nothing here', allow_module_level=True)\n"
PASSING = "def test_it(): pass\n"


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    def run(folder: str, source: str, required: str, **env: str) -> tuple[int, str]:
        (tmp_path / "tests" / folder).mkdir()
        (tmp_path / "tests" / folder / "test_one.py").write_text(source)
        base = f"--basetemp={tmp_path / 'base'}"  # else it tidies the folder that all of this user's runs share
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", base]
        environment = os.environ | {"BOTTLEGEN_REQUIRE": required, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | env
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_skip_elsewhere_is_shown_with_its_reason(suite):
    status, text = suite("dataplane", SKIPPING, "")
    assert status == 0
    assert "no such thing here" in text


@pytest.mark.parametrize("source", [SKIPPING, MODULE_SKIPPING])
def test_a_required_skip_fails(suite, source):
    status, text = suite("dataplane", source, "envoy")
    assert status in (1, 2)
    assert "BOTTLEGEN_REQUIRE=envoy, but: " in text


def test_a_skip_that_is_not_required_stays_one(suite):
    status, text = suite("unit", SKIPPING, "")
    assert (status, "no such thing here" in text) == (0, True)


def test_a_required_marker_without_any_test_fails(suite):
    status, text = suite("unit", PASSING, "envoy")
    assert status == 4
    assert "no test carries the required marker envoy" in text


def test_an_unknown_requirement_fails(suite):
    status, text = suite("unit", PASSING, "engines")
    assert status == 4
    assert "use some of engine, gvisor, own_engine, namespaces, agents, envoy, nix, nixpkgs, microvm, pipelock" in text


def test_a_missing_engine_is_a_reason_and_where_required_a_failure(suite, tmp_path):
    nowhere = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    status, text = suite("engine", PASSING, "engine", **nowhere)
    assert status == 1
    assert "but: Skipped: no docker engine answers" in text or "but: no docker engine answers" in text
