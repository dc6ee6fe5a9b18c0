"""A sidecar out of memory: the kernel ends it, the bottle has no way out and says so, and it is not started again."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from runtime.bubblewrap import cgroup
from tests.contract.arena import Arena, arena  # noqa: F401 - a fixture
from tests.faults.tally import Tally, tally  # noqa: F401 - a fixture

_ASK = "curl -sS -o /dev/null -w '%{http_connect}' --max-time 10 https://not-allowed.test/; true"
_MORE = 1 << 20
_HOG = """
import os, sys
sidecar, group = sys.argv[1:]
open("/proc/self/oom_score_adj", "w").write("-1000")
open(f"{group}/cgroup.procs", "w").write(str(os.getpid()))
taken = []
while os.path.exists(f"/proc/{sidecar}") and len(taken) < 1024:
    taken.append(b"x" * (256 << 10))
"""
"""A process of the host in the sidecar's group: what takes the memory, as the sidecar's own buffers would. The kernel
is told to spare it, and it stops when the sidecar is gone."""


def _envoy(arena: Arena) -> int:  # noqa: F811
    """The sidecar's own process on this host."""
    bottle = arena.bottle("shell")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, env = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        mine = b"envoy.json" in command and f"BOTTLEGEN_BOTTLE={bottle}\0".encode() in env
        if mine and "envoy" in (folder / "comm").read_text():
            return int(folder.name)
    raise AssertionError("no sidecar runs")


def _memory_group(pid: int) -> Path:
    """The group that holds the process's memory limit, of either version of control groups."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return Path("/sys/fs/cgroup/memory" + path)
    (path,) = [path for number, _, path in lines if number == "0"]
    return Path("/sys/fs/cgroup" + path)


def _squeeze(group: Path) -> None:
    """Bring the limit down to just above what is used."""
    if (group / "memory.max").exists():
        used = int((group / "memory.current").read_text())
        (group / "memory.max").write_text(str(used + _MORE))
        return
    used = int((group / "memory.usage_in_bytes").read_text())
    (group / "memory.limit_in_bytes").write_text(str(used + _MORE))
    (group / "memory.memsw.limit_in_bytes").write_text(str(used + _MORE))


def _listed(arena: Arena) -> Iterator[dict[str, object]]:  # noqa: F811
    for entry in json.loads(arena.bottlegen("ps", "--json").stdout):
        if entry["bottle"] in arena.names:
            yield entry


def test_a_sidecar_out_of_memory_is_a_closed_way_out(arena: Arena, tally: Tally) -> None:  # noqa: F811
    done = arena.bottlegen("up", "--profile", "shell", "--detach", "--", "sleep", "600", timeout=300)
    assert done.returncode == 0, done.stderr
    ask = ("exec", "--name", "shell", "--", "sh", "-c", _ASK)
    assert arena.bottlegen(*ask).stdout == "403", "the control: a request is answered"
    sidecar = _envoy(arena)
    group = _memory_group(sidecar)
    own = group not in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory"))
    assert own or not (arena.engine or cgroup.possible()), "a sidecar without a limit of its own"
    if not own:
        return  # as `up` says where this user may make no control groups: there is no limit to run into
    _squeeze(group)
    hog = subprocess.run([sys.executable, "-c", _HOG, str(sidecar), str(group)], check=False, timeout=60)
    assert hog.returncode in (0, -signal.SIGKILL), "it is to end by itself, or with all of the group"
    end = time.monotonic() + 20  # killed, it is there until its parent has heard of it
    while Path(f"/proc/{sidecar}").exists():
        assert time.monotonic() < end, "the sidecar lives"
        time.sleep(0.05)
    assert _closed_and_said(arena, ask)
    time.sleep(1)
    assert _closed_and_said(arena, ask), "it came back, with what credentials?"
    tally.ran("sidecars out of memory")


def _closed_and_said(arena: Arena, ask: tuple[str, ...]) -> bool:  # noqa: F811
    arena.until(lambda: [entry["state"] for entry in _listed(arena)] == ["broken"])
    (entry,) = _listed(arena)
    services = entry["services"]
    assert isinstance(services, dict)
    assert services["egress"] in ("exited", "dead")
    assert services["agent"] == "running"
    assert entry["amiss"] == f"egress {services['egress']}"
    return arena.bottlegen(*ask).stdout == "000"
