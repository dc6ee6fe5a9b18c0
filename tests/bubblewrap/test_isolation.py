"""What an agent in bubblewrap cannot reach or see, each probe beside a control that reaches it from this host."""

import contextlib
import errno
import json
import os
import pty
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bottlegen.bundle import Bundle
from runtime.base import LaunchSpec
from runtime.bubblewrap import cgroup
from tests import live
from tests.contract.bottle import Bottle, launch, make_runtime
from tests.engine import listeners
from tests.engine.bottle import make_folder
from tests.engine.listeners import ANSWER, PROBES

SECRET = "planted-for-the-isolation-test"


@pytest.fixture(scope="module")
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a desktop session offers: a D-Bus and an SSH agent, by the variables that lead to them."""
    folder = tmp_path_factory.mktemp("session")
    paths = {name: folder / name for name in ("bus", "agent", "system_bus_socket")}
    servers = [_listening(str(path)) for path in paths.values()]
    yield {
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={paths['bus']}",
        "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={paths['system_bus_socket']}",
        "SSH_AUTH_SOCK": str(paths["agent"]),
    }
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.fixture(scope="module")
def bottle(bundle: Bundle, sockets: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bottle]:
    """One for the module: nothing here changes it. Who starts it has variables and an open file to be inherited."""
    folder = tmp_path_factory.mktemp("bottle")
    work = make_folder(folder / "work")
    planted = folder / SECRET
    planted.touch()
    handle = os.open(planted, os.O_RDONLY)
    os.set_inheritable(handle, True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"PLANTED": SECRET, **sockets}.items():
            patch.setenv(name, value)
        with _up(bundle, folder, work, "isolation") as made:
            yield made
    os.close(handle)


@contextmanager
def _up(bundle: Bundle, folder: Path, work: Path, name: str) -> Iterator[Bottle]:
    spec = LaunchSpec(
        bottle=f"{name}-{os.getpid()}", session=name, bundle=bundle, command=("sleep", "600"), tty=False,
        interactive=False, workspace=work, home=None, base_image="", outside_network="", terminal_env=(),
    )  # fmt: skip
    with make_runtime("bubblewrap", folder / "state") as runtime:
        try:
            launch(spec, runtime)
            runtime.release_agent(spec.bottle)
            yield Bottle(spec=spec, runtime=runtime)
        finally:
            runtime.remove(spec.bottle)


def _inside(bottle: Bottle, script: str, *argv: str) -> str:
    status, output = bottle.run("python3", "-c", script, *argv)
    assert status == 0, output
    return output


def _here(script: str, *argv: str) -> str:
    done = subprocess.run([sys.executable, "-c", script, *argv], capture_output=True, text=True, check=True)
    return done.stdout


def _reached(output: str) -> set[str]:
    return {probe for probe, result in json.loads(output.splitlines()[-1]).items() if result == ANSWER}


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[str, str]]:
    with listeners.ports() as made:
        yield made


def _addresses() -> set[str]:
    """Every address of this host that is in use by now (an IPv6 one is tentative at first, ip-address(8))."""
    listed = json.loads(subprocess.run(["ip", "-json", "address"], check=True, capture_output=True).stdout)
    infos = [info for link in listed for info in link["addr_info"]]
    return {info["local"] for info in infos if info["scope"] != "link" and not info.get("tentative")}


def test_no_service_and_no_address_of_the_host_is_reached(bottle: Bottle, ports: tuple[str, str]) -> None:
    """Loopback of the host above all: there is none but the bottle's own. The control reaches every address but those
    of networks that other tests take away meanwhile."""
    addresses = _addresses()
    assert {"127.0.0.1", "::1"} < addresses
    probes = [probe for address in addresses for probe in (("tcp", address, ports[0]), ("udp", address, ports[1]))]
    from_control, still_there = _reached(_here(PROBES, json.dumps(probes))), _addresses()
    assert {f"{kind} {address} {port}" for kind, address, port in probes if address in still_there} <= from_control
    assert _reached(_inside(bottle, PROBES, json.dumps(probes))) == set()


def _listening(address: str) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen()
    listeners.greet(server)
    return server


def test_there_is_no_way_out_but_the_doors(bottle: Bottle) -> None:
    """No interface, no route, so neither metadata service nor name server nor neighbour."""
    assert bottle.run("cat", "/proc/net/route")[1].count("\n") <= 1
    devices = bottle.run("cat", "/proc/net/dev")[1].splitlines()[2:]
    assert [line.split(":")[0].strip() for line in devices] == ["lo"]
    assert len(Path("/proc/net/dev").read_text().splitlines()) > 3
    probes = [("tcp", "169.254.169.254", "80"), ("icmp", "192.0.2.1", ""), ("dns", "192.0.2.53", "probe.test")]
    found = json.loads(_inside(bottle, PROBES, json.dumps([*probes, ("name", "probe.test", "")])).splitlines()[-1])
    assert {result.split(":")[0] for result in found.values()} <= {"OSError", "gaierror", "PermissionError"}, found
    open_ports = (
        "import socket\nfor port in (*range(1, 1024), 3128, 8080, 9901, 15000):\n"
        "    s = socket.socket()\n    if s.connect_ex(('egress', port)) == 0: print(port)\n    s.close()"
    )
    assert _inside(bottle, open_ports).split() == ["443", "3128"]


def test_no_abstract_socket_of_the_host_is_reached(bottle: Bottle) -> None:
    name = f"bottlegen-test-{os.getpid()}"
    ask = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect('\\0' + sys.argv[1]); print(s.recv(64))"
    with _listening(f"\0{name}") as server:
        assert ANSWER in _here(ask, name)
        assert "ConnectionRefused" in bottle.run("python3", "-c", ask, name)[1]
        server.shutdown(socket.SHUT_RDWR)


def test_processes_of_the_host_are_not_there(bottle: Bottle) -> None:
    """Nor those of the sidecar: neither to see, nor to trace, nor to signal."""
    assert Path(f"/proc/{os.getpid()}/cmdline").exists()
    commands = _inside(
        bottle, "import os\nfor p in os.listdir('/proc'):\n    if p.isdigit(): print(open(f'/proc/{p}/cmdline').read())"
    )
    assert "sleep" in commands
    assert "envoy" not in commands
    assert "pytest" not in commands
    assert b"envoy" in b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())


_HOLDS = """
import contextlib, os
print(os.environ)
for process in filter(str.isdigit, os.listdir("/proc")):
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{process}/fd"):
            with contextlib.suppress(OSError): print(os.readlink(f"/proc/{process}/fd/{number}"))
"""


def test_nothing_is_inherited(bottle: Bottle) -> None:
    """No variable, and no open file: not by the agent, nor by anything beside it; a plain child has both."""
    child = subprocess.run([sys.executable, "-c", _HOLDS], capture_output=True, text=True, check=True, close_fds=False)
    assert [line.rpartition("/")[2] for line in child.stdout.splitlines()].count(SECRET) >= 1
    assert f"'PLANTED': '{SECRET}'" in child.stdout
    assert SECRET not in _inside(bottle, _HOLDS)
    # The fourth is the listing's own.
    assert _inside(bottle, "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))") == "[0, 1, 2, 3]\n"


_SESSION = """
import os, socket, sys
named = [os.environ[n] for n in ("SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS") if n in os.environ]
usual = f"/run/user/{os.getuid()}/bus", "/run/dbus/system_bus_socket", "/run/docker.sock"
for address in (*sys.argv[1:], *named, *usual):
    try:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(1)
        s.connect(address.removeprefix("unix:path="))
        print(s.recv(64).decode())
    except OSError as e: print(type(e).__name__, address)
"""


def test_neither_bus_nor_agent_of_the_users_session_is_reached(bottle: Bottle, sockets: dict[str, str]) -> None:
    """By their variables, by the paths that they have, and where they usually are."""
    assert _here(_SESSION, *sockets.values()).count(ANSWER) >= len(sockets) + 2
    found = _inside(bottle, _SESSION, *sockets.values()).splitlines()
    assert len(found) == len(sockets) + 3  # no variable has come along
    assert {line.split()[0] for line in found} == {"FileNotFoundError"}


_TRACE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for pid in map(int, sys.argv[1:]):
    memory = ctypes.create_string_buffer(64)
    def read():
        place = int(open(f"/proc/{pid}/maps").readline().split("-")[0], 16)
        with open(f"/proc/{pid}/mem", "rb") as file: file.seek(place); assert len(file.read(64)) == 64
    def trace():
        if libc.ptrace(0x4206, pid, 0, 0): raise OSError(ctypes.get_errno(), "PTRACE_SEIZE")
        libc.ptrace(17, pid, 0, 0)
    for name, attempt in (("signal", lambda: os.kill(pid, 0)), ("memory", read), ("trace", trace)):
        try: attempt(); print(name, "done")
        except OSError as e: print(name, type(e).__name__)
"""


def test_the_sidecar_cannot_be_signalled_read_or_traced(bottle: Bottle) -> None:
    """By its number on this host, which leads there from outside; inside the same calls reach a child of one's own."""
    (envoy,) = _processes(bottle, "egress", "envoy")
    done = ["signal done", "memory done", "trace done"]
    assert _here(_TRACE, str(envoy)).splitlines() == done
    own = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); sys.argv = ['', str(p.pid)]\n"
    assert _inside(bottle, own + _TRACE + "\np.kill(); p.wait()").splitlines() == done
    refused = ["signal ProcessLookupError", "memory FileNotFoundError", "trace ProcessLookupError"]
    assert _inside(bottle, _TRACE, str(envoy)).splitlines() == refused


def _processes(bottle: Bottle, service: str, word: str) -> list[int]:
    """Processes below the keeper of a service whose program is called so."""
    known = json.loads((bottle.runtime._folder(bottle.name).service(service) / "running").read_text())
    below, found = {known[0]["pid"]}, []
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, _, rest = path.read_text().partition(" (")
            name, _, fields = rest.rpartition(") ")
            parents[int(pid)] = (int(fields.split()[1]), name)
    while new := {pid for pid, (parent, _) in parents.items() if parent in below} - below:
        below |= new
        found += [pid for pid in new if word in parents[pid][1]]
    return found


def test_the_sidecar_has_no_rights_either(bottle: Bottle) -> None:
    """Its network is this host's; everything else is its own. The control is this process."""
    (envoy,) = _processes(bottle, "egress", "envoy")
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{envoy}/status").read_text().splitlines())
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Uid"].split() == [str(65532 if os.geteuid() == 0 else os.geteuid())] * 4
    shared = [
        name for name in ("net", "pid", "mnt", "ipc", "uts") if _namespace("self", name) == _namespace(envoy, name)
    ]
    assert shared == ["net"]
    assert not Path(f"/proc/{envoy}/root/etc/shadow").exists()
    assert Path("/etc/shadow").exists()


def _namespace(process: object, name: str) -> str:
    return str(Path(f"/proc/{process}/ns/{name}").readlink())


def test_folders_and_sockets_of_the_host_are_not_there(bottle: Bottle) -> None:
    """What is in the bottle's root is counted, so that a new folder of the host cannot slip in."""
    found = set(bottle.run("ls", "-A", "/")[1].split())
    own_python = {Path(sys.base_prefix).resolve().parts[1]}
    system = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "usr"}
    assert found <= system | own_python | {"dev", "etc", "home", "opt", "proc", "run", "tmp", "var", "workspace"}
    sockets = bottle.run("sh", "-c", "find / -xdev -type s 2> /dev/null; find /run -type s")[1].split()
    assert sorted(set(sockets)) == ["/run/doors/3128", "/run/doors/443"]
    assert set(bottle.run("ls", "/run")[1].split()) == {"bottle", "doors"}
    assert set(bottle.run("ls", "/var")[1].split()) == {"tmp"}
    for there in ("/etc/shadow", "/etc/ssl", "/sys/class", "/sys/kernel", "/boot"):
        assert Path(there).exists(), there
    for absent in ("/etc/shadow", "/etc/ssl/private", "/sys", "/sys/kernel", "/boot"):
        assert bottle.run("ls", absent)[0] != 0, absent
    assert bottle.run("getent", "passwd")[1].splitlines()[0] == "root:x:0:0::/root:/bin/sh"


@pytest.mark.parametrize(
    ("attempt", "control"),
    [
        ("rm /run/doors/443", "ls /run/doors/443"),
        ("ln -s x /run/doors/x", "ls -d /run/doors"),
        ("touch /opt/bottle/x", "ls /opt/bottle"),
        ("echo > /opt/bottle/launch.json", "ls /opt/bottle/launch.json"),
        ("touch /opt/agent/bin/x", "ls -d /opt/agent/bin"),
        ("touch /dev/x", "touch /dev/shm/x"),
    ],
)
def test_what_is_not_the_agents_cannot_be_changed(bottle: Bottle, attempt: str, control: str) -> None:
    assert bottle.run("sh", "-c", control)[0] == 0
    assert bottle.run("sh", "-c", attempt)[0] != 0


_TYPES = """
import fcntl, os, pty, socket, sys, termios
if os.fork() == 0:
    os.setsid()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
    print(fcntl.ioctl(theirs, termios.TIOCGWINSZ, bytes(8)) == bytes(8), flush=True)
    for attempt in (lambda: fcntl.ioctl(theirs, termios.TIOCSTI, b"x"), lambda: socket.socket(40, 1)):
        try: attempt(); print("done", flush=True)
        except PermissionError as e: print("refused", flush=True)
        except OSError as e: print(e, flush=True)
    os._exit(0)
os.wait()
"""


def test_characters_cannot_be_put_into_a_terminal(bottle: Bottle) -> None:
    """TIOCSTI, and sockets past the network namespace (AF_VSOCK): both work on this host, where its kernel has them."""
    first, *here = _here(_TYPES).splitlines()
    assert (first, here[0]) == ("True", "done" if _kernel_has_tiocsti() else "[Errno 5] Input/output error")
    assert here[1] in ("done", "[Errno 97] Address family not supported by protocol")
    assert _inside(bottle, _TYPES) == "True\nrefused\nrefused\n"


def _kernel_has_tiocsti() -> bool:
    setting = Path("/proc/sys/dev/tty/legacy_tiocsti")  # since Linux 6.2; absent, it is there
    return not setting.exists() or setting.read_text().strip() == "1" or os.geteuid() == 0


_OPENS_TERMINAL = (
    "import os\ntry: os.open('/dev/tty', os.O_RDWR); print('a terminal')\nexcept OSError as e: print(e.errno)"
)


def test_the_terminal_of_who_started_the_bottle_is_not_the_agents(bottle: Bottle) -> None:
    """A session of its own: a process here has the terminal that it was started on, one inside has none."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n{_OPENS_TERMINAL}"],
            stdin=theirs, capture_output=True, text=True, check=True, start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.stdout == "a terminal\n"
    assert _inside(bottle, _OPENS_TERMINAL) == f"{errno.ENXIO}\n"
    leaders = _inside(bottle, "import os; print(os.getsid(0) == os.getpid(), os.getsid(1))").split()
    assert leaders[0] == "True"


def test_a_setuid_program_in_the_workspace_gives_nothing(bottle: Bottle) -> None:
    assert bottle.spec.workspace
    own = bottle.run("id", "-u")[1].strip()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as outside:
        Path(outside).chmod(0o755)
        programs = (Path(outside, "id"), bottle.spec.workspace / "id")
        for program in programs:
            shutil.copy("/usr/bin/id", program)
            program.chmod(0o4755)
        as_agent = ["setpriv", f"--reuid={own}", "--clear-groups", str(programs[0]), "-u"]
        done = subprocess.run(as_agent, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
    assert bottle.run("/workspace/id", "-u") == (0, f"{own}\n")
    programs[1].unlink()


if os.geteuid() != 0:  # nobody else can make such a program
    del test_a_setuid_program_in_the_workspace_gives_nothing


def test_a_setuid_program_gives_nothing(bottle: Bottle) -> None:
    assert bottle.run("sh", "-c", "ls -l /usr/bin/su | cut -c4")[1] == "s\n"
    assert bottle.run("sh", "-c", "grep NoNewPrivs /proc/self/status")[1].split() == ["NoNewPrivs:", "1"]
    mounts = [line.split() for line in bottle.run("cat", "/proc/self/mounts")[1].splitlines()]
    assert [fields[1] for fields in mounts if fields[2] not in ("proc", "devpts") and "nosuid" not in fields[3]] == []


def test_another_bottle_is_not_reached(bottle: Bottle, bundle: Bundle, tmp_path: Path) -> None:
    serve = (
        "import os, socket\n"
        "s = socket.create_server(('127.0.0.1', 7000))\n"
        "if os.fork() == 0:\n"
        "    os.setsid(); [os.close(n) for n in (0, 1, 2)]\n"
        "    while True: c, _ = s.accept(); c.sendall(b'probe-answer'); c.close()\n"
    )
    probes = json.dumps([("tcp", "127.0.0.1", "7000")])
    work = make_folder(tmp_path / "work")
    with _up(bundle, tmp_path, work, "other") as other:
        _inside(other, serve)
        assert len(_reached(_inside(other, PROBES, probes))) == 1
        assert _reached(_inside(bottle, PROBES, probes)) == set()
        assert other.run("touch", "/tmp/mine")[0] == 0
        assert bottle.run("ls", "/tmp/mine")[0] != 0


_TAKES = """
import mmap, sys
try: taken = mmap.mmap(-1, int(sys.argv[1]), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS); print("taken")
except OSError: print("refused")
"""


def test_limits_hold(bottle: Bottle, bundle: Bundle) -> None:
    """As control groups have them, or each process."""
    limits = bundle.manifest.services["agent"].limits
    if groups := [Path(path) for path in _groups(bottle)]:
        names = (
            "pids.max",
            "memory.max",
            "memory.limit_in_bytes",
            "cpu.max",
            "cpu.cfs_quota_us",
        )  # of versions 2 and 1
        said = [path.read_text().split()[0] for group in groups for name in names if (path := group / name).exists()]
        assert sorted(said) == sorted(map(str, (limits.pids, limits.memory, int(limits.cpus * 100_000))))
    else:  # each process alone, by its data; memory that nobody touches costs this host nothing
        assert _here(_TAKES, str(limits.memory)) == "taken\n"
        assert _inside(bottle, _TAKES, str(limits.memory)) == "refused\n"
        assert _inside(bottle, _TAKES, str(limits.memory // 8)) == "taken\n"
    assert bool(groups) is cgroup.possible()
    assert bottle.run("df", "--output=size", "-B1", "/tmp")[1].split()[1] == str(
        bundle.manifest.services["agent"].tmpfs["/tmp"]
    )


def _groups(bottle: Bottle) -> Any:
    from runtime.bubblewrap import launching

    return launching.groups_of(bottle.runtime._folder(bottle.name), "agent")


def test_the_material_of_the_sidecar_is_in_no_file_of_the_host(bottle: Bottle) -> None:
    folder = bottle.runtime._folder(bottle.name).path
    assert live.holding(folder, b"PRIVATE KEY") == []
    (folder / "control").write_bytes(b"-----BEGIN PRIVATE KEY-----")
    assert live.holding(folder, b"PRIVATE KEY") != []
    assert folder.stat().st_mode & 0o077 == 0
