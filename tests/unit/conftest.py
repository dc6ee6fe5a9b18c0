"""Unit tests start no process and reach no socket: an attempt fails the test that makes it."""

import os
import socket
import subprocess
from typing import Never

import hypothesis
import pytest
import urllib3  # noqa: F401 - binds a socket when it is first imported, to learn whether there is IPv6

# How long an example takes is the machine's business.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _no_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> Never:
        pytest.fail("a unit test reached for a process or a socket; such a test belongs elsewhere")

    # On the classes, so that a name imported before is caught too.
    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(subprocess.Popen, "__del__", lambda self: None)
    for method in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, method, refuse)
    for function in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system", "execv", "execve"):
        monkeypatch.setattr(os, function, refuse)
