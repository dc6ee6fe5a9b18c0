"""The audit of what ways out decided outlives the bottle, its writer's death closes them, a full disk is told."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bottlegen.bundle import Bundle
from bottlegen.errors import RuntimeFailure
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime.audit.reading import written
from runtime.audit.runs import Audits, Run
from runtime.base import LaunchSpec, Recording
from tests import live
from tests.contract.arena import Arena
from tests.contract.arena import arena as arena  # noqa: PLC0414 - a fixture
from tests.contract.bottle import Bottle, launch
from tests.engine.bottle import PROFILES

MakeSpec = Callable[..., LaunchSpec]
_HOSTILE = '/user/%1b%5b2J%0a%00%ff%E2%80%AE/../{"seq":1}%22,'


def _writers(folder: Path) -> list[int]:
    """The processes that hold the run's lock."""
    found = []
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if descriptor.readlink() == folder / "writing":
                found.append(int(descriptor.parts[2]))
    return found


def _eventually(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def test_what_was_decided_outlives_the_bottle_and_nobody_can_change_it(arena: Arena) -> None:
    for name in ("one", "two"):
        done = arena.bottlegen("up", "--profile", "shell", "--detach", "--name", name, "--", "sleep", "600")
        assert done.returncode == 0, done.stderr
    audits = Audits(arena.state / "bottlegen" / "audit")
    one, two = (audits.of(arena.bottle(name))[0] for name in ("one", "two"))
    refused = (
        "curl",
        "-sS",
        "--noproxy",
        "*",
        "--path-as-is",
        "-g",
        f"https://api.github.com{_HOSTILE}?q={arena.canary}",
    )
    assert arena.bottlegen("exec", "--name", "one", "--", *refused).returncode == 0
    # What was decided last is on its way when the bottle goes: it is written all the same.
    ended = arena.bottlegen("down", "--name", "one")
    assert (ended.returncode, f"audit kept: {one.folder}" in ended.stdout) == (0, True)
    kept = arena.bottlegen("logs", "--audit", "--json", "--name", "one")
    lines = [json.loads(line) for line in kept.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["begin", "request", "end"]
    assert {line["bottle"] for line in lines} == {arena.bottle("one")}
    # A path that has two readings is refused before any rule is looked at, which no decision says.
    assert (lines[1]["decision"], lines[1]["status"], lines[1]["host"]) == (None, 400, "api.github.com")
    assert "?" not in lines[1]["path"]
    summary = json.loads(arena.bottlegen("audit", "summary", "--json", "--name", "one").stdout)
    assert (summary["requests"], summary["denied"]) == (1, 1)
    head = ended.stdout.partition("head ")[2].split()[0]
    whole = arena.bottlegen("audit", "verify", "--heads", head)
    assert (whole.returncode, whole.stdout.count("egress: whole")) == (0, 2)
    (path,) = one.chains()["egress"]
    path.write_text(path.read_text().replace('"status":400', '"status":200'))
    altered = arena.bottlegen("audit", "verify", "--name", "one")
    assert (altered.returncode, "NOT WHOLE" in altered.stdout, f"{path}:3" in altered.stdout) == (18, True, True)
    # The query is nowhere; test_no_trace_of_the_token looks for what was injected, here too.
    assert live.holding(audits.root, arena.canary.encode()) == []
    _kill_the_writer_and_look(arena, two)


def _kill_the_writer_and_look(arena: Arena, run: Run) -> None:
    ask = ("exec", "--name", "two", "--", "curl", "-sS", "-m", "20", "--noproxy", "*", "https://api.github.com/user")
    assert "no route for GET /user" in arena.bottlegen(*ask).stdout
    (pid,) = _writers(run.folder)
    os.kill(pid, signal.SIGKILL)
    closed: list[str] = []

    def over() -> bool:
        done = arena.bottlegen(*ask)
        closed[:] = [done.stdout + done.stderr]
        return done.returncode != 0

    _eventually(over)
    assert "no route" not in closed[0]
    assert "the way out is closed" in arena.bottlegen("ps").stdout
    assert arena.bottlegen("audit", "verify", "--name", "two").returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 256 kB."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def warning(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The shell's bundle with the other policy."""
    profile = tmp_path_factory.mktemp("profiles") / "shell.toml"
    profile.write_text('on_audit_failure = "warn"\n' + (PROFILES / "shell.toml").read_text())
    return build(load_profile(str(profile)), load_pins())


def _launched(make_spec: MakeSpec, runtime: Any, disk: Path, **changes: Any) -> tuple[Bottle, Run]:
    spec = make_spec(**changes)
    run = Audits(disk / "audit").begin(spec.bottle, spec.session)
    spec = replace(spec, recording=Recording(folder=run.folder, commit="c0ffee", limit=1 << 24))
    launch(spec, runtime)
    runtime.release_agent(spec.bottle)
    return Bottle(spec=spec, runtime=runtime), run


def _fill(disk: Path) -> Path:
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return filler


def _ask(bottle: Bottle) -> tuple[int, str]:
    return bottle.run("curl", "-sS", "-m", "20", "--noproxy", "*", "https://api.github.com/user")


def _ask_until(bottle: Bottle, run: Run, word: str) -> None:
    """What is left of the file's last page still takes some lines."""

    def over() -> bool:
        _ask(bottle)
        return any(word in trouble for trouble in run.troubles())

    _eventually(over, 30)


def test_a_full_disk_closes_the_way_out(make_spec: MakeSpec, runtime: Any, small_disk: Path) -> None:
    bottle, run = _launched(make_spec, runtime, small_disk)
    assert "no route for GET /user" in _ask(bottle)[1]
    _fill(small_disk)
    _ask_until(bottle, run, "the way out is closed")
    assert list(run.troubles()) == [
        "egress: the way out is closed, as the audit cannot be written: No space left on device"
    ]
    _eventually(lambda: _ask(bottle)[0] != 0)
    assert "no route" not in _ask(bottle)[1]
    assert bottle.run("echo", "alive") == (0, "alive\n")
    runtime.remove(bottle.name)
    assert run.settle(5)


def test_a_full_disk_is_a_gap_where_the_profile_says_so(
    make_spec: MakeSpec, runtime: Any, small_disk: Path, warning: Bundle
) -> None:
    bottle, run = _launched(make_spec, runtime, small_disk, bundle=warning)
    filler = _fill(small_disk)
    _ask_until(bottle, run, "the audit is not written")
    assert "no route for GET /user" in _ask(bottle)[1]
    filler.unlink()
    _eventually(lambda: "could not be written" in " ".join(run.troubles()))
    assert "no route for GET /user" in _ask(bottle)[1]
    runtime.remove(bottle.name)
    assert run.settle(5)
    fields = [line.fields for line in written(run, follow=False)]
    gap = next(line for line in fields if line["event"] == "gap")
    noted = run.noted("egress")
    assert noted
    assert (gap["reason"], noted.state, noted.lost >= 1) == ("No space left on device", "ended", True)
    assert fields[-1]["event"] == "end"
    assert {line["commit"] for line in fields} == {"c0ffee"}


def test_no_room_from_the_beginning_is_no_start(make_spec: MakeSpec, runtime: Any, small_disk: Path) -> None:
    spec = make_spec()
    run = Audits(small_disk / "audit").begin(spec.bottle, spec.session)
    _fill(small_disk)
    with pytest.raises(RuntimeFailure, match="No space left on device"):
        launch(replace(spec, recording=Recording(folder=run.folder, commit="", limit=1 << 24)), runtime)


def test_a_sidecar_that_is_killed_leaves_a_whole_chain(make_spec: MakeSpec, runtime: Any, tmp_path: Path) -> None:
    bottle, run = _launched(make_spec, runtime, tmp_path)
    assert "no route for GET /user" in _ask(bottle)[1]
    _eventually(lambda: b'"request"' in run.chains()["egress"][0].read_bytes())
    os.kill(_envoy_of(bottle.name), signal.SIGKILL)
    _eventually(lambda: (noted := run.noted("egress")) and noted.state == "ended")
    events = [line.fields["event"] for line in written(run, follow=False) if line.fields["service"] == "egress"]
    assert events == ["begin", "request", "end"]
    assert _ask(bottle)[0] != 0


def _envoy_of(bottle: str) -> int:
    """By what its process was told: other bottles' run beside it."""
    told = f"BOTTLEGEN_BOTTLE={bottle}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "comm").read_text() == "envoy\n" and told in (process / "environ").read_bytes().split(b"\0"):
                return int(process.name)
    raise AssertionError("no envoy")
