"""The entry script of sidecars by itself: what it runs lives while beats come, and without them as long as it waits."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / "bottlegen" / "images" / "sidecar" / "entry.sh"
_WAIT = 1.0
"""Instead of its 15 seconds, of which it waits twice."""

_MATERIAL = bytes(10240)  # a tar without entries
_CLOSED = "bottlegen: nobody writes the audit: the way out is closed\n"


class Sidecar:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def give(self, text: str) -> float:
        """When this was given."""
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()
        return time.monotonic()

    def let_go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def says(self, line: str) -> bool:
        """Wait for this one; what the shell says of its own before it is passed over."""
        assert self._process.stderr is not None
        return line in self._process.stderr

    def commands(self) -> list[str]:
        """What runs as a child of the script, by name."""
        pid = self._process.pid
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [Path(f"/proc/{child}/comm").read_text().strip() for child in found]


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """One whose command is `tail`, and whose port listens."""
    text = _SCRIPT.read_text()
    assert text.count("read -rt 15") == 2
    script = tmp_path / "entry.sh"
    script.write_text(text.replace("read -rt 15", f"read -rt {_WAIT}"))
    with socket.create_server(("127.0.0.1", 0)) as port:
        process = subprocess.Popen(
            ["sh", str(script), "tail", "-f", "/dev/null"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={"PATH": "/usr/bin:/bin", "BOTTLEGEN_PORT": str(port.getsockname()[1])}, start_new_session=True,
        )  # fmt: skip
        made = Sidecar(process)
        end = threading.Timer(20 * _WAIT, os.killpg, (process.pid, signal.SIGKILL))  # nobody reads for longer than this
        end.start()
        try:
            made.give(f"{len(_MATERIAL)} held\n{_MATERIAL.decode()}")
            assert made.says("bottlegen: ready\n")
            yield made
        finally:
            end.cancel()
            os.killpg(process.pid, signal.SIGKILL)
            with process:
                pass


def test_one_silence_is_borne_and_two_are_the_end(sidecar: Sidecar) -> None:
    last = sidecar.give("\n")
    for pause in (0.3, 0.3, 1.4 * _WAIT):
        time.sleep(pause)
        last = sidecar.give("\n")
        assert "tail" in sidecar.commands(), "the control: it runs while it hears that it is held"
    assert sidecar.says(_CLOSED)
    assert 2 * _WAIT - 0.1 < time.monotonic() - last < 2 * _WAIT + 5
    assert "tail" not in sidecar.commands()


def test_the_end_of_its_input_is_the_end_at_once(sidecar: Sidecar) -> None:
    began = sidecar.give("\n")
    sidecar.let_go()
    assert sidecar.says(_CLOSED)
    assert time.monotonic() - began < _WAIT
    assert "tail" not in sidecar.commands()
