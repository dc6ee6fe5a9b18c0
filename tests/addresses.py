"""Outside addresses that are this host's own for a while, so that what a probe sends there cannot leave the machine."""

import contextlib
import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def need_root() -> None:
    """Skip the test that asks: to nobody else `here` can give anything."""
    if os.geteuid() != 0:
        pytest.skip("only root can add addresses to the loopback interface")


@contextlib.contextmanager
def here(*addresses: str) -> Iterator[None]:
    """IPv4 addresses on the loopback interface, for root; tests that run beside each other may want the same ones."""
    with contextlib.ExitStack() as stack:
        for address in addresses:
            stack.enter_context(_one(address))
        yield


@contextlib.contextmanager
def _one(address: str) -> Iterator[None]:
    with Path(tempfile.gettempdir(), f"bottlegen-tests-{address}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        subprocess.run(["ip", "address", "replace", f"{address}/32", "dev", "lo"], check=True)
        try:
            yield
        finally:
            with contextlib.suppress(BlockingIOError):  # another still wants it, and takes it away
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=True)
