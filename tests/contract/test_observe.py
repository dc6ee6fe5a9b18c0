"""From a refused request to one that passes, in a real bottle: up --observe, suggest, git apply, up again."""

import json
import stat
import subprocess

import pytest

from tests.contract.arena import Arena, arena  # noqa: F401 - a fixture

_PROFILE = """\
[agent_provider]
template = "shell"

[[egress.routes]]
host = "github.com"
methods = ["GET"]
paths = ["/status/*"]
"""
_ASK = (
    "curl -s -o /dev/null -w '%{http_code} ' 'https://github.com/a/b?secret=query' -H 'x-secret: header';"
    "curl -s -o /dev/null -w '%{http_code} ' https://github.com/status/x;"
    "curl -s -o /dev/null -w '%{http_code} ' https://api.anthropic.com/models; true"
)


@pytest.mark.parametrize("arena", [pytest.param("bubblewrap", marks=pytest.mark.namespaces)], indirect=True)
def test_what_was_refused_passes_after_the_patch(arena: Arena) -> None:  # noqa: F811
    profile = arena.folder / "profiles" / "dev.toml"
    profile.parent.mkdir()
    profile.write_text(_PROFILE)
    up = ("up", "--dev", "--profile", str(profile), "--name", "dev")
    records = arena.state / "bottlegen" / "observed"

    done = arena.bottlegen(*up, "--", "sh", "-c", _ASK)
    assert (done.returncode, done.stdout) == (0, "403 200 000 "), done.stderr
    assert not records.exists(), "nothing is kept of a run that nobody asked to observe"
    assert "no run of profile 'dev' was observed" in arena.bottlegen("suggest", "--profile", str(profile)).stderr

    done = arena.bottlegen(*up, "--observe", "--", "sh", "-c", _ASK)
    assert (done.returncode, done.stdout) == (0, "403 200 000 "), done.stderr
    (record,) = records.iterdir()
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert "secret" not in record.read_text()

    assert arena.bottlegen(*up, "--observe", "--detach", "--", "sleep", "600").returncode == 0
    assert arena.bottlegen("exec", "--name", "dev", "--", "sh", "-c", _ASK).stdout == "403 200 000 "
    assert arena.bottlegen("down", "--name", "dev").returncode == 0
    kept = json.loads(record.read_text())
    assert [(asked["host"], asked["method"], asked["path"], asked["count"]) for asked in kept["denied"]] == [
        ("api.anthropic.com", "", "", 2),
        ("github.com", "GET", "/a/b", 2),
    ]
    assert (kept["runs"], [rule["count"] for rule in kept["rules"]]) == (2, [2])

    patch = arena.bottlegen("suggest", "--profile", str(profile))
    assert patch.returncode == 0, patch.stderr
    assert "apply it in" in patch.stderr
    subprocess.run(["git", "apply", "-"], cwd=arena.folder, input=patch.stdout, text=True, check=True)
    done = arena.bottlegen(*up, "--", "sh", "-c", _ASK)
    assert (done.returncode, done.stdout) == (0, "200 200 404 "), done.stderr
    assert [seen.path for seen in arena.provider.seen if seen.path.startswith("/a/b")] == ["/a/b?secret=query"]
    assert arena.leftovers() == []
