"""The interceptor as a process of this host: a pretend monitor dials it, a pretend egress stands behind its doors."""

import json
import os
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bottlegen.errors import RuntimeFailure
from runtime.bubblewrap import client
from runtime.bubblewrap.inside import frames, interceptor
from runtime.bubblewrap.records import Folder
from runtime.smolmachines.runtime import _await_interceptor

ROOT = Path(__file__).parents[2]
TOKEN = bytes(range(32))
EGRESS = bytes([198, 51, 100, 1])
# The numbers are the child's affair: those of this process may be anybody's, such as an engine's connection.
_BEGIN = f"""\
import fcntl, os, sys
sys.path.insert(0, sys.argv.pop(1))
given = [fcntl.fcntl(int(sys.argv.pop()), fcntl.F_DUPFD, 100) for _ in range(2)]
for number, descriptor in zip(({frames.DOORS}, {frames.LISTENER}), given):
    os.dup2(descriptor, number)
    os.close(descriptor)
from runtime.bubblewrap.inside import interceptor
interceptor._FIRST = float(sys.argv.pop(1))
interceptor.main()
"""


class Standing:
    """An interceptor that runs; `folder` is its service's."""

    def __init__(self, folder: Path, *, first: float = interceptor._FIRST) -> None:
        self.folder = folder
        self.denied = folder / "denied"
        launch = {
            "uid": os.getuid(), "gid": os.getgid(), "token": TOKEN.hex(), "bottle": "b", "bundle": "h", "limits": [],
            "doors": {"3128": str(folder / "3128")}, "denied": str(self.denied),
        }  # fmt: skip
        (folder / "launch").write_text(json.dumps(launch))
        self._leash = os.pipe()
        with client.listen(folder) as control, socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            given = (control.fileno(), listener.fileno())
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BEGIN, str(ROOT), str(first), str(folder / "launch"),
                 *map(str, given)],
                stdin=self._leash[0], stdout=subprocess.PIPE, pass_fds=given,
            )  # fmt: skip

    def dial(
        self, *, port: int = 3128, address: bytes = EGRESS, token: bytes = TOKEN, head: bytes = b""
    ) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        family = 4 if len(address) == 4 else 6
        made.sendall(head or b"SMOLICPT\1" + token + struct.pack("!BH", family, port) + address)
        return made

    def verdict(self, **change: object) -> bytes:
        with self.dial(**change) as stream:  # type: ignore[arg-type]
            return stream.recv(1)

    def uplink(self, key: bytes = b"k" * 32) -> socket.socket:
        stream = self.dial(port=interceptor.UPLINK)
        stream.sendall(key)
        assert exactly(stream, 2) == b"\0\0"
        return stream

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
        for descriptor in self._leash:
            os.close(descriptor)


def test_this_process_keeps_its_descriptors(tmp_path: Path) -> None:
    """The numbers that the interceptor goes by are taken here: closed, whose they are would find out later."""
    numbers = [os.open(os.devnull, os.O_RDONLY)]
    while numbers[-1] < frames.DOORS:
        numbers.append(os.dup(numbers[0]))
    try:
        Standing(tmp_path).close()
        assert {str(Path(f"/proc/self/fd/{number}").readlink()) for number in numbers} == {os.devnull}
    finally:
        for number in numbers:
            os.close(number)


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[Standing]:
    made = Standing(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_a_guest_that_never_comes_is_said_so(tmp_path: Path) -> None:
    standing = Standing(tmp_path, first=0.3)
    try:
        with pytest.raises(RuntimeFailure, match="nothing was heard of the machine's first process"):
            client.place(tmp_path, [])
    finally:
        standing.close()


def exactly(stream: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer when no more come."""
    got = b""
    while len(got) < size and (data := stream.recv(size - len(got))):
        got += data
    return got


class _Shouting(socketserver.BaseRequestHandler):
    """What comes, in capitals, and a word at the end."""

    def handle(self) -> None:
        while data := self.request.recv(4096):
            self.request.sendall(data.upper())
        self.request.sendall(b"END")


@contextmanager
def egress(folder: Path) -> Iterator[None]:
    with socketserver.ThreadingUnixStreamServer(str(folder / "3128"), _Shouting) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_a_door_leads_to_the_egress_and_ends_both_ways(standing: Standing) -> None:
    with egress(standing.folder), standing.dial() as stream:
        assert stream.recv(1) == b"\0"
        stream.sendall(b"x" * 100_000)
        stream.shutdown(socket.SHUT_WR)
        got = b""
        while data := stream.recv(65536):
            got += data
    assert got == b"X" * 100_000 + b"END"
    assert not standing.denied.exists()


def test_without_an_egress_a_door_is_shut(standing: Standing) -> None:
    assert standing.verdict() == bytes([111])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"token": bytes(32)}, b""),
        ({"head": bytes(44)}, b""),
        ({"head": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" + bytes(40)}, b""),
        ({"head": b"SMOLICPT\2" + TOKEN + struct.pack("!BH", 4, 3128) + EGRESS}, b""),
        ({"address": bytes([127, 0, 0, 1])}, b"\x0d"),
        ({"address": bytes([169, 254, 169, 254]), "port": 80}, b"\x0d"),
        ({"address": bytes(15) + b"\1"}, b"\x0d"),
        ({"port": 22}, b"\x0d"),
        ({"port": interceptor.CONTROL}, b"\x0d"),
    ],
)
def test_everything_else_is_refused_and_written_down(
    standing: Standing, change: dict[str, object], said: bytes
) -> None:
    with egress(standing.folder):
        assert standing.verdict(**change) == said
        assert standing.verdict() == b"\0"  # and it goes on
    lines = standing.denied.read_text().splitlines() if standing.denied.exists() else []
    assert len(lines) == (1 if said else 0)
    for line in lines:
        fields = json.loads(line)
        assert (fields["decision"], fields["bottle"]) == ("deny", "b")


def test_output_and_end_come_over_the_uplink(standing: Standing) -> None:
    with standing.uplink() as stream:
        stream.sendall(frames.frame(frames.OUT, b"said") + frames.document(frames.RESULT, {"status": 7}))
        assert standing.process.stdout
        assert standing.process.stdout.read() == b"said"
        assert standing.process.wait(10) == 7


def test_there_is_one_uplink_and_it_came_first(standing: Standing) -> None:
    with standing.uplink():
        assert standing.verdict(port=interceptor.UPLINK) == b"\x0d"


def test_a_request_of_this_host_meets_a_connection_that_knows_the_key(standing: Standing) -> None:
    key = b"right" + bytes(27)
    with standing.uplink(key):
        with standing.dial(port=interceptor.CONTROL) as false:
            assert false.recv(1) == b"\0"
            false.sendall(b"wrong" + bytes(27))
            assert false.recv(1) == b""
        with standing.dial(port=interceptor.CONTROL) as true:
            true.sendall(key)
            with client.call(standing.folder, {"do": "anything"}) as asked:
                assert exactly(true, 2) == b"\0\0"
                kind, payload = frames.receive(true) or (b"", b"")
                assert (kind, json.loads(payload)) == (frames.REQUEST, {"do": "anything"})
                true.sendall(b"answer")
                true.close()
                assert asked.recv(100) == b"answer"
                assert asked.recv(100) == b""


def test_a_connection_that_went_away_is_not_handed_out(standing: Standing) -> None:
    key = bytes(32)
    with standing.uplink(key):
        with standing.dial(port=interceptor.CONTROL) as gone:
            assert gone.recv(1) == b"\0"
            gone.sendall(key)
            time.sleep(0.05)
        with standing.dial(port=interceptor.CONTROL) as there:
            there.sendall(key)
            with client.call(standing.folder, {}):
                assert exactly(there, 2) == b"\0\0"


def test_it_ends_with_who_holds_it(standing: Standing) -> None:
    _await_interceptor(Folder(standing.folder), standing.port)
    os.write(standing._leash[1], b".")
    assert standing.process.wait(10) == 0


def test_an_interceptor_that_does_not_answer_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bottlegen.errors import RuntimeFailure

    monkeypatch.setattr("runtime.smolmachines.runtime._PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(RuntimeFailure, match="does not answer"):
        _await_interceptor(Folder(tmp_path), silent.getsockname()[1])
