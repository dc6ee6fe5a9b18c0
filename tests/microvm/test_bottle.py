"""Bottles in real microVMs: two machines are booted for all that is asked of them, since each takes a while here."""

import fcntl
import os
import pty
import shutil
import signal
import struct
import termios
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bottlegen.errors import RuntimeFailure
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime import probes
from runtime.base import LaunchSpec, MaterialFile, Run
from runtime.bubblewrap import records
from runtime.host import Host, HostConfig
from runtime.progress import make_progress
from runtime.start import start
from tests.attacks import attempts, report, run
from tests.attacks.scene import Scene, fingerprint
from tests.contract.bottle import Bottle, standard_streams
from tests.contract.test_contract import (  # noqa: F401 - run here, on a machine that is booted once
    test_a_refusal_names_the_lines_and_is_in_the_audit,
    test_a_start_is_listed_and_its_agent_is_who_it_should_be,
    test_exec_takes_input_and_gives_status,
    test_limits_and_rights,
    test_material_can_be_placed_again,
    test_material_that_cannot_be_placed_is_an_error,
)
from tests.dataplane.sidecar import envoy_binary
from tests.engine.bottle import git, make_repository
from tests.microvm.bed import AGENT_ROOT
from tests.pretend import PretendProvider

TOKEN = "ghp-not-for-the-guest-8f2b"
_SHELL = '[agent_provider]\ntemplate = "shell"\n'
_PROFILES = {
    "codex": '[agent_provider]\ntemplate = "codex"\nforward_host_credentials = true\n',
    "shell": _SHELL + '[[egress.routes]]\nhost = "api.github.com"\nmethods = ["GET"]\npaths = ["/zen"]\n',
    "login": _SHELL + '[[egress.routes]]\nhost = "github.com"\nauth = { token_ref = "TEST_TOKEN" }\n',
}
_LIMITS = '[resources]\ncpus = 1\nmemory = "512MiB"\npids = 200\n'


@pytest.fixture(scope="module")
def kind() -> str:
    return "smolmachines"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("host")


@pytest.fixture(scope="module")
def provider() -> Iterator[PretendProvider]:
    with PretendProvider() as made:
        yield made


@pytest.fixture(scope="module")
def host(place: Path, provider: PretendProvider) -> Host:
    (place / "ca.pem").write_text(provider.authority.pem)
    address, port = provider.address
    config = HostConfig.model_validate(
        {
            "smolmachines": {"rootfs": AGENT_ROOT},
            "upstream": {
                "ca_file": str(place / "ca.pem"),
                "hosts": dict.fromkeys(("github.com", "chatgpt.com"), f"{address}:{port}"),
            },
        }
    )
    env = {**os.environ, "XDG_STATE_HOME": str(place / "state"), "XDG_CACHE_HOME": str(place / "cache")}
    return Host(env=env | {"TEST_TOKEN": TOKEN, "CODEX_HOME": str(place / "codex")}, home=place, config=config)


@pytest.fixture(scope="module")
def runtime(host: Host, engine_s_folders: None) -> Iterator[Any]:
    from runtime.smolmachines.runtime import SmolmachinesRuntime

    made = SmolmachinesRuntime(host)
    yield made
    for status in made.list():
        made.remove(status.bottle)
    assert made.list() == ()


@pytest.fixture(scope="module")
def engine_s_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What each test sees of the engine, a fixture of the module does too: its records, and the bed's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XDG_CACHE_HOME", raising=False)
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / "xdg" / "xdg_data_home"))
        patch.setattr("runtime.start.READY_SECONDS", 300)  # both start at once, on processors that are emulated
        patch.setattr("runtime.smolmachines.runtime._PATIENCE", 300)
        yield


_RUNS: dict[str, Run] = {}
"""What `start` gave, by bottle."""


def launched(name: str, profile: str, runtime: Any, host: Host, **change: Any) -> Bottle:
    path = host.home / f"{profile}.toml"
    path.write_text(_PROFILES[profile] + _LIMITS)
    bundle = build(load_profile(str(path)), load_pins())
    _have_envoy(bundle, host)
    values: dict[str, Any] = {
        "bottle": name, "session": f"s-{name}", "bundle": bundle, "command": ("sleep", "6000"), "tty": False,
        "interactive": True, "workspace": None, "home": None, "base_image": "", "outside_network": "",
        "terminal_env": (),
    }  # fmt: skip
    spec = LaunchSpec(**(values | change))
    begun = time.monotonic()
    _RUNS[name] = _started(spec, runtime, host)
    print(f"bottle {name} is at its gate after {time.monotonic() - begun:.1f} s")
    return Bottle(spec=spec, runtime=runtime)


def _started(spec: LaunchSpec, runtime: Any, host: Host) -> Run:
    """A machine within an emulated one stands still at times, of which no start can know the reason: then another is
    booted, once, and the report of the tests says so. The failed start has to have left nothing all the same."""
    try:
        return start(spec, runtime, host, make_progress())[0]
    except RuntimeFailure as e:
        if "nothing was heard of the machine's first process" not in str(e):
            raise
        assert spec.bottle not in {status.bottle for status in runtime.list()}
        warnings.warn(f"machine '{spec.bottle}' was booted twice: {e.problems[0].what}", stacklevel=2)
    return start(spec, runtime, host, make_progress())[0]


def _have_envoy(bundle: Any, host: Host) -> None:
    """The bed's own Envoy where the pinned one would be unpacked: the same, without minutes of unpacking."""
    from runtime.bubblewrap.binaries import _name, _own_files, pinned

    artifacts = pinned(bundle, "egress")
    folder = host.cache / "programs" / _name(artifacts, _own_files(bundle, "egress"))
    target = folder / next(iter(artifacts[0].members.values()))
    if not target.exists():
        target.parent.mkdir(parents=True)
        (folder / "agent" / "bin").mkdir(parents=True)
        binary = envoy_binary()
        assert binary
        shutil.copy(binary, target)


@pytest.fixture(scope="module")
def folder(place: Path) -> Path:
    made = place / "work"
    made.mkdir()
    make_repository(made)
    return made


@pytest.fixture(scope="module")
def bottle(runtime: Any, host: Host, folder: Path) -> Bottle:
    made = launched("one", "shell", runtime, host, workspace=folder)
    runtime.release_agent("one")
    return made


def test_its_kernel_is_its_own(bottle: Bottle) -> None:
    status, release = bottle.run("uname", "-r")
    assert (status, release.strip() != os.uname().release) == (0, True)


def test_nothing_of_the_engine_s_disks_is_left_in_it(bottle: Bottle) -> None:
    """Through its own view of them the engine's container could write what is read-only in the workspace."""
    mounts = [line.split() for line in bottle.run("cat", "/proc/mounts")[1].splitlines()]
    reached = {mount[1] for mount in mounts if bottle.run("test", "-e", mount[1])[0] == 0}
    folders = (
        "proc",
        "dev",
        "sys",
        "workspace",
        "home/agent",
        "opt/bottle",
        "opt/agent",
        "run/bottle",
        "tmp",
        "var/tmp",
    )
    own = tuple(f"/{each}/" for each in folders)
    assert [path for path in reached if path != "/" and not f"{path}/".startswith(own)] == []
    assert "/workspace/.git/config" in reached
    assert bottle.run("sh", "-c", "find /storage /run/smolvm -mindepth 1 ! -name init 2>/dev/null")[1] == ""


def test_what_git_on_the_host_would_run_is_read_only(bottle: Bottle, folder: Path) -> None:
    for change in ("echo x > .git/hooks/pre-commit", "echo x >> .git/config", "mv .git/hooks .git/h", "mv .git x"):
        assert bottle.run("sh", "-c", f"cd /workspace && {change}")[0] != 0, change
    commit = "cd /workspace && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m inside"
    assert bottle.run("sh", "-c", commit)[0] == 0
    assert git(folder, "log", "-1", "--format=%s") == "inside\n"


_PROBE = r"""
import errno, socket
def tcp(address, port, family=socket.AF_INET):
    with socket.socket(family) as s:
        s.settimeout(8)
        try:
            s.connect((address, port))
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return "reached" if s.recv(1) else "closed"
        except OSError as e:
            return errno.errorcode.get(e.errno, str(e))
def udp(address, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        try:
            s.sendto(b"\x12\x34\1\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1", (address, port))
            return "answered " + str(s.recv(512)[3] & 15)
        except OSError as e:
            return errno.errorcode.get(e.errno, str(e))
print("egress", tcp("198.51.100.1", 3128))
print("other port", tcp("198.51.100.1", 22))
print("control", tcp("198.51.100.1", 2))
print("gateway", tcp("100.96.0.1", HOSTPORT))
print("public", tcp("192.0.2.7", 80))
print("metadata", tcp("169.254.169.254", 80))
print("ipv6", tcp("2001:db8::1", 80, socket.AF_INET6))
print("dns", udp("100.96.0.1", 53))
print("public dns", udp("192.0.2.53", 53))
try:
    socket.socket(40, socket.SOCK_STREAM); print("vsock made")
except OSError as e:
    print("vsock", errno.errorcode[e.errno])
"""


def test_verify_finds_it_as_it_should_be_and_a_sidecar_that_is_not(bottle: Bottle) -> None:
    """On real machines: what the engine tells of one, this host of the rest, and the guest of the ways out."""
    run, runtime = _RUNS[bottle.name], bottle.runtime
    findings = [*runtime.compare(run)]
    assert [each for each in findings if each.state != "equal"] == []
    assert {"machine", "agent", "egress", "bottle"} <= {each.part for each in findings}
    felt = probes.probe(run, runtime, addresses=(*probes.host_addresses(), "100.96.0.1"))
    print(*felt, sep="\n")
    assert [each for each in felt if each.state != "equal"] == []
    config = run.settings["egress"][-1]
    for data, wrong in ((config.data + b" ", [("egress", "config")]), (config.data, [])):
        runtime.place(bottle.name, "egress", [MaterialFile(path=config.path, mode=config.mode, data=data)])
        assert [(each.part, each.check) for each in runtime.compare(run) if each.state != "equal"] == wrong


@pytest.fixture(scope="module")
def tried(bottle: Bottle, place: Path, folder: Path) -> Mapping[str, run.Ended]:
    """All attempts on a microVM at once, for starting a program is slow here."""
    made = Scene(bottle=bottle, net=None, kind="microvm", folder=place, work=folder, before=fingerprint(folder))
    begun = time.monotonic()
    ended = run.run(made, attempts.attempts(attempts.MICROVM))
    print(f"attempts took {time.monotonic() - begun:.1f} s")
    return ended


@pytest.mark.parametrize(
    "attempt", [pytest.param(attempt, id=attempt.id) for attempt in attempts.attempts(attempts.MICROVM)]
)
def test_attempt(tried: Mapping[str, run.Ended], attempt: attempts.Attempt, record_property: report.Record) -> None:
    ended, control = tried[attempt.name], tried[attempt.control.name]
    record_property(report.PROPERTY, report.line(attempt, attempts.MICROVM, ended, control))
    assert control.through, control
    assert run.as_expected(attempt, ended), ended


def test_only_the_egress_is_reached(bottle: Bottle, provider: PretendProvider) -> None:
    """The gateway's address stands for this host's loopback, on which something listens."""
    probe = _PROBE.replace("HOSTPORT", str(provider.address[1]))
    said = dict(line.rsplit(" ", 1) for line in bottle.run("python3", "-c", probe)[1].splitlines())
    assert said.pop("egress") == "reached"  # the positive control
    assert "reached" not in said.values()
    assert said["vsock"] == "EPERM"
    assert said["dns answered"] in ("3", "5") if "dns answered" in said else said["dns"] != "answered"
    audit = b"".join(bottle.runtime.logs("one", "egress", follow=False)).decode()
    assert '"port": 22' in audit
    assert "192.0.2.7:80" in audit


def test_a_terminal_is_one(bottle: Bottle) -> None:
    """Size, a change of it, an interrupt and the status reach through both kernels."""
    pid, master = pty.fork()
    if pid == 0:
        command = ["sh", "-c", "stty size; trap 'stty size; exit 9' INT; echo go; while :; do sleep 0.1; done"]
        os._exit(bottle.runtime.exec("one", command, tty=True, env={"TERM": "xterm"}))
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
    os.kill(pid, signal.SIGWINCH)
    seen = b""
    while b"go" not in seen:
        seen += os.read(master, 1000)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 150, 0, 0))
    os.kill(pid, signal.SIGWINCH)
    time.sleep(2)
    os.write(master, b"\x03")
    while b"50 150" not in seen:
        seen += os.read(master, 1000)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    os.close(master)


def test_a_second_bottle_beside_it_has_its_credential_added_outside(
    bottle: Bottle, runtime: Any, host: Host, provider: PretendProvider
) -> None:
    ask = "env; cat; curl -sS https://github.com/who; echo; echo complaint >&2; exit 7"
    second = launched("two", "login", runtime, host, command=("sh", "-c", ask))
    assert bottle.state() == second.state() == "running"
    with standard_streams(b"x" * 200_000) as streams:
        assert runtime.attach("two", release=True) == 7
    out, err = streams
    assert b"x" * 200_000 in out
    assert b"pretend github.com" in out
    assert b"complaint" in err
    (seen,) = provider.to("github.com")
    assert seen.header("authorization") == f"Bearer {TOKEN}"
    assert TOKEN.encode() not in out + err
    _until(lambda: second.state() == "stopped")
    assert b"complaint" in b"".join(runtime.logs("two", "agent", follow=False))
    folder = runtime._folder("two")  # as if somebody had removed the state directory of a host that crashed
    records.end(folder, "two")
    shutil.rmtree(folder.path)
    (orphan,) = (status for status in runtime.list() if status.bottle == "two")
    assert (orphan.state, "egress missing" in orphan.amiss) == ("broken", True)
    assert runtime.remove("two") is True
    assert runtime.remove("two") is False
    assert (bottle.state(), second.state()) == ("running", "")


def test_a_start_that_is_killed_in_the_middle_leaves_nothing(runtime: Any, host: Host) -> None:
    """While the machine boots, with no chance to undo anything: monitor, sidecars and interceptor are found again."""
    from runtime.smolmachines import engine, machine

    pid = os.fork()
    if pid == 0:
        launched("three", "shell", runtime, host)
        os._exit(0)
    _until(lambda: engine.machines(machine.selects("three")))
    time.sleep(2)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert [status.state for status in runtime.list() if status.bottle == "three"] == ["broken"]
    assert runtime.remove("three") is True
    assert runtime.remove("three") is False
    _until(lambda: _processes_of("three") == [])


def _processes_of(bottle: str) -> list[str]:
    """Command lines that name the bottle or its machine, but for this very process's."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().decode(errors="replace")
            if f"/{bottle}/" in words or f"bottlegen-{bottle}" in words:
                found.append(words)
    return found


def test_without_its_interceptor_it_reaches_nothing(bottle: Bottle, runtime: Any) -> None:
    """Last of all, for the bottle is of no use afterwards: what it says then can only be read from its workspace."""
    work = bottle.spec.workspace
    assert work
    loop = "while :; do curl -sS -m 5 http://egress:3128/ >/dev/null 2>&1; echo $? >> /workspace/tried; sleep 0.2; done"
    asking = threading.Thread(target=bottle.run, args=("sh", "-c", loop), daemon=True)
    asking.start()
    tried = work / "tried"
    _until(lambda: tried.exists() and "0" in tried.read_text().split())
    folder = runtime._folder("one")
    for process in records._read(folder.service("agent") / "running"):
        records._kill(process)
    asking.join(20)
    _until(lambda: bottle.state() != "running")
    before = len(tried.read_text().split())
    _until(lambda: len(tried.read_text().split()) > before + 3)
    assert "0" not in tried.read_text().split()[before + 1 :]
    assert runtime.remove("one") is True
    assert runtime.list() == ()


def _until(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.2)
