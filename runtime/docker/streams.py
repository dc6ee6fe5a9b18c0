"""Two-way streams to a container or an exec: raw with a TTY, else frames of stdout and stderr (Engine API: attach)."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from runtime.docker.engine import Api

STDOUT, STDERR = 1, 2
_CHUNK = 65536


class Stream:
    """An upgraded connection. Reading goes through the HTTP library's buffer, for it may hold the first bytes."""

    def __init__(self, response: Any, *, tty: bool) -> None:
        self._response = response
        self._reader: Any = response.raw._fp.fp  # noqa: SLF001 - the SDK itself reaches the socket this way
        self._socket: socket.socket = self._reader.raw._sock  # noqa: SLF001
        self._socket.settimeout(None)
        self._tty = tty

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def end_input(self) -> None:
        """Half-close: the process reads end of file, its output still comes."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def output(self) -> Iterator[tuple[int, bytes]]:
        """(STDOUT or STDERR, bytes) until the process closes its side; everything is STDOUT with a TTY."""
        with suppress(OSError, ValueError):
            yield from self._raw() if self._tty else self._frames()

    def says(self, text: bytes, seconds: float) -> bool:
        """Whether `text` comes on the output within this time; reads up to it."""
        end, seen = time.monotonic() + seconds, b""
        self._socket.settimeout(seconds)
        for _, data in self.output():
            seen = seen[-len(text) :] + data
            if text in seen:
                return True
            self._socket.settimeout(max(0.001, end - time.monotonic()))
        return False

    def fileno(self) -> int:
        """The connection itself, for another process; OSError where what it carries is encrypted in this one."""
        if type(self._socket) is not socket.socket:
            raise OSError(0, "the connection to the engine is encrypted")
        return self._socket.fileno()

    def let_go(self) -> None:
        """Close it here, and leave it open in the process that has it too."""
        self._response.close()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._response.close()

    def _raw(self) -> Iterator[tuple[int, bytes]]:
        while data := self._reader.read1(_CHUNK):
            yield STDOUT, data

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        while len(header := self._reader.read(8)) == 8:
            size = int.from_bytes(header[4:], "big")
            while size and (data := self._reader.read1(min(size, _CHUNK))):
                size -= len(data)
                yield (STDERR if header[0] == STDERR else STDOUT), data


def attach(
    api: Api, container: str, *, tty: bool, stdin: bool, output: bool, detach_keys: str = "", since_start: bool = False
) -> Stream:
    """Join the main process of a container, which may be created but not started."""
    params: dict[str, int | str] = {
        "stdin": int(stdin),
        "stdout": int(output),
        "stderr": int(output),
        "stream": 1,
        "logs": int(since_start),
    }
    if detach_keys:
        params["detachKeys"] = detach_keys
    url = api._url("/containers/{0}/attach", container)  # noqa: SLF001 - attach_socket drops what it has buffered
    return _upgrade(api, url, tty=tty, params=params)


def printed(api: Api, container: str, argv: list[str]) -> tuple[int, bytes]:
    """Status and standard output of a command in a running container."""
    created = api.exec_create(container, argv)
    stream = start_exec(api, created["Id"], tty=False)
    data = b"".join(data for source, data in stream.output() if source == STDOUT)
    stream.close()
    return int(api.exec_inspect(created["Id"])["ExitCode"]), data


def start_exec(api: Api, exec_id: str, *, tty: bool) -> Stream:
    url = api._url("/exec/{0}/start", exec_id)  # noqa: SLF001
    return _upgrade(api, url, tty=tty, json={"Tty": tty, "Detach": False})


def _upgrade(api: Api, url: str, *, tty: bool, **request: Any) -> Stream:
    headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
    response = api._post(url, headers=headers, stream=True, **request)  # noqa: SLF001
    api._raise_for_status(response)  # noqa: SLF001
    return Stream(response, tty=tty)
