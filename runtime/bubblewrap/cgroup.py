"""Limits of a service as control groups, version 1 or 2, where this user may make any; they go with the bottle."""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Setting:
    """A file of a group and what stands in it; one that is not `needed` may be missing on this kernel."""

    group: Path
    name: str
    value: str
    needed: bool = True


def _settings(groups: Iterable[str], limits: Limits) -> list[_Setting]:
    """What `make` writes and `differences` reads."""
    quota = max(1000, int(limits.cpus * _PERIOD))
    made = [Path(path) for path in groups]
    if _unified():
        (group,) = made
        return [
            _Setting(group, "memory.max", str(limits.memory)),
            _Setting(group, "memory.swap.max", "0", needed=False),
            _Setting(group, "pids.max", str(limits.pids)),
            _Setting(group, "cpu.max", f"{quota} {_PERIOD}"),
        ]
    memory, pids, cpu = made
    return [
        _Setting(memory, "memory.limit_in_bytes", str(limits.memory)),
        _Setting(memory, "memory.memsw.limit_in_bytes", str(limits.memory), needed=False),
        _Setting(memory, "memory.swappiness", "0", needed=False),
        _Setting(pids, "pids.max", str(limits.pids)),
        _Setting(cpu, "cpu.cfs_period_us", str(_PERIOD)),
        _Setting(cpu, "cpu.cfs_quota_us", str(quota)),
    ]


def make(groups: Iterable[str], limits: Limits) -> None:
    """Make what `paths` named, and set its limits."""
    made = [*groups]
    for group in map(Path, made):
        group.parent.mkdir(exist_ok=True)
        if _unified():
            _delegates(group.parent)
        group.mkdir(exist_ok=True)
    for setting in _settings(made, limits):
        with suppress(*(() if setting.needed else (OSError,))):
            (setting.group / setting.name).write_text(setting.value)


def differences(name: str, limits: Limits) -> Iterator[str]:
    """Where the groups of this name hold other limits than `make` set."""
    for setting in _settings(paths(name), limits):
        try:
            has = (setting.group / setting.name).read_text().strip()
        except OSError:
            if setting.needed:
                yield f"{setting.name} is not there"
            continue
        if not _equal(has, setting.value, page=setting.name.startswith("memory.")) and setting.needed:
            yield f"{setting.name} is {has}, not {setting.value}"


def _equal(has: str, wanted: str, *, page: bool) -> bool:
    """The kernel keeps memory in whole pages."""
    size = os.sysconf("SC_PAGE_SIZE")
    return has == wanted or (page and has.isdigit() and int(has) == int(wanted) // size * size)


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
