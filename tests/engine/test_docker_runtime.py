"""What is docker's own in the contract of a runtime, against the real engine; tests/contract/ has the rest."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bottlegen.errors import RuntimeFailure
from runtime.base import MaterialFile
from runtime.docker import DockerRuntime
from tests.engine.bottle import (
    OWNER,
    Bottle,
    BottleMaker,
    SpecMaker,
    assert_nothing_left,
    launch,
    left,
    make_runtime,
)

ROOT = Path(__file__).parents[2]


def test_exec_runs_beside_the_agent_with_its_env(bottle: Bottle, capfd: pytest.CaptureFixture[str]) -> None:
    with _stdin(b"fed\n"):
        status = bottle.runtime.exec(
            bottle.name,
            ["sh", "-c", 'cat; echo "$HOME $EXTRA $HTTPS_PROXY"; id -u; exit 5'],
            tty=False,
            env={"EXTRA": "e"},
        )
    assert status == 5
    assert (
        capfd.readouterr().out
        == f"fed\n/home/agent e http://egress:3128\n{OWNER if os.getuid() == 0 else os.getuid()}\n"
    )


def test_a_taken_name_is_refused_and_the_bottle_there_lives(bottle: Bottle, make_spec: SpecMaker) -> None:
    twin = make_spec(bottle=bottle.name, session="other")
    with make_runtime() as other, pytest.raises(RuntimeFailure, match="is already up") as caught:
        launch(twin, other)
    assert f"attach --name {bottle.name}" in caught.value.problems[0].fix
    assert bottle.inspect()["State"]["Running"]
    assert all(
        bottle.spec.session in name or "-agent" in name or "-egress" in name for name in left(bottle.api, bottle.name)
    )


def test_two_starts_of_one_name_at_once_leave_one(make_spec: SpecMaker, api: Any, runtime: DockerRuntime) -> None:
    specs = [make_spec(session="a"), make_spec(session="b")]
    specs[1] = make_spec(bottle=specs[0].bottle, session="b")
    runtime.prepare(specs[0], _NoProgress())
    outcomes: list[object] = []

    def run(spec: Any) -> None:
        try:
            with make_runtime() as mine:
                launch(spec, mine)
            outcomes.append(spec.session)
        except RuntimeFailure as e:
            outcomes.append(e)

    threads = [threading.Thread(target=run, args=(spec,)) for spec in specs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failures = [outcome for outcome in outcomes if isinstance(outcome, RuntimeFailure)]
    winners = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert len(failures) == len(winners) == 1, outcomes
    assert "already up" in str(failures[0])
    sessions = {
        part["Labels"]["bottlegen.session"]
        for part in api.networks(filters={"label": f"bottlegen.bottle={specs[0].bottle}"})
    }
    assert sessions == set(winners)


def test_remove_takes_everything_and_twice_is_fine(bottle: Bottle) -> None:
    assert left(bottle.api, bottle.name) != []
    assert bottle.runtime.remove(bottle.name) is True
    assert left(bottle.api, bottle.name) == []
    assert bottle.runtime.remove(bottle.name) is False


def test_remove_of_another_session_leaves_the_bottle(bottle: Bottle) -> None:
    assert bottle.runtime.remove(bottle.name, session="another") is False
    assert bottle.inspect()["State"]["Running"]


def test_remove_takes_a_network_that_someone_joined_by_hand(bottle: Bottle, api: Any) -> None:
    image = bottle.inspect()["Config"]["Image"]
    stranger = api.create_container(image, ["sleep", "60"], name=f"{bottle.name}-stranger", entrypoint=[""])["Id"]
    try:
        api.start(stranger)
        api.connect_container_to_network(stranger, f"bottlegen-{bottle.name}-{bottle.spec.session}-inside")
        assert bottle.runtime.remove(bottle.name)
        assert left(api, bottle.name) == []
    finally:
        api.remove_container(stranger, force=True)


def test_an_egress_that_cannot_start_says_its_last_words(
    make_spec: SpecMaker, runtime: DockerRuntime, api: Any
) -> None:
    spec = make_spec()
    runtime.prepare(spec, _NoProgress())
    runtime.create(spec)
    runtime.place(
        spec.bottle,
        "egress",
        [
            MaterialFile(path="/run/egress/extra-ca.pem", mode=0o600, data=b""),
            MaterialFile(path="/run/egress/envoy.json", mode=0o600, data=b'{"no_such_field": 1}'),
        ],
    )
    with pytest.raises(RuntimeFailure, match="no_such_field"):
        runtime.wait_ready(spec.bottle, "egress", 10)
    runtime.remove(spec.bottle)
    assert_nothing_left(api, [spec.bottle])


def test_material_is_in_memory_private_and_replaced_whole(bottle: Bottle) -> None:
    path = "/run/egress/sds/tokens.json"
    before = bottle.run("stat", "-c", "%i", path, service="egress")[1]
    bottle.runtime.place(bottle.name, "egress", [MaterialFile(path=path, mode=0o600, data=b"{}")])
    mode, inode = (
        bottle.run("stat", "-c", "%a %u", path, service="egress")[1],
        bottle.run("stat", "-c", "%i", path, service="egress")[1],
    )
    assert mode == "600 65532\n"
    assert inode != before
    assert bottle.run("stat", "-f", "-c", "%T", "/run/egress", service="egress") == (0, "tmpfs\n")
    assert bottle.run("cat", path, service="egress") == (0, "{}")
    _, listing = bottle.run("find", "/run/egress", "-name", "*.new", service="egress")
    assert listing == ""


def test_no_container_shows_its_material(bottle: Bottle) -> None:
    """The certificate of the bottle is placed like every secret; what shows it would show them."""
    _, certificate = bottle.run("cat", "/run/bottle/ca.crt")
    line = certificate.splitlines()[3]
    assert len(line) == 64  # a line of base64: the search below looks for something real
    for service in ("agent", "egress"):
        assert line not in json.dumps(bottle.inspect(service))


def test_labels_are_on_everything(bottle: Bottle) -> None:
    names = left(bottle.api, bottle.name)
    assert sum("-inside" in name or "-outside" in name for name in names) == 2
    for service in ("agent", "egress"):
        labels = bottle.inspect(service)["Config"]["Labels"]
        assert labels["bottlegen.hash"] == bottle.spec.bundle.hash
        assert labels["bottlegen.service"] == service


def test_an_existing_outside_network_is_used_and_kept(make_bottle: BottleMaker, api: Any) -> None:
    name = f"test-{os.getpid()}-given"
    api.create_network(name)
    try:
        bottle = make_bottle(outside_network=name)
        assert name in bottle.inspect("egress")["NetworkSettings"]["Networks"]
        assert not any("-outside" in part for part in left(api, bottle.name))
        bottle.runtime.remove(bottle.name)
        assert api.networks(names=[name])
    finally:
        api.remove_network(name)


def test_a_home_is_kept_and_belongs_to_the_owner(make_bottle: BottleMaker, tmp_path: Path, folder: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    owner = folder.stat().st_uid
    os.chown(home, owner, owner)
    bottle = make_bottle(workspace=folder, home=home)
    assert bottle.run("sh", "-c", "echo kept > ~/note") == (0, "")
    bottle.runtime.remove(bottle.name)
    assert (home / "note").read_text() == "kept\n"
    assert (home / "note").stat().st_uid == owner


# A terminal: the child of a pty attaches, the test is the user at the keyboard.

_ATTACH = """
import os, sys
from pathlib import Path
from runtime.docker import DockerRuntime
runtime = DockerRuntime(dict(os.environ), Path("/nonexistent"))
status = {call}
print(f"[status {{status}}]")
"""


class Keyboard:
    def __init__(self, call: str, rows: int = 33, columns: int = 99) -> None:
        self.seen = b""
        self._pid, self._fd = pty.fork()
        if self._pid == 0:  # pragma: no cover - the child
            termios.tcsetwinsize(0, (rows, columns))
            os.environ["PYTHONPATH"] = str(ROOT)
            os.execv(sys.executable, [sys.executable, "-c", _ATTACH.format(call=call)])

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        termios.tcsetwinsize(self._fd, (rows, columns))

    def signal(self, number: int) -> None:
        os.kill(self._pid, number)

    def local_modes(self) -> int:
        """Whether the terminal shows what is typed, as it does unless it is raw."""
        modes: int = termios.tcgetattr(self._fd)[3]
        return modes & (termios.ECHO | termios.ICANON)

    def expect(self, pattern: str, seconds: float = 15) -> re.Match[bytes]:
        import select

        end = time.monotonic() + seconds
        while not (match := re.search(pattern.encode(), self.seen)):
            ready = select.select([self._fd], [], [], max(0, end - time.monotonic()))[0]
            if not ready:
                pytest.fail(f"no {pattern!r} in {self.seen!r}")
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                data = b""
            if not data:
                pytest.fail(f"ended without {pattern!r}: {self.seen!r}")
            self.seen += data
        return match

    def close(self) -> None:
        os.close(self._fd)
        os.waitpid(self._pid, 0)


@pytest.fixture
def shell(make_spec: SpecMaker, runtime: DockerRuntime) -> str:
    """A bottle at its gate whose agent is an interactive shell."""
    spec = make_spec("bash", "--norc", tty=True, interactive=True, terminal_env=(("TERM", "xterm"), ("PS1", "ready> ")))
    launch(spec, runtime)
    return spec.bottle


def _attach_call(bottle: str) -> str:
    return f"runtime.attach({bottle!r}, release=False)"


def test_a_terminal_is_whole(shell: str, runtime: DockerRuntime) -> None:
    """Size, a change of size, Ctrl-C for the agent, the exit status, and the terminal as it was."""
    runtime.release_agent(shell)
    keyboard = Keyboard(_attach_call(shell))
    before = keyboard.local_modes()
    keyboard.type("stty size\n")
    keyboard.expect(r"33 99\r\n")
    assert keyboard.local_modes() == 0
    keyboard.resize(44, 120)
    time.sleep(0.3)
    keyboard.type("stty size\n")
    keyboard.expect(r"44 120\r\n")
    keyboard.type("sleep 60; echo interrupted $?\n")
    time.sleep(0.5)
    keyboard.type("\x03")
    keyboard.type("echo still $((40 + 2))\n")
    keyboard.expect(r"still 42\r\n")
    keyboard.type("exit 9\n")
    keyboard.expect(r"\[status 9\]")
    assert keyboard.local_modes() == before != 0
    keyboard.close()


def test_the_keys_that_detach_leave_the_agent_running(shell: str, runtime: DockerRuntime) -> None:
    runtime.release_agent(shell)
    keyboard = Keyboard(_attach_call(shell))
    keyboard.type("kept=yes; echo $((40 + 2))\n")
    keyboard.expect("42\r\n")
    keyboard.type("\x10\x11")
    keyboard.expect(r"\[status None\]")
    keyboard.close()
    again = Keyboard(_attach_call(shell))
    again.type("echo $kept-$kept\n")
    again.expect("yes-yes")
    again.type("exit\n")
    again.expect(r"\[status 0\]")
    again.close()


def test_a_signal_that_ends_us_gives_the_terminal_back(shell: str, runtime: DockerRuntime) -> None:
    runtime.release_agent(shell)
    keyboard = Keyboard(_attach_call(shell))
    keyboard.type("echo $((40 + 2))\n")
    keyboard.expect("42\r\n")
    assert keyboard.local_modes() == 0
    keyboard.signal(signal.SIGTERM)
    assert _eventually(lambda: keyboard.local_modes() != 0)
    keyboard.close()


def test_exec_with_a_terminal(shell: str, runtime: DockerRuntime) -> None:
    runtime.release_agent(shell)
    # An engine before 23 takes the size only once the process runs, which may look a moment too early.
    wait = 'while [ "$(stty size)" = "0 0" ]; do sleep 0.05; done'
    keyboard = Keyboard(
        f"runtime.exec({shell!r}, ['bash', '-c', {f'tty; {wait}; stty size; read x; exit $x'!r}], tty=True, env={{}})"
    )
    keyboard.expect(r"/dev/pts/\d+\r\n33 99\r\n")
    keyboard.type("6\n")
    keyboard.expect(r"\[status 6\]")
    keyboard.close()


_START = """
import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.engine.bottle import LOCAL_BASE, PROFILES, launch, make_runtime
from bottlegen.pins import load
from bottlegen.pipeline import build, load_profile
from runtime.base import LaunchSpec
bundle = build(load_profile(str(PROFILES / "shell.toml")), load())
spec = LaunchSpec(bottle={bottle!r}, session="killed", bundle=bundle, command=("sleep", "600"), tty=False,
    interactive=False, workspace=Path({folder!r}), home=None, base_image=LOCAL_BASE, outside_network="",
    terminal_env=())
print("begin", flush=True)
with make_runtime() as runtime:
    launch(spec, runtime)
print("done", flush=True)
"""


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0, 1.3])
def test_killed_at_any_point_leaves_nothing_after_remove(
    seconds: float, make_spec: SpecMaker, runtime: DockerRuntime, folder: Path, api: Any
) -> None:
    spec = make_spec()
    runtime.prepare(spec, _NoProgress())
    code = _START.format(root=str(ROOT), bottle=spec.bottle, folder=str(folder))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "begin\n"
    time.sleep(seconds)
    child.kill()
    child.communicate()
    runtime.remove(spec.bottle)
    assert left(api, spec.bottle) == []
    time.sleep(0.5)
    assert left(api, spec.bottle) == []  # nothing that the engine was still making came after


def _eventually(condition: Any, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


class _stdin:  # noqa: N801 - reads as a phrase
    """File descriptor 0 holds these bytes, then ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __enter__(self) -> None:
        import tempfile

        self._file = tempfile.TemporaryFile()
        self._file.write(self._data)
        self._file.seek(0)
        self._before = os.dup(0)
        os.dup2(self._file.fileno(), 0)

    def __exit__(self, *_: object) -> None:
        os.dup2(self._before, 0)
        os.close(self._before)
        self._file.close()


class _NoProgress:
    def step(self, title: str) -> Any:
        from contextlib import nullcontext

        return nullcontext(self)

    def note(self, text: str) -> None: ...
    def advance(self, done: int, total: int) -> None: ...
