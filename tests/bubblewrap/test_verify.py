"""`verify` in namespaces: a fresh bottle is green in every row, and each thing broken on purpose turns its own row red.

Root of this host breaks it, from outside: nothing in the bottle could.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bottlegen.bundle import Bundle
from runtime import probes, run_record
from runtime.base import Finding, LaunchSpec, MaterialFile, Run
from runtime.bubblewrap import cgroup, kernel, records
from runtime.bubblewrap.keeper import identity
from runtime.bubblewrap.records import Folder
from runtime.host import Host, HostConfig
from runtime.progress import make_progress
from runtime.start import start
from tests.contract.bottle import ENV, make_runtime
from tests.engine.bottle import make_folder, make_repository

ROOT = Path(__file__).parents[2]
HOST = Host(env={}, home=Path("/nonexistent"), config=HostConfig())

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can break a bottle from outside")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verify")


@pytest.fixture(scope="module")
def runtime(place: Path) -> Iterator[Any]:
    with make_runtime("bubblewrap", place / "state") as made:
        yield made


@pytest.fixture(scope="module")
def run(bundle: Bundle, place: Path, runtime: Any) -> Iterator[Run]:
    """One bottle for all: whatever is broken is mended again. As a later process knows it: read from its record."""
    folder = make_folder(place / "work")
    make_repository(folder)
    spec = LaunchSpec(
        bottle=f"verify-{os.getpid()}", session="s", bundle=bundle, command=("sleep", "600"), tty=False,
        interactive=False, workspace=folder, home=None, base_image="", outside_network="",
        terminal_env=(("TERM", "dumb"),),
    )  # fmt: skip
    try:
        began, _ = start(spec, runtime, HOST, make_progress())
        runtime.release_agent(spec.bottle)
        run_record.save(began, place / "run.json")
        yield run_record.load(place / "run.json", spec.bundle)
    finally:
        runtime.remove(spec.bottle)


@pytest.fixture
def folder(run: Run, place: Path) -> Folder:
    return Folder(place / "state" / "bubblewrap" / run.spec.bottle)


@pytest.fixture
def first(folder: Folder) -> int:
    """The agent's first process, as this host counts it."""
    return int(records.processes(folder.service("agent"))[2]["pid"])


def red(findings: Any) -> set[tuple[str, str]]:
    found: list[Finding] = [*findings]
    return {(each.part, each.check) for each in found if each.state != "equal"}


def wrong(findings: Any) -> list[tuple[str, str, str]]:
    return [(each.part, each.check, each.found) for each in findings if each.state != "equal"]


def _in_mounts(pid: int, *argv: str) -> None:
    """By this host's own programs, with the mounts of the process."""
    subprocess.run(["nsenter", f"--target={pid}", "--mount", "--", *argv], check=True)


def test_a_fresh_bottle_is_green_inside_too(run: Run, runtime: Any) -> None:
    findings = [*runtime.compare(run)]
    assert red(findings) == set(), findings
    assert len(findings) > 25
    assert red(probes.probe(run, runtime, addresses=probes.host_addresses())) == set()


def test_one_more_mount(run: Run, runtime: Any, first: int) -> None:
    _in_mounts(first, "mount", "--bind", "/usr", "/run/bottle")
    try:
        # Its own place is not what it was, either: the same row.
        assert red(runtime.compare(run)) == {("agent", "mounts")}
    finally:
        _in_mounts(first, "umount", "/run/bottle")
    assert red(runtime.compare(run)) == set()


def test_another_folder_in_the_place_of_one(run: Run, runtime: Any, first: int) -> None:
    """Mounted as the other was, and read-only as it."""
    place = "/workspace/.git/hooks"
    _in_mounts(first, "mount", "--bind", "/workspace/.git/refs", place)
    try:
        _in_mounts(first, "mount", "-o", "remount,bind,ro", place)
        (row,) = wrong(runtime.compare(run))
        assert row[:2] == ("agent", "mounts")
        assert row[2].startswith(f"{place} is not '")
        assert row[2].endswith("/.git/hooks' any more")
    finally:
        _in_mounts(first, "umount", place)
    assert red(runtime.compare(run)) == set()


def test_a_mount_that_became_writable(run: Run, runtime: Any, first: int) -> None:
    _in_mounts(first, "mount", "-o", "remount,bind,rw", "/workspace/.git/hooks")
    try:
        assert red(runtime.compare(run)) == {("agent", "mounts")}
    finally:
        _in_mounts(first, "mount", "-o", "remount,bind,ro", "/workspace/.git/hooks")


def test_a_root_that_became_writable(run: Run, runtime: Any, first: int) -> None:
    _in_mounts(first, "mount", "-o", "remount,bind,rw", "/")
    try:
        assert red(runtime.compare(run)) == {("agent", "read-only root")}
    finally:
        _in_mounts(first, "mount", "-o", "remount,bind,ro", "/")


def test_an_interface_in_the_agents_network(run: Run, runtime: Any, first: int) -> None:
    """With no address and no way on: that it is there is enough."""
    enter = ["nsenter", f"--target={first}", "--net", "--", "ip", "link"]
    if subprocess.run([*enter, "add", "verify0", "type", "dummy"], check=False, capture_output=True).returncode:
        subprocess.run([*enter, "add", "verify0", "type", "veth", "peer", "name", "verify1"], check=True)
    try:
        assert red(runtime.compare(run)) == {("agent", "networks")}
    finally:
        subprocess.run([*enter, "del", "verify0"], check=True)
    assert red(runtime.compare(run)) == set()


def test_a_limit_that_was_lifted(run: Run, runtime: Any) -> None:
    if not cgroup.possible():
        pytest.skip("no control groups can be made here")
    group = next(path for path in cgroup.paths(f"{run.spec.bottle}-s-agent") if (Path(path) / "pids.max").exists())
    file = Path(group) / "pids.max"
    had = file.read_text()
    file.write_text("max")
    try:
        assert red(runtime.compare(run)) == {("agent", "limits")}
    finally:
        file.write_text(had)


def test_a_process_that_left_its_control_groups(run: Run, runtime: Any, first: int) -> None:
    if not cgroup.possible():
        pytest.skip("no control groups can be made here")
    own = [Path(path) for path in cgroup.paths(f"{run.spec.bottle}-s-agent")]
    roots = [max((each for each in path.parents if (each / "cgroup.procs").exists()), key=_depth) for path in own]
    try:
        for root in roots:
            (root / "cgroup.procs").write_text(str(first))
        (row,) = wrong(runtime.compare(run))
        assert row[:2] == ("agent", "limits")
        assert row[2] == "; ".join(f"it is not in the control group {path}" for path in own)
    finally:
        for path in own:
            (path / "cgroup.procs").write_text(str(first))
    assert red(runtime.compare(run)) == set()


def _depth(path: Path) -> int:
    return -len(path.parts)


def test_a_bound_of_the_kernel_s_that_is_another(run: Run, runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if: nobody without CAP_SYS_RESOURCE can raise it again."""
    bounds = kernel.bounds
    monkeypatch.setattr(kernel, "bounds", lambda pid: bounds(pid) | {"Max core file size": "unlimited"})
    told = "max core file size is unlimited, not 0"
    assert set(wrong(runtime.compare(run))) == {(part, "limits", told) for part in ("agent", "egress")}


def test_another_filter_of_system_calls(run: Run, runtime: Any, folder: Folder) -> None:
    file = folder.path / "filter"
    had = file.read_bytes()
    file.write_bytes(had[:-8])
    try:
        assert red(runtime.compare(run)) == {("agent", "seccomp"), ("egress", "seccomp")}
    finally:
        file.write_bytes(had)


def test_another_config_in_the_sidecar(run: Run, runtime: Any) -> None:
    config = run.settings["egress"][-1]
    other = MaterialFile(path=config.path, mode=config.mode, data=config.data.replace(b"403", b"200"))
    assert other.data != config.data
    for file, rows in ((other, {("egress", "config")}), (config, set())):
        runtime.place(run.spec.bottle, "egress", [file])
        assert red(runtime.compare(run)) == rows


@pytest.mark.parametrize(
    ("word", "value", "row"),
    [("env", {"GITHUB_TOKEN": "planted"}, "env"), ("argv", ["sh"], "command"), ("limits", [], "limits")],
)
def test_orders_that_are_not_the_bundles(
    word: str, value: Any, row: str, run: Run, runtime: Any, folder: Folder
) -> None:
    file = folder.service("agent") / "launch"
    had = file.read_bytes()
    file.write_text(json.dumps(json.loads(had) | {word: value}))
    try:
        findings = [*runtime.compare(run)]
        assert red(findings) == {("agent", row)}
        assert "planted" not in str(findings)
    finally:
        file.write_bytes(had)


def test_one_variable_more(run: Run, runtime: Any, folder: Folder) -> None:
    file = folder.service("agent") / "launch"
    had = file.read_bytes()
    told = json.loads(had)
    file.write_text(json.dumps(told | {"env": told["env"] | {"GITHUB_TOKEN": "planted"}}))
    try:
        assert wrong(runtime.compare(run)) == [("agent", "env", "'GITHUB_TOKEN' is set, and is not the bundle's")]
    finally:
        file.write_bytes(had)


def test_what_cannot_be_seen_is_not_equal(run: Run, runtime: Any, folder: Folder) -> None:
    file = folder.service("agent") / "launch"
    away = file.rename(file.with_name("launch.away"))
    try:
        unknown = {each.check for each in runtime.compare(run) if each.state == "unknown"}
    finally:
        away.rename(file)
    assert unknown == {"command", "user", "env", "limits"}
    assert red(runtime.compare(run)) == set()


def test_a_bwrap_that_was_started_otherwise(run: Run, runtime: Any, folder: Folder) -> None:
    file = folder.service("agent") / "running"
    had = file.read_text()
    keeper, _, agent = json.loads(had)
    file.write_text(json.dumps([keeper, keeper, agent]))
    try:
        assert wrong(runtime.compare(run)) == [("agent", "command", "bwrap was started otherwise")]
    finally:
        file.write_text(had)


def test_a_door_that_is_none_of_the_bottles(run: Run, runtime: Any, folder: Folder) -> None:
    door = folder.sockets("bottle") / "9901"
    door.touch()
    try:
        assert red(runtime.compare(run)) == {("network bottle", "attached")}
    finally:
        door.unlink()


def test_a_service_that_is_none_of_the_bottles(run: Run, runtime: Any, folder: Folder) -> None:
    extra = folder.path / "services" / "extra"
    extra.mkdir()
    try:
        assert red(runtime.compare(run)) == {("bottle", "parts")}
    finally:
        extra.rmdir()


def test_records_of_another_bottle(run: Run, runtime: Any, folder: Folder) -> None:
    file = folder.path / "bottle.json"
    had = file.read_text()
    file.write_text(json.dumps(json.loads(had) | {"hash": "sha256-other"}))
    try:
        assert red(runtime.compare(run)) == {("bottle", "labels")}
    finally:
        file.write_text(had)


@contextlib.contextmanager
def _in_its_place(folder: Folder) -> Iterator[None]:
    """A process that is no bottle's, written down as the agent's first one."""
    file = folder.service("agent") / "running"
    had = file.read_text()
    process = subprocess.Popen(["sleep", "60"])
    try:
        known = json.loads(had)
        file.write_text(json.dumps([*known[:2], identity(process.pid)]))
        yield
    finally:
        file.write_text(had)
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_process_without_any_wall(run: Run, runtime: Any, folder: Folder) -> None:
    """Everything that the kernel says of it is told apart, each in its row."""
    with _in_its_place(folder):
        rows = red(runtime.compare(run))
    kernel_s = {"user", "mounts", "networks", "limits", "capabilities", "no-new-privileges", "seccomp", "isolation"}
    assert {("agent", row) for row in kernel_s} <= rows
    assert not rows & {("agent", "running"), ("agent", "env"), ("agent", "command")}
    assert {part for part, _ in rows} == {"agent"}


def test_the_task(place: Path) -> None:
    """As typed: its statuses, what it needs of the state directory, and that another hash is not looked past."""
    env = ENV | {"XDG_STATE_HOME": str(place / "task"), "BOTTLEGEN_HOST_CONFIG": str(place / "host.toml")}
    (place / "host.toml").touch()
    work = make_folder(place / "task-work")
    name = f"verify-task-{os.getpid()}"

    def run_task(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "runtime.cli", *words, "--name", name]
        return subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, check=False)

    try:
        begun = run_task("up", "--profile", "shell", "--detach", "--runtime", "bubblewrap", "--workspace", str(work))
        assert begun.returncode == 0, begun.stderr
        fresh = run_task("verify", "--json")
        document = json.loads(fresh.stdout)
        assert (fresh.returncode, document["equal"], document["runtime"]) == (0, True, "bubblewrap")
        assert {row["state"] for row in document["rows"]} == {"equal"}
        record = place / "task" / "bottlegen" / "bottles" / name / "run.json"
        had = record.read_text()
        record.write_text(json.dumps(json.loads(had) | {"command": ["sleep", "61"]}))
        other = run_task("verify", "--no-probes")
        assert (other.returncode, "DIFFERS agent  command" in other.stdout) == (2, True)
        record.unlink()
        gone = run_task("verify")
        assert (gone.returncode, "so how the bottle began is not known" in gone.stderr) == (13, True)
    finally:
        run_task("down", "--purge")
    assert not record.parent.exists()


def test_probes_find_a_resolver_and_an_open_way(run: Run, runtime: Any, first: int) -> None:
    """Addresses that a probe names are the bottle's own loopback for once: what is sent there stays inside of it."""
    enter = ["nsenter", f"--target={first}", "--net", "--", "ip", "address"]
    added = [f"{address}/32" for address in (*probes.OUTSIDE, probes.METADATA[0])]
    for address in added:
        subprocess.run([*enter, "add", address, "dev", "lo"], check=True)
    try:
        assert red(runtime.compare(run)) == set()
        rows = {row for _, row in red(probes.probe(run, runtime, addresses=()))}
    finally:
        for address in added:
            subprocess.run([*enter, "del", address, "dev", "lo"], check=True)
    assert rows >= {"tcp outside", "udp outside", "dns", "metadata"}
    assert rows <= {"tcp outside", "udp outside", "icmp outside", "dns", "metadata"}


def test_a_canary_in_sight_is_found(run: Run, runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a sidecar's memory were the agent's too."""
    place = runtime.place

    def in_sight(bottle: str, service: str, files: list[MaterialFile]) -> None:
        place(bottle, service, files)
        place(bottle, "agent", [MaterialFile(path="/tmp/seen", mode=0o600, data=files[0].data)])

    monkeypatch.setattr(runtime, "place", in_sight)
    assert red(probes.probe(run, runtime, addresses=())) == {(probes.PART, "canary")}


def test_a_protected_file_that_git_replaced_on_the_host(run: Run, runtime: Any) -> None:
    """The kernel takes the mount away with the file that it was on, so the agent can write the new one. Not mended."""
    assert run.spec.workspace
    config = run.spec.workspace / ".git" / "config"
    new = config.with_name("config.new")
    shutil.copy(config, new)
    new.replace(config)
    (wrong,) = [each for each in runtime.compare(run) if each.state != "equal"]
    assert (wrong.part, wrong.check, wrong.found) == ("agent", "mounts", "/workspace/.git/config is not mounted")
    (felt,) = [each for each in probes.probe(run, runtime, addresses=()) if each.state != "equal"]
    assert (felt.check, felt.found) == ("read-only", "/workspace/.git/config can be written")


def test_a_sidecar_that_has_ended(run: Run, runtime: Any, folder: Folder) -> None:
    """The last of the tests: nothing is mended."""
    known = records.processes(folder.service("egress"))
    before = red(runtime.compare(run))
    os.kill(known[0]["pid"], signal.SIGKILL)
    end = time.monotonic() + 10
    while any(map(records.alive, known)) and time.monotonic() < end:
        time.sleep(0.01)
    assert red(runtime.compare(run)) - before == {("egress", "running"), ("egress", "config")}
