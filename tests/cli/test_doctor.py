"""`doctor` as a user types it, on this host: whatever it looks like, an answer and no traceback."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.pretend.login import CodexLogin

ROOT = Path(__file__).parents[2]
CANARY = "CaNaRy0123456789"
AREAS = {"runtimes", "versions", "kernel", "clock", "trust", "disk", "bottles"}


def _run(tmp_path: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    whole = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), **env}
    done = subprocess.run(
        [sys.executable, "-m", "runtime.cli", "doctor", *argv], cwd=tmp_path, env=whole,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def _json(tmp_path: Path, **env: str) -> tuple[int, dict[str, Any]]:
    done = _run(tmp_path, "--json", **env)
    document: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == int(document["worst"] == "problem"), done.stdout
    for finding in document["findings"]:
        assert finding.keys() == {"level", "area", "what", "why", "fix"}
        assert finding["fix"] or finding["level"] == "ok", finding
        assert bool(finding["why"]) == (finding["level"] != "ok"), finding
    return done.returncode, document


def test_this_host(tmp_path: Path) -> None:
    """With a login that ended, and the state of a run that no runtime knows."""
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex" / "auth.json").write_text(CodexLogin(expires=1, canary=CANARY).auth_json())
    (tmp_path / "state" / "bottlegen" / "bottles" / "cut-off" / "bundle").mkdir(parents=True)
    _, document = _json(tmp_path, XDG_STATE_HOME=str(tmp_path / "state"))
    assert {finding["area"] for finding in document["findings"]} >= AREAS
    assert sum(document["counts"].values()) == len(document["findings"])
    assert CANARY not in str(document)
    fixes = {finding["fix"]: finding["level"] for finding in document["findings"]}
    assert fixes["codex login"] == fixes["bottlegen down --name cut-off"] == "warn"


def test_plain_lines_in_a_pipe(tmp_path: Path) -> None:
    done = _run(tmp_path)
    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines()[-1].endswith(" ok")


def test_a_host_where_all_is_wrong(tmp_path: Path) -> None:
    """An engine that is not there, no program on PATH, a broken host.toml, a CA file that is a folder, odd logins."""
    (tmp_path / ".codex").mkdir()
    os.mkfifo(tmp_path / ".codex" / "auth.json")
    host = tmp_path / "host.toml"
    host.write_text("runtime = 3\n")
    status, document = _json(
        tmp_path, PATH="", DOCKER_HOST=f"unix://{tmp_path}/none.sock", BOTTLEGEN_HOST_CONFIG=str(host),
        SSL_CERT_FILE=str(tmp_path), XDG_STATE_HOME="/proc/1", XDG_CACHE_HOME="/dev/null/x",
    )  # fmt: skip
    assert status == 1
    told = {finding["area"]: finding for finding in document["findings"] if finding["level"] != "ok"}
    assert "host.toml:1" in told["host.toml"]["what"]
    assert "cannot read the CA file" in told["trust"]["what"]
    assert "not a regular file" in told["logins"]["what"]


def test_an_engine_that_hangs_is_told_in_time(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as engine:
        here = Path.cwd()
        os.chdir(tmp_path)
        engine.bind("e.sock")
        os.chdir(here)
        engine.listen()
        start = time.monotonic()
        _, document = _json(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/e.sock")
        assert time.monotonic() - start < 45
    hanging = [one for one in document["findings"] if "gave no answer" in one["what"]]
    assert {one["area"] for one in hanging} >= {"docker engine"}
    assert {one["area"] for one in document["findings"]} >= {"clock", "trust", "versions"}


@pytest.mark.parametrize("option", ["--onlin", "--jsonn"])
def test_what_it_does_not_know(option: str, tmp_path: Path) -> None:
    done = _run(tmp_path, option)
    assert done.returncode == 10
    assert f"did you mean '{option[:6]}" in done.stderr
