"""A docker engine of a test's own, in namespaces of its own: it can be ended and begun, and no other engine notices.

Its network is apart because an engine that begins empties the packet filter's chains, which are named alike in every
engine; its processes and mounts because with the first process of their namespace all of them end.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import docker

_SIZE = "4g"
_SECONDS = 60
_BOX = """
set -e
mount -t tmpfs -o size=$1 none "$2"
for place in /run/docker /run/containerd; do mkdir -p $place; mount -t tmpfs none $place; done
ip link set lo up
echo ready
exec "$3" -c 'import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); signal.pause()'
"""
"""Its first process: data in memory, no sight of another engine's sockets, and whoever loses a parent is reaped."""


class OwnEngine:
    """`pid` is the engine's own process while it runs."""

    def __init__(self, folder: Path, box: int) -> None:
        self.folder, self.box = folder, box
        self.cgroup = folder.name
        self.host = f"unix://{folder}/docker.sock"
        self.pid = 0
        self._engine: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin it on what it left; it answers when this returns."""
        data = self.folder / "data"
        command = [
            *("nsenter", f"--target={self.box}", "--net", "--mount", "--pid"),
            *("dockerd", f"--host={self.host}", f"--pidfile={data}/pid", f"--config-file={self.folder}/daemon.json"),
            *(f"--data-root={data}/root", f"--exec-root={data}/exec", "--bridge=none", "--storage-driver=overlay2"),
            *("--default-address-pool=base=10.213.0.0/16,size=24", f"--cgroup-parent=/{self.cgroup}"),
            "--exec-opt=native.cgroupdriver=cgroupfs",
        ]
        with (self.folder / "log").open("ab") as log:
            self._engine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        _until(self._answers, self._said)
        (self.pid,) = _children(self._engine.pid)

    def _answers(self) -> bool:
        assert self._engine is not None
        assert self._engine.poll() is None, self._said()
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.folder / "docker.sock")):
                return False
        with self.client() as client:
            return bool(client.ping())

    def _said(self) -> str:
        return (self.folder / "log").read_text()[-3000:]

    def end(self, number: signal.Signals) -> None:
        """With this signal, and wait for it."""
        os.kill(self.pid, number)
        self.wait()

    def runs(self) -> bool:
        return self._engine is not None and self._engine.poll() is None

    def wait(self) -> None:
        assert self._engine is not None
        self._engine.wait(_SECONDS)

    @contextmanager
    def client(self) -> Iterator[docker.DockerClient]:
        made = docker.DockerClient(base_url=self.host, timeout=_SECONDS)
        try:
            yield made
        finally:
            made.close()

    def load(self, images: Sequence[str]) -> None:
        """Images of the engine that all tests share."""
        load = ["docker", "--host", self.host, "load", "--quiet"]
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as save:
            subprocess.run(load, stdin=save.stdout, stdout=subprocess.DEVNULL, check=True, timeout=300)
        assert save.returncode == 0


def why_not() -> str:
    """Empty where this machine can run an engine of its own."""
    missing = [name for name in ("dockerd", "unshare", "nsenter", "setpriv", "ip") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        return f"an engine of the test's own needs root and {', '.join(missing) or 'nothing else'}"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f"root may not make namespaces here: {tried.stderr}" if tried.returncode else ""


@contextmanager
def own_engine() -> Iterator[OwnEngine]:
    """Runs when this yields; whatever happens then, nothing of it is left."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="bottlegen-engine-", dir="/tmp"))  # short: a socket's path has 108 bytes
        stack.callback(shutil.rmtree, folder)
        stack.callback(_remove_groups, folder.name)
        (folder / "data").mkdir()
        (folder / "daemon.json").write_text("{}")
        command = [
            *("setpriv", "--pdeathsig", "KILL"),  # gone with this process, however that ends
            *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=slave"),
            *("sh", "-c", _BOX, "box", _SIZE, str(folder / "data"), sys.executable),
        ]
        box = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        )
        stack.callback(box.kill)
        assert box.stdout is not None
        assert box.stdout.readline() == "ready\n", "no namespaces for an engine"
        (first,) = _children(box.pid)
        made = OwnEngine(folder, first)
        stack.callback(_end_all, made)
        made.start()
        yield made


def _end_all(engine: OwnEngine) -> None:
    """The namespace's first process, and with it all others; the kernel takes mounts and networks with the last."""
    os.kill(engine.box, signal.SIGKILL)
    engine.wait()
    _until(lambda: not Path(f"/proc/{engine.box}").exists(), lambda: "processes of the engine do not end")


def _remove_groups(name: str) -> None:
    for group in [*Path("/sys/fs/cgroup").glob(name), *Path("/sys/fs/cgroup").glob(f"*/{name}")]:
        for below, _, _ in os.walk(group, topdown=False):
            Path(below).rmdir()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    end = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.05)
