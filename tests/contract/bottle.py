"""A bottle of any runtime, seen through runtime.base.Runtime alone."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtime.base import LaunchSpec, Runtime
from runtime.host import Host, HostConfig
from runtime.progress import make_progress
from runtime.start import start

ENV = dict(os.environ)
# Read before the fixtures hide it: a download of this size is made once per machine, not per run.
CACHE = Path(ENV.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bottlegen"


@contextmanager
def make_runtime(kind: str, state: Path) -> Iterator[Any]:
    if kind == "docker":
        from runtime.docker import DockerRuntime

        docker = DockerRuntime(ENV, CACHE, state=state)
        try:
            yield docker
        finally:
            docker.close()
    elif kind == "bubblewrap":
        from runtime.bubblewrap.runtime import BubblewrapRuntime

        yield BubblewrapRuntime(ENV, CACHE, state)
    else:
        with pretend_machines(state) as machines:
            yield machines


@contextmanager
def pretend_machines(state: Path) -> Iterator[Any]:
    """The smolmachines runtime on a pretend engine; tests/microvm has the true one."""
    if os.geteuid() != 0:
        pytest.skip("pretend machines are made by root")
    pytest.importorskip("smol", reason="smolmachines has no wheel for this platform")
    from runtime.smolmachines.runtime import SmolmachinesRuntime

    settings = HostConfig.model_validate({"smolmachines": {"rootfs": "/"}})
    host = Host(env=ENV | {"XDG_STATE_HOME": str(state)}, home=Path("/nonexistent"), config=settings)
    from runtime.smolmachines import engine, preflight
    from tests.smolmachines.pretend import Engine

    state.mkdir(exist_ok=True, parents=True)
    with pytest.MonkeyPatch.context() as patch:
        pretend = _ENGINES.setdefault(state, Engine(state))
        for name in ("create", "machines", "delete", "denials"):
            patch.setattr(engine, name, getattr(pretend, name))
        patch.setattr(preflight, "problems", lambda *_: [])
        patch.setattr("runtime.smolmachines.runtime._FILES", 1024)  # a guest's root may raise it, this host's need not
        yield SmolmachinesRuntime(host)


_ENGINES: dict[Path, Any] = {}
"""By the state directory: two runtimes on one host meet the same machines."""


def launch(spec: LaunchSpec, runtime: Runtime) -> None:
    start(spec, runtime, Host(env={}, home=Path("/nonexistent"), config=HostConfig()), make_progress())


@contextmanager
def standard_streams(data: bytes, *, slowly: bool = False) -> Iterator[list[bytes]]:
    """This process's stdin holds `data`; what goes to its stdout and stderr is in the list afterwards, read `slowly`
    by one who is late and takes little at a time."""
    kept = [os.dup(number) for number in (0, 1, 2)]
    source, sink = os.pipe()
    reads = {1: os.pipe(), 2: os.pipe()}
    found: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
    for number, descriptor in ((0, source), (1, reads[1][1]), (2, reads[2][1])):
        os.dup2(descriptor, number)
        os.close(descriptor)
    threads = [threading.Thread(target=_collect, args=(reads[number][0], found[number], slowly)) for number in (1, 2)]
    threads.append(threading.Thread(target=_pour, args=(sink, data)))
    for thread in threads:
        thread.start()
    result: list[bytes] = []
    try:
        yield result
    finally:
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)
        for thread in threads:
            thread.join()
        result += [bytes(found[1]), bytes(found[2])]


def _collect(descriptor: int, into: bytearray, slowly: bool) -> None:
    time.sleep(0.5 if slowly else 0)
    while data := os.read(descriptor, 4096 if slowly else 65536):
        into += data
        time.sleep(0.001 if slowly else 0)
    os.close(descriptor)


def _pour(descriptor: int, data: bytes) -> None:
    with suppress(BrokenPipeError):
        while data:
            data = data[os.write(descriptor, data) :]
    os.close(descriptor)


@dataclass
class Bottle:
    """A running bottle of the shell profile."""

    spec: LaunchSpec
    runtime: Any

    @property
    def name(self) -> str:
        return self.spec.bottle

    def run(self, *argv: str, data: bytes = b"") -> tuple[int, str]:
        """Exit status and what a command in the bottle prints, errors last."""
        with standard_streams(data) as streams:
            status = self.runtime.exec(self.name, list(argv), tty=False, env={})
        return status, b"".join(streams).decode()

    def state(self) -> str:
        """As `ps` shows it; empty when it is gone."""
        return next((status.state for status in self.runtime.list() if status.bottle == self.name), "")


def kill_in_the_middle(argv: list[str], env: dict[str, str], seconds: float) -> None:
    """Start the command, and kill it with no chance to undo anything."""
    process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()


def task(*argv: str) -> list[str]:
    return [sys.executable, "-m", "runtime.cli", *argv]
