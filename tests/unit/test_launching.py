"""The limits of a process where no control group holds for the whole bottle."""

import os
from resource import RLIMIT_CORE, RLIMIT_DATA, RLIMIT_NPROC

import pytest

from bottlegen.manifest import Limits
from runtime.bubblewrap.launching import rlimits

_LIMITS = Limits(memory=1 << 30, cpus=1.5, pids=100)


@pytest.mark.parametrize(
    ("uid", "grouped", "expected"),
    [
        (0, True, [(RLIMIT_CORE, 0)]),
        (1000, False, [(RLIMIT_CORE, 0), (RLIMIT_NPROC, 100), (RLIMIT_DATA, 1 << 30)]),
        # Root's bottles have no user namespace: 100 would be the number of all processes of that user on this host.
        (0, False, [(RLIMIT_CORE, 0), (RLIMIT_DATA, 1 << 30)]),
    ],
)
def test_what_a_process_carries_alone(
    monkeypatch: pytest.MonkeyPatch, uid: int, grouped: bool, expected: list[tuple[int, int]]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert rlimits(_LIMITS, grouped=grouped) == expected
