"""This side of the socket to a bottle's first process: material, commands, and the streams of a terminal."""

import json
import os
import select
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bottlegen.errors import RuntimeFailure
from runtime.base import MaterialFile
from runtime.bubblewrap.inside import frames, placing

SOCKET = "control"
_DETACH = b"\x10\x11"
"""Ctrl-P, Ctrl-Q."""
_LOOK = 0.2


def listen(folder: Path) -> socket.socket:
    """A socket in `folder` that only this user can reach, for the first process to accept on."""
    made = socket.socket(socket.AF_UNIX)
    with _reachable(folder) as name:
        made.bind(f"{name}/{SOCKET}")
    made.listen(64)
    return made


@contextmanager
def _reachable(folder: Path) -> Iterator[str]:
    """A short name of the folder: an address of a unix socket holds 108 bytes (unix(7))."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def connects(folder: Path, name: str) -> bool:
    """Whether something accepts on the socket `name` in `folder`."""
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError), _reachable(folder) as short:
        probe.connect(f"{short}/{name}")
        return True
    return False


def call(folder: Path, request: Mapping[str, Any]) -> socket.socket:
    """A connection on which the request was made; OSError when nobody is there."""
    stream = socket.socket(socket.AF_UNIX)
    try:
        with _reachable(folder) as name:
            stream.connect(f"{name}/{SOCKET}")
        stream.sendall(frames.document(frames.REQUEST, request))
    except BaseException:
        stream.close()
        raise
    return stream


def place(
    folder: Path, files: Sequence[MaterialFile], *, release: bool = False, held: Callable[[], bool] = lambda: True
) -> None:
    """Hand files to a first process, and open its gate with `release`; RuntimeFailure says why it did not, OSError that
    it is not there or ended meanwhile.

    `held` tells whether somebody holds the service still: one whose keeper was killed as it began may
    leave a process that keeps the socket open and never answers.
    """
    with call(folder, {"do": "place", "release": release}) as stream:
        with suppress(BrokenPipeError):  # it has seen enough, and its answer says why
            for file in files:
                stream.sendall(frames.frame(frames.FILE, placing.packed(file.path, file.mode, file.data)))
            stream.sendall(frames.frame(frames.END))
        answer = frames.receive(stream) if _answers(stream, held) else None
    if not answer:
        raise OSError(0, "it ended")
    if said := json.loads(answer[1])["said"]:
        raise RuntimeFailure(f"service '{folder.name}' took no material: {said}", fix="bottlegen down, then up")


def _answers(stream: socket.socket, held: Callable[[], bool]) -> bool:
    """Wait for the first byte, or the end of `stream`, for as long as the service is held."""
    while not select.select([stream], [], [], _LOOK)[0]:
        if not held():
            return bool(select.select([stream], [], [], 0)[0])
    return True


def read(folder: Path, path: str) -> bytes:
    """A file as a sidecar's first process sees it; OSError when either is not there."""
    with call(folder, {"do": "read", "path": path}) as stream:
        stream.sendall(frames.frame(frames.END))
        answer = frames.receive(stream)
    if not answer or answer[0] != frames.OUT:
        raise OSError(0, json.loads(answer[1])["said"] if answer else "it ended")
    return answer[1]


def capture(folder: Path, argv: Sequence[str], most: int = 1 << 20) -> tuple[int, bytes]:
    """Exit status and output of one more command, without input, cut off after so many bytes."""
    remote = Remote(call(folder, {"do": "exec", "argv": list(argv), "env": {}, "tty": False}))
    remote.end_input()
    output = b""
    for kind, data in remote.output():
        output += data if kind == 1 else b""
        if len(output) > most:
            break
    remote.close()
    return (126 if remote.status is None else remote.status), output[:most]


class Remote:
    """A command's streams, as runtime.terminal joins them. `status` is known once its output has ended; `left` when the
    user left it by Ctrl-P Ctrl-Q."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._typed = b""
        self.status: int | None = None
        self.left = False
        answer = frames.receive(stream)
        if not answer or answer[0] != frames.ACCEPTED:
            raise OSError(0, "not accepted")
        self.tty = bool(json.loads(answer[1])["tty"])

    def send(self, data: bytes) -> None:
        if self.tty:
            data, self._typed = self._typed + data, b""
            data, leaves, _ = data.partition(_DETACH)
            if leaves:
                self._stream.sendall(frames.frame(frames.INPUT, data))  # what was typed before still counts
                self.left = True
                self.close()
                return
            if data.endswith(_DETACH[:1]):
                data, self._typed = data[:-1], data[-1:]
        if data:
            self._stream.sendall(frames.frame(frames.INPUT, data))

    def end_input(self) -> None:
        with suppress(OSError):
            self._stream.sendall(frames.frame(frames.END))

    def resize(self, rows: int, columns: int) -> None:
        self._stream.sendall(frames.document(frames.WINDOW, {"size": [rows, columns]}))

    def output(self) -> Iterator[tuple[int, bytes]]:
        with suppress(OSError, frames.Broken):
            while (got := frames.receive(self._stream)) is not None:
                kind, payload = got
                if kind == frames.RESULT:
                    self.status = int(json.loads(payload).get("status", 126))
                    return
                yield (2 if kind == frames.ERR else 1), payload

    def close(self) -> None:
        with suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()
