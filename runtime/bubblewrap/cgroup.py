"""Limits of a service as control groups, version 1 or 2, where this user may make any; they go with the bottle."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from bottlegen.manifest import Limits

_ROOT = Path("/sys/fs/cgroup")
_PERIOD = 100_000
_TRIES = 100


def possible() -> bool:
    """Whether limits hold for a whole bottle here; otherwise they are the single process's."""
    if os.geteuid() != 0:
        return False
    if _unified():
        held = (_ROOT / "cgroup.controllers").read_text().split()
        return {"memory", "pids", "cpu"} <= set(held) and _delegates(_ROOT)
    return all(os.access(_ROOT / name, os.W_OK) and (_ROOT / name).is_dir() for name in ("memory", "pids", "cpu"))


def _delegates(folder: Path) -> bool:
    try:
        (folder / "cgroup.subtree_control").write_text("+memory +pids +cpu")
    except OSError:
        return False
    return True


def paths(name: str) -> list[str]:
    """The groups that a service of this name has, in the version that this host mounts."""
    if _unified():
        return [str(_ROOT / "bottlegen" / name)]
    return [str(_ROOT / controller / "bottlegen" / name) for controller in ("memory", "pids", "cpu")]


def _unified() -> bool:
    return (_ROOT / "cgroup.controllers").is_file()


def make(groups: Iterable[str], limits: Limits) -> None:
    """Make what `paths` named, and set its limits."""
    quota = max(1000, int(limits.cpus * _PERIOD))
    made = [Path(path) for path in groups]
    for group in made:
        group.parent.mkdir(exist_ok=True)
        if _unified():
            _delegates(group.parent)
        group.mkdir(exist_ok=True)
    if _unified():
        (group,) = made
        _set(group, "memory.max", limits.memory)
        _set(group, "memory.swap.max", 0, needed=False)
        _set(group, "pids.max", limits.pids)
        _set(group, "cpu.max", f"{quota} {_PERIOD}")
        return
    memory, pids, cpu = made
    _set(memory, "memory.limit_in_bytes", limits.memory)
    _set(memory, "memory.memsw.limit_in_bytes", limits.memory, needed=False)
    _set(memory, "memory.swappiness", 0, needed=False)
    _set(pids, "pids.max", limits.pids)
    _set(cpu, "cpu.cfs_period_us", _PERIOD)
    _set(cpu, "cpu.cfs_quota_us", quota)


def _set(group: Path, name: str, value: object, *, needed: bool = True) -> None:
    with suppress(*(() if needed else (OSError,))):
        (group / name).write_text(str(value))


def remove(groups: Iterable[str]) -> None:
    """Take the groups away; the kernel may need a moment after the last process.

    What is still in them nobody knows by number: bwrap's child, when bwrap was killed before it let it go on.
    """
    for group in map(Path, groups):
        for _ in range(_TRIES):
            try:
                group.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                _end(group)
                time.sleep(0.01)
            else:
                break


def _end(group: Path) -> None:
    with suppress(OSError):
        for pid in (group / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
