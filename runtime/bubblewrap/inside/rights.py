"""How a first process gives up its rights: nothing that it starts can have any of them again."""

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Iterable

from runtime.bubblewrap.inside import frames

_PDEATHSIG, _CAPBSET_DROP, _NO_NEW_PRIVS, _AMBIENT = 1, 24, 38, 47
_AMBIENT_CLEAR_ALL = 4
_CAPABILITIES = 64
_VERSION_3 = 0x20080522  # linux/capability.h
_KEPT = (0, 1, 2, frames.LISTENER)
"""Standard streams and the listening socket; every other inherited descriptor but the doors is closed."""

_libc = ctypes.CDLL(None, use_errno=True)


def close_inherited(doors: int = 0) -> None:
    """Close whatever this process was started with and does not know; it knows so many doors."""
    kept = {*_KEPT, *range(frames.DOORS, frames.DOORS + doors)}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are numbers here
        if int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                continue  # the descriptor of this very listing


def give_up(uid: int, gid: int, owned: Iterable[str], limits: Iterable[tuple[int, int]]) -> None:
    """Become `uid` and `gid` after handing over the folders `owned`, and drop every capability.

    `limits` are (resource, bound) pairs of setrlimit(2). PermissionError when any of it does not hold afterwards.
    """
    changes = (os.getuid(), os.getgid()) != (uid, gid)
    if changes:
        for path in owned:
            os.chown(path, uid, gid)
    for number, bound in limits:
        resource.setrlimit(number, (bound, bound))
    for capability in range(_CAPABILITIES):
        _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)
    if changes:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    _libc.prctl(_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    header, none = struct.pack("Ii", _VERSION_3, 0), bytes(24)
    if _libc.capset(header, none) or _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise PermissionError("capabilities cannot be given up")
    # A change of user takes the death signal back.
    _libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise PermissionError("still another user")
