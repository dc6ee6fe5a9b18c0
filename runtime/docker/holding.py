"""This side of a bottle's holder: the process that gets the sidecars' streams, and what it answers."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from bottlegen.errors import RuntimeFailure
from runtime.audit.writer import Order
from runtime.docker import holder
from runtime.docker.streams import Stream

_SECONDS = 10.0


class Held:
    """A sidecar whose stream the holder has."""

    def __init__(self, bottle: str, service: str, reply: socket.socket) -> None:
        self._what = f"service '{service}' of bottle '{bottle}'"
        self._reply = reply

    def recording(self) -> None:
        """Return once the chain has begun; with the policy that goes on without, say that it has not."""
        said = self._next(_SECONDS)
        if said is None or "failed" in said:
            why = said["failed"] if said else "its writer ended"
            raise RuntimeFailure(
                f"the audit of {self._what} cannot be written: {why}",
                fix='make room in the state directory; or on_audit_failure = "warn" in the profile',
            )
        if said["losing"]:
            print(f"warning: the audit of {self._what} is not written: {said['losing']}", file=sys.stderr)

    def ready(self, seconds: float) -> bool:
        said = self._next(seconds)
        return bool(said and said.get("ready"))

    def close(self) -> None:
        self._reply.close()

    def _next(self, seconds: float) -> dict[str, Any] | None:
        self._reply.settimeout(seconds)
        try:
            data = self._reply.recv(4096)
        except OSError:
            return None
        return dict(json.loads(data)) if data else None


class Holding:
    """A holder that was just started; it lives on when this process ends."""

    def __init__(self, folder: Path) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(holder.__file__)), str(folder)], stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/", env={},
            )  # fmt: skip

    def take(self, bottle: str, service: str, stream: Stream, order: Order | None) -> Held:
        """Hand the stream over; nobody here has it any more."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        message = json.dumps({"order": order.document() if order else None}).encode()
        try:
            socket.send_fds(self._control, [message], [stream.fileno(), theirs.fileno()])
        except OSError as e:
            ours.close()
            what = f"nobody can write the audit of bottle '{bottle}' here: {e.strerror}"
            raise RuntimeFailure(what, fix="bottlegen up again") from e
        finally:
            theirs.close()
            stream.let_go()
        return Held(bottle, service, ours)

    def close(self) -> None:
        """Nothing more comes; the holder ends with the last sidecar."""
        self._control.close()
        self._process.poll()
        if self._process.returncode is None:
            self._process.returncode = 0  # it outlives this process by design
