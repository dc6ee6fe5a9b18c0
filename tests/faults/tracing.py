"""A task of the command line in a process of its own that tells each step it comes to, and at one of them suffers.

The steps are calls that change something outside of the process: of the engine, of the state directory, of a service.
They are wrapped here, in the test's process alone; what runs is the code as it is.
"""

import contextlib
import importlib
import io
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

from runtime import cli

STEPS = {
    "docker.api.client:APIClient": (
        "create_volume", "create_network", "create_container", "connect_container_to_network", "start", "exec_create",
        "remove_volume", "remove_container", "remove_network",
    ),
    "runtime.docker.streams:Stream": ("send",),
    "runtime.docker.runtime:DockerRuntime": ("wait_ready",),
    "runtime.bubblewrap.records": ("claim", "end", "forget", "sweep"),
    "runtime.bubblewrap.launching": ("begin", "hold"),
    "runtime.bubblewrap.client": ("place",),
    "runtime.bubblewrap.cgroup": ("make", "remove"),
    "runtime.bubblewrap.runtime:BubblewrapRuntime": ("wait_ready",),
    "runtime.workspace": ("binds",),
    "runtime.workspace_users": ("remove_guards",),
    "runtime.workspace_users:WorkspaceUsers": ("begin",),
    "runtime.ca": ("mint",),
    "runtime.state:State": ("make_home", "forget_run"),
    "runtime.up": ("write",),
    "runtime.certificates": ("write",),
    "runtime.observe": ("mark", "collect"),
}  # fmt: skip
"""Where each name is looked up when it is called."""

KILLED = -signal.SIGKILL
_starting = threading.Lock()
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "tests.faults.tracing",
        "invoke.program",
        "docker",
        "runtime.start",
        "runtime.docker",
        "runtime.bubblewrap.runtime",
    ]
)


@dataclass(frozen=True)
class Run:
    """One task: `at` names the step to suffer at, by its count (`APIClient.start 2`); `kills` commands that are run
    there, this very process being killed where there are none. `lives` are terms of certificates, in seconds;
    `ends_after` so many seconds it is killed wherever it is."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path
    at: str = ""
    kills: tuple[str, ...] = ()
    lives: int = 0
    ends_after: float = 0

    def but(self, **changes: Any) -> "Run":
        return replace(self, **changes)


@dataclass(frozen=True)
class Told:
    """How it ended, what it said, and the steps that it came to."""

    status: int
    out: str
    errors: str
    steps: tuple[str, ...]


def run(task: Run, seconds: float = 120) -> Told:
    """Run it to its end; killed if it takes too long, which no task may."""
    name = f"task-{os.getpid()}-{threading.get_ident()}"
    files = {end: task.folder / f"{name}.{end}" for end in ("out", "err", "steps")}
    for file in files.values():
        file.unlink(missing_ok=True)
        file.touch()
    process = _context.Process(target=_task, args=(task, {end: str(path) for end, path in files.items()}))
    with _starting:
        process.start()
        # Else another thread's start would ask how this one ended, and that can be read only once.
        multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]
    if task.ends_after:
        process.join(task.ends_after)
        process.kill()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"{task} did not end: {files['err'].read_text()}")
    out, errors, steps = (file.read_text() for file in files.values())
    return Told(status=process.exitcode, out=out, errors=errors, steps=tuple(steps.splitlines()))


def _task(task: Run, files: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(task.env)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, end in ((1, "out"), (2, "err")):
        os.dup2(os.open(files[end], os.O_WRONLY | os.O_APPEND), number)
    sys.stdin, sys.stdout, sys.stderr = open(0, closefd=False), _text(1), _text(2)  # noqa: SIM115
    sys.argv = ["bottlegen", *task.argv]
    _trace(task, os.open(files["steps"], os.O_WRONLY | os.O_APPEND))
    if task.lives:
        _shorten(task.lives)
    try:
        cli.main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _text(number: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(os.fdopen(number, "wb", closefd=False), write_through=True)


def _shorten(seconds: int) -> None:
    import datetime

    from runtime import ca

    ca.LIVES = ca.Lives(leaf=datetime.timedelta(seconds=seconds), terms=50)


def _trace(task: Run, steps: int) -> None:
    counts: Counter[str] = Counter()
    lock = threading.Lock()

    def come_to(name: str) -> None:
        with lock:
            counts[name] += 1
            step = f"{name} {counts[name]}"
            os.write(steps, f"{step}\n".encode())
            if step != task.at:
                return
            if not task.kills:
                os.kill(os.getpid(), signal.SIGKILL)
            for command in task.kills:
                with contextlib.suppress(OSError):
                    os.system(command)

    for place, names in STEPS.items():
        module, _, inside = place.partition(":")
        owner: Any = importlib.import_module(module)
        owner = getattr(owner, inside) if inside else owner
        for name in names:
            setattr(
                owner, name, _wrapped(getattr(owner, name), f"{inside or module.rpartition('.')[2]}.{name}", come_to)
            )


def _wrapped(call: Callable[..., Any], name: str, come_to: Callable[[str], None]) -> Callable[..., Any]:
    @wraps(call)
    def step(*args: Any, **keywords: Any) -> Any:
        come_to(name)
        return call(*args, **keywords)

    return step
