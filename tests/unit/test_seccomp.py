"""The filter of system calls as the kernel would run it: a small interpreter of the program's own instructions."""

import struct

import pytest

from runtime.bubblewrap import seccomp

ALLOW, REFUSE, ABSENT, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
X86, ARM = 0xC000003E, 0xC00000B7


def judged(program: bytes, number: int, arch: int, *arguments: int) -> int:
    data = struct.pack("<IIQ6Q", number, arch, 0, *(*arguments, *(0,) * (6 - len(arguments))))
    code = list(struct.iter_unpack("=HBBI", program))
    at, value = 0, 0
    while True:
        kind, then, otherwise, k = code[at]
        at += 1
        if kind == 0x20:
            (value,) = struct.unpack_from("<I", data, k)
        elif kind == 0x06:
            return int(k)
        else:
            met = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[kind]
            at += then if met else otherwise


@pytest.mark.parametrize(("machine", "arch"), [("x86_64", X86), ("aarch64", ARM)])
def test_every_named_call_is_refused_and_no_neighbour(machine, arch):
    its = seccomp._MACHINES[machine]
    program = seccomp.program(machine)
    assert len(seccomp.names()) == len(set(its.refused[: len(seccomp.names())]))
    found = {number for number in range(1, 470) if judged(program, number, arch) == REFUSE}
    assert found == set(its.refused)
    assert judged(program, 435, arch) == ABSENT


@pytest.mark.parametrize(
    ("number", "arguments", "wanted"),
    [
        (56, (0x01200011,), ALLOW),  # clone as fork does
        (56, (0x10000011,), REFUSE),  # CLONE_NEWUSER
        (56, (0x40000000,), REFUSE),  # CLONE_NEWNET
        (41, (2, 1), ALLOW),
        (41, (40, 1), REFUSE),  # AF_VSOCK
        (41, (38, 1), REFUSE),
        (16, (0, 0x5413), ALLOW),
        (16, (0, 0x5412), REFUSE),  # TIOCSTI
        (16, (0, 0xFFFFFFFF00005412), REFUSE),  # the kernel looks at the lower half alone
        (16, (0, 0x541C), REFUSE),
        (0x40000000 + 41, (2, 1), REFUSE),  # the x32 table
    ],
)
def test_arguments_are_looked_at(number, arguments, wanted):
    assert judged(seccomp.program("x86_64"), number, X86, *arguments) == wanted


def test_another_machines_calls_end_the_process():
    assert judged(seccomp.program("x86_64"), 1, 0x40000003) == KILL
    with pytest.raises(KeyError):
        seccomp.program("riscv64")
