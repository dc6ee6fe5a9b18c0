"""First process of a native sidecar: takes material from this host, then runs the sidecar's command, and ends with it.

Material comes over a socket that has no name in here and goes into memory; placed again, it rotates.
"""

import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.bubblewrap.inside import frames, placing, rights


class Sidecar:
    """`launch` says the command, its environment, the file that starts it, and what is joined to be trusted.

    `bridges` offers a port of the command's as a socket, for as long as it runs.
    """

    def __init__(self, launch: dict[str, Any], bridges: Callable[[str, int], None]) -> None:
        self._launch = launch
        self._bridges = bridges
        self._pid = 0

    def serve(self, stream: socket.socket) -> None:
        """One request: files, then the end; answered with what went wrong, or nothing, or a file that was asked for."""
        try:
            placed, wanted = self._take(stream)
            if wanted:
                stream.sendall(frames.frame(frames.OUT, Path(wanted).read_bytes()[-frames.LARGEST :]))
                return
            if self._launch["begins_with"] in placed and not self._pid:
                self._begin()
            said = ""
        except (OSError, ValueError, KeyError, frames.Broken) as e:
            said = f"{type(e).__name__}: {getattr(e, 'strerror', None) or 'not understood'}"
        stream.sendall(frames.document(frames.RESULT, {"said": said}))

    def _take(self, stream: socket.socket) -> tuple[set[str], str]:
        """The paths of the files that came, and of one that is asked for."""
        placed: set[str] = set()
        wanted = ""
        while (got := frames.receive(stream)) is not None:
            kind, payload = got
            if kind == frames.END:
                return placed, wanted
            if kind == frames.REQUEST:
                wanted = json.loads(payload).get("path", "")
            if kind == frames.FILE:
                placed.add(placing.place(payload))
        raise frames.Broken("no end came")

    def _begin(self) -> None:
        trust = self._launch["trust"]
        if trust["into"]:
            Path(trust["into"]).write_bytes(b"".join(Path(part).read_bytes() for part in trust["of"]))
        if self._launch["bridge"]:
            self._bridge(**self._launch["bridge"])
        self._pid = os.fork()
        if self._pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.closerange(3, 256)
            try:
                os.execvpe(self._launch["argv"][0], self._launch["argv"], self._launch["env"])  # noqa: S606 - no shell
            except OSError as e:
                print(f"cannot run {self._launch['argv'][0]}: {e.strerror}", file=sys.stderr, flush=True)
            os._exit(127)

    def _bridge(self, door: str, port: int) -> None:
        """A process beside the command, for one that cannot listen where others look for it."""
        if os.fork() == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                self._bridges(door, port)
            finally:
                os._exit(1)

    def end(self) -> None:
        """Let the command end by itself, which says then what it has not yet said."""
        if not self._pid:
            os._exit(0)
        os.kill(self._pid, signal.SIGTERM)

    def reap(self) -> None:
        """End with the command: as the first process, this one takes every other along."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._pid:
                os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _none(door: str, port: int) -> None:
    raise RuntimeError(f"nothing bridges {port} to {door}")


def _bridges() -> Callable[[str, int], None]:
    """Costs 40 ms that no other sidecar has to wait for."""
    import asyncio

    from runtime.bubblewrap.inside import passing

    return lambda door, port: asyncio.run(passing.bridge(door, port))


def main() -> None:
    launch = json.loads(Path(sys.argv[1]).read_bytes())
    rights.close_inherited()
    bridges = _bridges() if launch["bridge"] else _none  # now: what it imports is closed to the user that comes
    os.umask(0o077)
    listener = socket.socket(fileno=frames.LISTENER)
    rights.give_up(launch["uid"], launch["gid"], launch["owned"], launch["limits"])
    sidecar = Sidecar(launch, bridges)
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sidecar.end())
    signal.set_wakeup_fd(waker.fileno())
    selector = selectors.PollSelector()
    for source in (listener, woken, 0):
        selector.register(source, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                stream, _ = listener.accept()
                with stream:
                    sidecar.serve(stream)
            elif key.fileobj is woken:
                woken.recv(64)
                sidecar.reap()
            else:
                os._exit(0)  # who holds this bottle on the host is gone


if __name__ == "__main__":
    main()
