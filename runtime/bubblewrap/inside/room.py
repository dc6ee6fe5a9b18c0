"""The inside of a microVM made a bottle: what docker and bubblewrap do from outside, root does here before it is gone.

The agent never has the right to undo any of it; who breaks the guest's kernel does, and then stands before the wall
of the machine.
"""

import ctypes
import os
import shutil
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_READ_ONLY, _NO_SUID, _NO_DEV, _REMOUNT, _BIND = 1, 2, 4, 32, 4096
"""MS_* of mount(2)."""

_DETACH = 2
_SET_SECCOMP, _FILTER, _PDEATHSIG = 22, 2, 1
_SHARED = ("/tmp", "/var/tmp")  # noqa: S108 - paths inside the bottle
_libc = ctypes.CDLL(None, use_errno=True)


def furnish(launch: Mapping[str, Any]) -> None:
    """Memory, names, home, read-only parts, and at last a read-only root; as root, before anything else runs."""
    _leave_only(launch["kept"])
    for path, size in sorted(launch["tmpfs"].items()):
        Path(path).mkdir(parents=True, exist_ok=True)
        mode = "1777" if path in _SHARED else "0700"
        _mount("tmpfs", path, "tmpfs", _NO_SUID | _NO_DEV, f"size={size},mode={mode}")
    for source in sorted(Path(launch["etc"]).iterdir()):
        _replace(Path("/etc", source.name), source)
    for path in launch["trust_links"]:
        link = Path(path)
        if link.parent.is_dir():
            link.unlink(missing_ok=True)
            link.symlink_to(launch["trust"]["into"])
    for path in launch["own"]:
        Path(path).mkdir(parents=True, exist_ok=True)
        _bind(path)
    for path, read_only in launch["pinned"]:
        _bind(path)
        if read_only:
            _mount(None, path, None, _REMOUNT | _BIND | _READ_ONLY)
    _mount(None, "/", None, _REMOUNT | _BIND | _READ_ONLY)


def _leave_only(kept: Sequence[str]) -> None:
    """Take away every mount that the engine left in here for its own use: through its view of the machine's disks an
    agent would reach past all that follows. PermissionError when one stays that can be reached."""
    for path in reversed(_others(kept)):
        _libc.umount2(path.encode(), _DETACH)
    if left := [path for path in _others(kept) if os.path.lexists(path)]:
        raise PermissionError(f"still mounted: {', '.join(left)}")


def _others(kept: Sequence[str]) -> list[str]:
    """Where something is mounted beside the root and `kept`; of some the engine's container shows but the name."""
    found = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [path for path in found if path != "/" and not any(f"{path}/".startswith(f"{own}/") for own in kept)]


def filter_calls(program: bytes) -> None:
    """From here on neither this process nor any that it starts makes the calls that `program` refuses (seccomp(2))."""
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    if _libc.prctl(_SET_SECCOMP, _FILTER, header, 0, 0):
        raise PermissionError("no filter of system calls")


def outlive_parent() -> None:
    """Who started the guest's workload goes away at once, and it is to stay."""
    _libc.prctl(_PDEATHSIG, 0, 0, 0, 0)


def _replace(path: Path, source: Path) -> None:
    """A file of /etc by ours; what is mounted there is written into."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
    shutil.copyfile(source, path)
    path.chmod(0o644)


def _bind(path: str) -> None:
    _mount(path, path, None, _BIND)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    as_bytes = [None if text is None else text.encode() for text in (source, target, kind)]
    if _libc.mount(*as_bytes, ctypes.c_ulong(flags), options.encode() or None):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), target)
