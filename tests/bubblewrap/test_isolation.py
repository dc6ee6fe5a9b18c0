"""What an agent in bubblewrap cannot reach or see, each probe beside a control that reaches it from this host."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bottlegen.bundle import Bundle
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime.base import LaunchSpec
from tests.contract.bottle import Bottle, launch, make_runtime
from tests.engine.bottle import PROFILES, make_folder

PROBES = (Path(__file__).parents[1] / "engine" / "probes.py").read_text()
ANSWER = "probe-answer"
SECRET = "planted-for-the-isolation-test"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return build(load_profile(str(PROFILES / "shell.toml")), load_pins())


@pytest.fixture(scope="module")
def bottle(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bottle]:
    """One for the module: nothing here changes it."""
    folder = tmp_path_factory.mktemp("bottle")
    work = make_folder(folder / "work")
    os.environ["PLANTED"] = SECRET
    try:
        with _up(bundle, folder, work, "isolation") as made:
            yield made
    finally:
        del os.environ["PLANTED"]


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
    """TCP and UDP on every address of this host, both families."""
    tcp, udp = (socket.socket(socket.AF_INET6, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))
    for sock in (tcp, udp):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
    tcp.listen()
    threading.Thread(target=_greet, args=(tcp,), daemon=True).start()
    threading.Thread(target=_echo, args=(udp,), daemon=True).start()
    yield str(tcp.getsockname()[1]), str(udp.getsockname()[1])
    for sock in (tcp, udp):
        sock.close()


def _greet(server: socket.socket) -> None:
    while True:
        try:
            stream, _ = server.accept()
        except OSError:
            return
        stream.sendall(ANSWER.encode())
        stream.close()


def _echo(server: socket.socket) -> None:
    while True:
        try:
            server.sendto(ANSWER.encode(), server.recvfrom(64)[1])
        except OSError:
            return


def test_no_service_and_no_address_of_the_host_is_reached(bottle: Bottle, ports: tuple[str, str]) -> None:
    """Loopback of the host above all: there is none but the bottle's own."""
    listed = json.loads(subprocess.run(["ip", "-json", "address"], check=True, capture_output=True).stdout)
    addresses = [info["local"] for link in listed for info in link["addr_info"] if info["scope"] != "link"]
    assert {"127.0.0.1", "::1"} <= set(addresses)
    probes = [probe for address in addresses for probe in (("tcp", address, ports[0]), ("udp", address, ports[1]))]
    assert len(_reached(_here(PROBES, json.dumps(probes)))) == len(probes)
    assert _reached(_inside(bottle, PROBES, json.dumps(probes))) == set()


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
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        threading.Thread(target=_greet, args=(server,), daemon=True).start()
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


def test_nothing_is_inherited(bottle: Bottle) -> None:
    assert SECRET in _here("import os; print(os.environ)")
    assert SECRET not in _inside(bottle, "import os; print(os.environ)")
    # The fourth is the listing's own.
    assert _inside(bottle, "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))") == "[0, 1, 2, 3]\n"


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
    assert bottle.run("ls", "/etc/shadow", "/etc/ssl/private", "/sys")[0] != 0
    assert bottle.run("getent", "passwd")[1].splitlines()[0] == "root:x:0:0::/root:/bin/sh"


@pytest.mark.parametrize(
    ("attempt", "control"),
    [
        ("echo 1 > /proc/sys/kernel/panic", "cat /proc/sys/kernel/panic"),
        ("mount -t tmpfs none /tmp", "command -v mount"),
        ("unshare -U true", "command -v unshare"),
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


def test_characters_cannot_be_put_into_a_terminal(bottle: Bottle) -> None:
    """TIOCSTI, and sockets past the network namespace (AF_VSOCK); the controls are neighbours of both calls."""
    script = (
        "import fcntl, os, pty, socket, termios\n"
        "ours, theirs = pty.openpty()\n"
        "print(fcntl.ioctl(theirs, termios.TIOCGWINSZ, bytes(8)) == bytes(8))\n"
        "socket.socket(socket.AF_INET).close()\n"
        "for attempt in (lambda: fcntl.ioctl(theirs, termios.TIOCSTI, b'x'), lambda: socket.socket(40, 1)):\n"
        "    try: attempt(); print('done')\n"
        "    except PermissionError as e: print('refused')\n"
    )
    assert _inside(bottle, script) == "True\nrefused\nrefused\n"


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


def test_limits_hold(bottle: Bottle, bundle: Bundle) -> None:
    """Tasks and memory: what is beyond is refused or ends, and the bottle lives on."""
    if os.geteuid() != 0:
        pytest.skip("control groups are root's")
    pids = bundle.manifest.services["agent"].limits.pids
    count = (
        "import os, sys, time\nmade = []\n"
        "try:\n"
        "    while len(made) < int(sys.argv[1]) + 50:\n"
        "        p = os.fork()\n"
        "        if p == 0: time.sleep(60); os._exit(0)\n"
        "        made.append(p)\n"
        "except BlockingIOError: print('refused')\n"
        "[os.kill(p, 9) for p in made]; [os.waitpid(p, 0) for p in made]"
    )
    assert _inside(bottle, count, str(pids)) == "refused\n"
    groups = [Path(path) for path in _groups(bottle)]
    said = {path.name: path.read_text().strip() for group in groups for path in group.glob("*max") if path.is_file()}
    assert str(pids) in said.values()
    assert bottle.run("df", "--output=size", "-B1", "/tmp")[1].split()[1] == str(
        bundle.manifest.services["agent"].tmpfs["/tmp"]
    )


def _groups(bottle: Bottle) -> Any:
    from runtime.bubblewrap import launching

    return launching.groups_of(bottle.runtime._folder(bottle.name), "agent")


def test_the_material_of_the_sidecar_is_in_no_file_of_the_host(bottle: Bottle) -> None:
    folder = bottle.runtime._folder(bottle.name).path
    keys = [path for path in folder.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert keys == []
    (folder / "control").write_bytes(b"-----BEGIN PRIVATE KEY-----")
    assert [path for path in folder.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()] != []
    assert folder.stat().st_mode & 0o077 == 0
