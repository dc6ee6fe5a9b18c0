"""What the manifest promises is what the kernel enforces, seen from inside and by breaking against it."""

import os
import re

import pytest

from tests.engine.bottle import OWNER, Bottle

SERVICES = pytest.mark.parametrize("service", ["agent", "egress"])


def _status(bottle: Bottle, service: str) -> dict[str, str]:
    _, text = bottle.run("cat", "/proc/1/status", "/proc/self/status", service=service)
    return dict(re.findall(r"^(\w+):\s*(.*)$", text, re.MULTILINE))


@SERVICES
def test_no_privileges(bottle: Bottle, service: str) -> None:
    status = _status(bottle, service)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    uid = 65532 if service == "egress" else OWNER if os.getuid() == 0 else os.getuid()
    assert status["Uid"].split() == [str(uid)] * 4
    assert status["Groups"].split() in ([], [status["Gid"].split()[0]])


@SERVICES
def test_the_root_is_read_only(bottle: Bottle, service: str) -> None:
    for place in ("/", "/etc", "/usr/bin", "/opt", "/usr/libexec/bottle"):
        status, output = bottle.run("sh", "-c", f"touch {place}/x", service=service)
        assert status != 0, place
        assert "Read-only" in output or "denied" in output
    assert bottle.run("sh", "-c", "touch /tmp/x && rm /tmp/x", service=service) == (0, "")  # the control
    # Not a question of who asks: root of the container, as an engine's owner could be, finds it read-only too.
    assert "Read-only" in bottle.run("touch", "/etc/x", service=service, user="0:0")[1]


@SERVICES
def test_nothing_is_setuid(bottle: Bottle, service: str) -> None:
    find = ["find", "/", "-xdev", "-type", "f", "-perm", "/6000"]
    assert bottle.run(*find, service=service) == (0, "") or bottle.run(*find, service=service)[1].count("denied") > 0
    assert not [line for line in bottle.run(*find, service=service)[1].splitlines() if line.startswith("/")]
    made = "cp /bin/true /tmp/x && chmod 4755 /tmp/x && find /tmp -perm /6000; rm -f /tmp/x"  # the control
    assert bottle.run("sh", "-c", made, service=service)[1] == "/tmp/x\n"


@SERVICES
def test_limits(bottle: Bottle, service: str) -> None:
    limits = bottle.spec.bundle.manifest.services[service].limits
    host = bottle.inspect(service)["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == limits.memory
    assert host["NanoCpus"] == int(min(limits.cpus, bottle.api.info()["NCPU"]) * 1e9)
    assert host["PidsLimit"] == limits.pids
    assert host["LogConfig"]["Config"]["max-size"]
    _, pids = bottle.run(
        "sh", "-c", "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null", service=service
    )
    assert pids.split() == [str(limits.pids)]


def test_memory_beyond_the_limit_kills_what_asked_for_it(bottle: Bottle) -> None:
    """Of the sidecar, whose limit is small enough to fill."""
    limit = bottle.spec.bundle.manifest.services["egress"].limits.memory
    status, _ = bottle.run(
        "sh", "-c", f"head -c {limit * 2} /dev/zero | tail -c {limit * 2} > /dev/null", service="egress"
    )
    assert status in (137, 1, 143, 0)
    if status == 0:
        pytest.fail("twice the limit was taken")


def test_memory_backed_places_are_bounded(bottle: Bottle) -> None:
    status, output = bottle.run(
        "sh", "-c", "head -c 33554432 /dev/zero > /run/egress/x; s=$?; rm -f /run/egress/x; exit $s", service="egress"
    )
    assert status != 0
    assert "No space left" in output
    _, mounts = bottle.run("cat", "/proc/mounts")
    options = {line.split()[1]: (line.split()[2], line.split()[3]) for line in mounts.splitlines()}
    for place in ("/tmp", "/var/tmp", "/run/bottle", "/home/agent"):
        kind, flags = options[place]
        assert kind == "tmpfs"
        assert "size=" in flags
        assert "nosuid" in flags
        assert "nodev" in flags


def test_material_is_closed_to_others(bottle: Bottle) -> None:
    assert bottle.run("stat", "-c", "%a %u", "/run/egress", service="egress") == (0, "700 65532\n")
    status, output = bottle.run("cat", "/run/egress/envoy.json", service="egress", user="1000:1000")
    assert status != 0
    assert "denied" in output


def test_the_agent_sees_no_process_of_the_sidecar(bottle: Bottle) -> None:
    _, processes = bottle.run("ps", "-eo", "args")
    assert "sleep 600" in processes  # the control: the list is real
    assert "envoy" not in processes
    assert "envoy" in bottle.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '", service="egress")[1]


def test_the_agent_has_a_name_a_home_and_tools(bottle: Bottle) -> None:
    uid = OWNER if os.getuid() == 0 else os.getuid()
    assert bottle.run("whoami") == (0, "agent\n")
    assert bottle.run("python3", "-c", f"import pwd; print(pwd.getpwuid({uid}).pw_dir)") == (0, "/home/agent\n")
    for tool in ("git", "curl", "rg", "jq", "ssh", "ps", "bash"):
        assert bottle.run("sh", "-c", f"command -v {tool}")[0] == 0, tool


def test_the_systems_trust_is_roots_and_the_bottles_own(bottle: Bottle) -> None:
    _, own = bottle.run("cat", "/run/bottle/ca.crt")
    for path in ("/etc/ssl/certs/ca-certificates.crt", "/usr/lib/ssl/cert.pem", "/run/bottle/ca-bundle.crt"):
        _, bundle = bottle.run("cat", path)
        assert bundle.endswith(own)
        assert bundle.count("BEGIN CERTIFICATE") > 100


def test_the_main_process_ends_at_once_when_asked(bottle: Bottle) -> None:
    import time

    begun = time.monotonic()
    bottle.api.stop(bottle.container(), timeout=10)
    assert time.monotonic() - begun < 5
