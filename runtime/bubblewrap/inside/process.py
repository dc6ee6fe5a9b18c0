"""One process beside the first: its input, its output to whoever has joined, its exit status; never more in memory
than a slow reader's share."""

import asyncio
import errno
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import Callable, Mapping, Sequence

from runtime.bubblewrap.inside import frames

_CHUNK = 65536
_SLOW = 1 << 20
"""Bytes that wait for a reader before the process has to wait too."""

_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP)
"""Signals that Python and the keeper ignore, and which a program expects as usual: what is ignored stays so beyond an
exec, and no Ctrl-C would reach anything."""


class Process:
    """A command in this bottle; `log` gets a copy of everything that it prints."""

    def __init__(self, log: Callable[[bytes], None] | None = None) -> None:
        self.pid = 0
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._log = log
        self._readers: set[asyncio.StreamWriter] = set()
        self._outputs: dict[int, bytes] = {}
        self._input = -1
        self._tty = False
        self._window = (0, 0)

    def join(self, reader: asyncio.StreamWriter) -> None:
        # What is drained has been taken to the last byte: a first process that ends after it leaves nothing behind.
        reader.transport.set_write_buffer_limits(high=0)
        self._readers.add(reader)

    def leave(self, reader: asyncio.StreamWriter) -> None:
        self._readers.discard(reader)

    def start(self, argv: Sequence[str], env: Mapping[str, str], cwd: str, *, tty: bool) -> None:
        self._tty = tty
        theirs, ours = _terminal() if tty else _pipes()
        self.pid = os.fork()
        if self.pid == 0:
            _become(argv, env, cwd, theirs, tty=tty)
        for descriptor in set(theirs):
            os.close(descriptor)
        self._input = ours[0]
        self._outputs = {ours[1]: frames.OUT} if tty else {ours[1]: frames.OUT, ours[2]: frames.ERR}
        for descriptor in set(ours):
            os.set_blocking(descriptor, False)
        self._listen(True)
        if any(self._window):
            self.resize(*self._window)

    def resize(self, rows: int, columns: int) -> None:
        self._window = (rows, columns)
        if self._tty and self._input >= 0:
            fcntl.ioctl(self._input, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def feed(self, data: bytes) -> None:
        """Write to the process's input; what it no longer reads is dropped."""
        while data and self._input >= 0:
            try:
                data = data[os.write(self._input, data) :]
            except BlockingIOError:
                await self._writable()
            except OSError:
                return

    def end_input(self) -> None:
        if not self._tty and self._input >= 0:
            os.close(self._input)
            self._input = -1

    async def ended(self, status: int) -> None:
        """The process is over: pass on what it had printed, and its status."""
        self._listen(False)
        for descriptor in list(self._outputs):
            while self._pump(descriptor):
                await self._calm()
        self._send(frames.document(frames.RESULT, {"status": status}))
        await self._calm()
        for descriptor in {*self._outputs, self._input} - {-1}:
            os.close(descriptor)
        self._outputs, self._input = {}, -1
        self.done.set_result(status)

    async def _writable(self) -> None:
        loop, free = asyncio.get_running_loop(), asyncio.Event()
        descriptor = self._input
        loop.add_writer(descriptor, free.set)
        try:
            await free.wait()
        finally:
            loop.remove_writer(descriptor)

    def _listen(self, on: bool) -> None:
        loop = asyncio.get_running_loop()
        for descriptor in self._outputs:
            loop.remove_reader(descriptor)
            if on:
                loop.add_reader(descriptor, self._pump, descriptor)

    def _pump(self, descriptor: int) -> bool:
        """Pass on what is there; False when there is nothing, or will never be."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        except OSError as e:
            if e.errno != errno.EIO:  # which is how a terminal says that its last program is gone
                raise
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(descriptor)
            return False
        if self._log:
            self._log(data)
        self._send(frames.frame(self._outputs[descriptor], data))
        if self._behind() and not self.done.done():
            self._listen(False)
            keep(asyncio.ensure_future(self._resume()))
        return True

    def _send(self, data: bytes) -> None:
        for reader in list(self._readers):
            if reader.is_closing():
                self.leave(reader)
            else:
                reader.write(data)

    def _behind(self) -> bool:
        return any(reader.transport.get_write_buffer_size() > _SLOW for reader in self._readers)

    async def _calm(self) -> None:
        for reader in list(self._readers):
            try:
                await reader.drain()
            except OSError:
                self.leave(reader)

    async def _resume(self) -> None:
        await self._calm()
        if self._outputs:
            self._listen(True)


_tasks: set[asyncio.Future[None]] = set()


def keep(task: asyncio.Future[None]) -> None:
    """The loop itself holds tasks weakly."""
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _terminal() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    ours, theirs = pty.openpty()
    return (theirs, theirs, theirs), (ours, ours, ours)


def _pipes() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    (a, b), (c, d), (e, f) = os.pipe(), os.pipe(), os.pipe()
    return (a, d, f), (b, c, e)


def _become(argv: Sequence[str], env: Mapping[str, str], cwd: str, streams: Sequence[int], *, tty: bool) -> None:
    """In the child: its streams and nothing else of this process, then the command."""
    try:
        signal.set_wakeup_fd(-1)
        for ignored in (*_IGNORED, signal.SIGCHLD):
            signal.signal(ignored, signal.SIG_DFL)
        if tty:
            os.login_tty(streams[0])
        else:
            os.setsid()
            for number, descriptor in enumerate(streams):
                os.dup2(descriptor, number)
        os.closerange(3, 4096)
        os.umask(0o022)
        os.chdir(cwd)
        os.execvpe(argv[0], list(argv), dict(env))  # noqa: S606 - no shell is meant
    except OSError as e:
        sys.stderr.write(f"cannot run '{argv[0]}': {e.strerror}\n")
        sys.stderr.flush()
        os._exit(127 if isinstance(e, FileNotFoundError) else 126)
    finally:
        os._exit(126)
