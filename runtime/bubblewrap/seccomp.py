"""The system calls that no process of a bottle may make, as a filter for the kernel (seccomp(2), classic BPF).

What is left out is what an engine's default profile leaves out too: mounts, namespaces, modules, keys, the kernel's
own tracing, sockets past the network namespace, and putting characters into a terminal's input (TIOCSTI, TIOCLINUX).
"""

import platform
import struct
from dataclasses import dataclass

_ALLOW, _REFUSE, _ABSENT, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24  # struct seccomp_data, little-endian
_X32 = 0x40000000
_NAMESPACES = 0x7E020000
"""CLONE_NEW* of clone(2)."""

_FAMILIES = (40, 38)
"""AF_VSOCK reaches the hypervisor past every network namespace; AF_ALG is attack surface alone."""

_TERMINAL = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX."""


@dataclass(frozen=True, slots=True)
class _Machine:
    audit: int
    clone: int
    socket: int
    ioctl: int
    refused: tuple[int, ...]


_NAMES = (  # noqa: SIM905
    "acct add_key bpf delete_module finit_module fsconfig fsmount fsopen fspick init_module io_uring_enter "
    "io_uring_register io_uring_setup kexec_file_load kexec_load keyctl lookup_dcookie mount mount_setattr "
    "move_mount name_to_handle_at open_by_handle_at open_tree perf_event_open personality pivot_root quotactl reboot "
    "request_key setns settimeofday swapoff swapon syslog umount2 unshare userfaultfd vhangup"
).split()
_X86_64 = (
    163, 248, 321, 176, 313, 431, 432, 430, 433, 175, 426, 427, 425, 320, 246, 250, 212, 165, 442, 429, 303, 304,
    428, 298, 135, 155, 179, 169, 249, 308, 164, 168, 167, 103, 166, 272, 323, 153,
)  # fmt: skip
_AARCH64 = (
    89, 217, 280, 106, 273, 431, 432, 430, 433, 105, 426, 427, 425, 294, 104, 219, 18, 40, 442, 429, 264, 265, 428,
    241, 92, 41, 60, 142, 218, 268, 170, 225, 224, 116, 39, 97, 282, 58,
)  # fmt: skip
_LEGACY_X86_64 = (154, 156, 172, 173, 174, 177, 178, 180, 134, 139, 136)
"""modify_ldt, _sysctl, iopl, ioperm, create_module, get_kernel_syms, query_module, nfsservctl, uselib, sysfs, ustat."""

_CLONE3 = 435
_MACHINES = {
    "x86_64": _Machine(0xC000003E, 56, 41, 16, _X86_64 + _LEGACY_X86_64),
    "aarch64": _Machine(0xC00000B7, 220, 198, 29, _AARCH64),
}


def names() -> tuple[str, ...]:
    return tuple(_NAMES)


def known(machine: str = "") -> bool:
    return (machine or platform.machine()) in _MACHINES


def program(machine: str = "") -> bytes:
    """The filter for this machine's system calls; KeyError for one whose calls are not known."""
    its = _MACHINES[machine or platform.machine()]
    code = [
        *_unless_equal(_ARCHITECTURE, its.audit, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        # A second table of calls with other numbers: none of them.
        *([(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _REFUSE)] if its.audit == 0xC000003E else []),
    ]
    for number in sorted(its.refused):
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    # Its flags are in memory, where no filter sees them; the C library then takes clone.
    code += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ABSENT)]
    code += [(_EQUAL, 0, 4, its.clone), (_LOAD, 0, 0, _FIRST_ARGUMENT), (_ANY_BIT, 0, 1, _NAMESPACES)]
    code += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    code += _arguments(its.socket, _FIRST_ARGUMENT, _FAMILIES)
    code += _arguments(its.ioctl, _SECOND_ARGUMENT, _TERMINAL)
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in code)


def _unless_equal(offset: int, value: int, otherwise: int) -> list[tuple[int, int, int, int]]:
    return [(_LOAD, 0, 0, offset), (_EQUAL, 1, 0, value), (_RETURN, 0, 0, otherwise)]


def _arguments(call: int, offset: int, values: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """Refuse `call` with one of these values; every other use of it is allowed."""
    tests = [line for value in values for line in ((_EQUAL, 0, 1, value), (_RETURN, 0, 0, _REFUSE))]
    return [(_EQUAL, 0, len(tests) + 2, call), (_LOAD, 0, 0, offset), *tests, (_RETURN, 0, 0, _ALLOW)]
