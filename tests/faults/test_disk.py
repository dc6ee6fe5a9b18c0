"""A state directory without space, at a start and under a running bottle: one clear error, nothing left, no harm."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import live
from tests.contract.arena import Arena, arena  # noqa: F401 - a fixture
from tests.faults.tally import Tally, tally  # noqa: F401 - a fixture
from tests.faults.test_kills import clear, digest
from tests.faults.tracing import Run, run

_SIZE = 4 << 20


@pytest.fixture
def small(arena: Arena) -> Iterator[Arena]:  # noqa: F811
    """An arena whose state directory is 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("a file system of its own is mounted by root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=755", "none", arena.state], check=True)
    try:
        yield arena
        arena.down()
    finally:
        subprocess.run(["umount", "-l", arena.state], check=True)


def _fill(state: Path, free: int) -> None:
    """Leave so many bytes; a bottle that runs may take of them meanwhile."""
    filler = state / "filler"
    filler.unlink(missing_ok=True)
    with filler.open("wb", buffering=0) as file:
        while (more := _free(state) - free) > 0:
            try:
                file.write(b"x" * more)  # what fits of it
            except OSError as e:
                if e.errno == errno.ENOSPC:
                    break
                raise


def _free(folder: Path) -> int:
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize


def _task(arena: Arena, folder: Path, *argv: str) -> Run:  # noqa: F811
    return Run(argv=tuple(arena.command(*argv)[3:]), env=arena.env, folder=folder)


def _left(arena: Arena) -> list[str]:  # noqa: F811
    """But for what is kept on purpose: the agent's home, and the audit."""
    files = [path for path in live.files(arena.state) if path.name != "filler"]
    return [*arena.leftovers(), *(str(path) for path in files if not {"home", "audit"} & {*path.parts})]


def test_a_start_without_space_is_one_error_and_leaves_nothing(small: Arena, tally: Tally, tmp_path: Path) -> None:  # noqa: F811
    up = _task(small, tmp_path, "up", "--profile", "codex", "--detach", "--", "sleep", "600")
    down = _task(small, tmp_path, "down", "--name", "codex")
    assert run(up).status == run(down).status == 0, "the control: with space it starts"
    before = digest(small.workspace)
    for free in (0, 4096, 16384, 65536, 131072):
        _fill(small.state, free)
        told = run(up)
        clear(told, f"{free} bytes free")
        assert told.status != 0, f"{free} bytes were enough"
        assert "No space left" in told.errors, told.errors
        left = _left(small)
        tally.left(left)
        assert left == [], f"{free} bytes free"
        tally.ran("starts on a full disk")
        done = run(down)
        assert (done.status, done.errors) == (0, "")
    assert digest(small.workspace) == before


def test_a_disk_that_fills_under_a_bottle(small: Arena, tally: Tally, tmp_path: Path) -> None:  # noqa: F811
    """What it then prints cannot be kept; whatever comes of it, it is closed or works, and `down` needs no space."""
    begun = _task(small, tmp_path, "up", "--profile", "codex", "--detach", "--", "sh", "-c", "while :; do date; done")
    assert run(begun).status == 0
    before = digest(small.workspace)
    _fill(small.state, 0)
    for argv in (("ps",), ("refresh", "--name", "codex"), ("exec", "--name", "codex", "--", "true"), ("logs",)):
        task = _task(small, tmp_path, *argv) if argv != ("logs",) else _task(small, tmp_path, "logs", "--name", "codex")
        told = run(task)
        assert "Traceback" not in told.errors, told.errors
    done = run(_task(small, tmp_path, "down", "--name", "codex"))
    assert (done.status, done.errors) == (0, "")
    left = _left(small)
    tally.left(left)
    assert left == []
    assert digest(small.workspace) == before
    tally.ran("disks that fill under a bottle")
