"""One profile, one hash: whatever the folder, home, time zone, locale, umask, hash seed, user or file form."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
NAMES = tuple(sorted(path.stem for path in (ROOT / "profiles").glob("*.toml")))


def _hash(
    profile: Path | str,
    *,
    cwd: Path = ROOT,
    before: Callable[[], object] | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    whole = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **(env or {})}
    done = subprocess.run(
        [sys.executable, "-m", "runtime.cli", "hash", "--profile", str(profile)],
        cwd=cwd,
        env=whole,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=before,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def plain() -> dict[str, str]:
    return {name: _hash(name) for name in NAMES}


@pytest.mark.parametrize(
    "env",
    [
        {"HOME": "/nonexistent"},
        {"TZ": "Pacific/Kiritimati"},
        {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "4294967295"},
        {"USER": "somebody", "LOGNAME": "somebody", "SOURCE_DATE_EPOCH": "1"},
        {"HTTPS_PROXY": "http://proxy.invalid:1", "SSL_CERT_FILE": "/nonexistent"},
    ],
    ids=",".join,
)
def test_environment_is_not_seen(plain: dict[str, str], env: dict[str, str]) -> None:
    assert _hash("codex", env=env) == plain["codex"]


def test_both_roads_to_a_task_are_one(plain: dict[str, str]) -> None:
    """`hash --profile NAME` is told apart without invoke's parser; `--profile=NAME` goes through it."""
    argv = [sys.executable, "-m", "runtime.cli", "hash", "--profile=codex"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == plain["codex"]


def test_umask_is_not_seen(plain: dict[str, str]) -> None:
    assert _hash("codex", before=lambda: os.umask(0o077)) == plain["codex"]


def test_folder_is_not_seen(plain: dict[str, str], tmp_path: Path) -> None:
    elsewhere = tmp_path / "project"
    (elsewhere / "profiles").mkdir(parents=True)
    (elsewhere / "deep" / "below").mkdir(parents=True)
    (elsewhere / "profiles" / "codex.toml").write_bytes((ROOT / "profiles" / "codex.toml").read_bytes())
    assert _hash("codex", cwd=elsewhere / "deep" / "below") == plain["codex"]
    assert _hash(elsewhere / "profiles" / "codex.toml", cwd=tmp_path) == plain["codex"]


@pytest.mark.parametrize("name", NAMES)
def test_yaml_says_the_same(plain: dict[str, str], name: str, tmp_path: Path) -> None:
    document = tomllib.loads((ROOT / "profiles" / f"{name}.toml").read_text())
    (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    assert _hash(f"./{name}.yaml", cwd=tmp_path) == plain[name]
    (tmp_path / f"{name}.yml").write_text(json.dumps(document))  # JSON is YAML
    assert _hash(f"./{name}.yml", cwd=tmp_path) == plain[name]


def test_order_of_routes_is_not_seen(plain: dict[str, str], tmp_path: Path) -> None:
    document = tomllib.loads((ROOT / "profiles" / "codex.toml").read_text())
    document["egress"]["routes"].reverse()
    (tmp_path / "codex.yaml").write_text(yaml.safe_dump(document))
    assert _hash("./codex.yaml", cwd=tmp_path) == plain["codex"]


def test_content_is_seen(plain: dict[str, str], tmp_path: Path) -> None:
    """The control: the comparisons above could fail."""
    text = (ROOT / "profiles" / "codex.toml").read_text()
    (tmp_path / "codex.toml").write_text(text.replace('methods = ["GET"]', 'methods = ["GET", "HEAD"]', 1))
    assert _hash("./codex.toml", cwd=tmp_path) != plain["codex"]


def test_committed_bundles_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runtime.cli", "build", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("current") == len(NAMES)
