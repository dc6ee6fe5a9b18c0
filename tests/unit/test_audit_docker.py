"""The audit of docker's bottles where no engine is needed: frames of a stream, beats, engines that cannot be."""

import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from runtime.audit.writer import Writer
from runtime.base import LaunchSpec
from runtime.docker.engine import Engine
from runtime.docker.holder import BEAT, READY, Holder, Sidecar
from runtime.docker.runtime import DockerRuntime

_OUT, _ERR = 1, 2
_ENTRY = Path(__file__).parents[2] / "bottlegen" / "images" / "sidecar" / "entry.sh"


class _Heard:
    """What would be written, and what would be answered."""

    def __init__(self) -> None:
        self.fed = b""
        self.sent: list[bytes] = []

    def feed(self, data: bytes) -> None:
        self.fed += data

    def send(self, data: bytes, flags: int = 0) -> None:
        self.sent.append(data)


def _frame(kind: int, payload: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


def _taken(pieces: Sequence[bytes]) -> _Heard:
    heard = _Heard()
    sidecar = Sidecar(cast("socket.socket", None), cast("socket.socket", heard), cast("Writer", heard))
    for piece in pieces:
        sidecar.take(piece)
    return heard


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 13, 1000])
def test_frames_come_in_any_pieces(size: int) -> None:
    stream = b"".join((
        _frame(_OUT, b'{"a":'), _frame(_ERR, b"noise\n"), _frame(_OUT, b""), _frame(_OUT, b"1}\n"),
        _frame(_ERR, READY[:5]), _frame(_ERR, READY[5:] + b"\n"), _frame(_OUT, b"end\n"),
    ))  # fmt: skip
    heard = _taken([stream[at : at + size] for at in range(0, len(stream), size)])
    assert heard.fed == b'{"a":1}\nend\n'
    assert heard.sent == [b'{"ready": true}']


def test_what_a_sidecar_decides_cannot_say_that_it_is_ready() -> None:
    assert _taken([_frame(_OUT, READY)]).sent == []


class _Stream:
    """What went to a sidecar; with `error`, an engine that takes nothing."""

    def __init__(self, error: OSError | None = None) -> None:
        self.sent: list[tuple[bytes, int]] = []
        self._error = error

    def send(self, data: bytes, flags: int) -> None:
        if self._error:
            raise self._error
        self.sent.append((data, flags))


def test_each_sidecar_hears_that_it_is_held_and_nobody_waits_for_one_that_does_not_listen() -> None:
    reading, writing = os.pipe()
    now = [100.0]
    streams = [_Stream(BlockingIOError()), _Stream(BrokenPipeError()), _Stream()]
    try:
        holder = Holder(cast("socket.socket", reading), lambda: now[0])
        assert holder.patience() is None, "without a sidecar there is nothing to come back for"
        for stream in streams:
            holder._sidecars.append(Sidecar(cast("socket.socket", stream), cast("socket.socket", None), None))
        for after, beats, patience in ((0.0, 1, BEAT), (BEAT - 1, 1, 1.0), (1.0, 2, BEAT), (3 * BEAT, 3, BEAT)):
            now[0] += after
            holder.beat()
            assert streams[2].sent == [(b"\n", socket.MSG_DONTWAIT)] * beats
            assert holder.patience() == patience
    finally:
        os.close(reading)
        os.close(writing)


def test_a_sidecar_s_patience_is_several_beats() -> None:
    waits = re.findall(r"read -rt (\d+)", _ENTRY.read_text())
    assert len(waits) == 2
    assert all(int(wait) >= 3 * BEAT for wait in waits), waits


@pytest.mark.parametrize(("plain", "policy", "refused"), [(True, "block", 0), (False, "block", 1), (False, "warn", 0)])
def test_an_engine_whose_connection_cannot_be_handed_over(
    plain: bool, policy: str, refused: int, capsys: pytest.CaptureFixture[str]
) -> None:
    class _Made:
        """As much of a spec and its bundle as is looked at."""

        recording = object()
        name = "dev"
        on_failure = policy

        def __getattr__(self, _: str) -> Any:
            return self

    runtime = DockerRuntime({}, Path("/nonexistent"))
    runtime.__dict__["engine"] = Engine(
        api=None, version=(20, 10), platform="linux/amd64", local=False, plain=plain, rootless=False, remapped=False,
        cpus=1, cgroup_v1=True, runtimes=(), default_runtime="runc",
    )  # fmt: skip
    found = list(runtime._audit_problems(cast("LaunchSpec", _Made())))
    assert len(found) == refused
    assert ("encrypted" in capsys.readouterr().err) == (policy == "warn")
