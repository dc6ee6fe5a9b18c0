"""The agent's programs on a new host: killed at any point the next start goes on, and later no network is asked."""

import base64
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.agents.terminal import Terminal

ROOT = Path(__file__).parents[2]
_SIZE = 96 * 1024 * 1024
_HAVE = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
from bottlegen.manifest import ArtifactSpec
from runtime.artifacts import ArtifactStore
from runtime.bubblewrap import binaries
from runtime.machine import own_platform
from runtime.progress import make_progress
integrity, cache = sys.argv[1], Path(sys.argv[2])
platform = own_platform()
spec = ArtifactSpec(
    platform=platform, source="npm", package="tool", version="1.0", filename="tool-1.0.tgz", integrity=integrity,
    members={"package/tool": "agent/bin/tool"},
)
agent = SimpleNamespace(image=SimpleNamespace(artifacts=(spec,), context="images/agent"), listening=None)
bundle = SimpleNamespace(manifest=SimpleNamespace(services={"agent": agent}), below=lambda folder: ())
programs = binaries.Binaries(cache / "programs", lambda: ArtifactStore(cache / "artifacts", dict(os.environ)))
print(programs.have(bundle, "agent", make_progress()))
"""


class Registry:
    """Serves one tarball from loopback, as slowly as the test says, and remembers what was asked for."""

    def __init__(self, data: bytes) -> None:
        self.asked: list[str] = []
        self.pause = threading.Event()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range", "")
                registry.asked.append(asked)
                rest = data[int(asked[6:-1] or 0) if asked else 0 :]
                self.send_response(206 if asked else 200)
                self.send_header("Content-Length", str(len(rest)))
                self.end_headers()
                half = len(rest) // 2
                self.wfile.write(rest[:half])
                while registry.pause.is_set():  # whoever waits for the rest is killed meanwhile
                    time.sleep(0.01)
                self.wfile.write(rest[half:])

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # a killed client is meant
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.pause.clear()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def archive() -> bytes:
    """A program large enough that unpacking it takes a while, small to send: noise once, then a hole."""
    noise, out = os.urandom(1 << 22), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar:
        info = tarfile.TarInfo("package/tool")
        info.size, info.mode = _SIZE, 0o755
        tar.addfile(info, io.BytesIO(noise + bytes(_SIZE - len(noise))))
    return out.getvalue()


@pytest.fixture
def registry(archive: bytes) -> Iterator[Registry]:
    made = Registry(archive)
    yield made
    made.close()


def _command(archive: bytes, cache: Path) -> tuple[str, ...]:
    sri = f"sha512-{base64.b64encode(hashlib.sha512(archive).digest()).decode()}"
    return (sys.executable, "-c", _HAVE, sri, str(cache))


def _env(url: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "npm_config_registry": url, "TERM": "xterm"}


def _kill_when(command: tuple[str, ...], env: dict[str, str], condition: Callable[[], object]) -> None:
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_killed_while_downloading_and_unpacking_then_offline(
    archive: bytes, registry: Registry, tmp_path: Path
) -> None:
    command, env, programs = _command(archive, tmp_path), _env(registry.url), tmp_path / "programs"

    def partial() -> int:
        return sum(path.stat().st_size for path in tmp_path.rglob("*.partial"))

    registry.pause.set()
    _kill_when(command, env, lambda: partial() >= 1 << 20)
    had = partial()
    assert 0 < had < len(archive)

    registry.pause.clear()
    _kill_when(command, env, lambda: any(path.stat().st_size for path in programs.glob(".new-*/whole/agent/bin/tool")))
    assert registry.asked == ["", f"bytes={had}-"]  # it went on where the killed one had stopped
    assert [path.name[:5] for path in programs.iterdir()] == [".new-"]

    registry.close()
    whole = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stderr
    made = Path(whole.stdout.strip())
    assert list(programs.iterdir()) == [made]  # what the killed one had begun is gone
    tool = made / "agent" / "bin" / "tool"
    assert (tool.stat().st_size, tool.stat().st_mode & 0o777) == (_SIZE, 0o755)

    again = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (again.stdout, again.stderr) == (whole.stdout, "")
    elsewhere = subprocess.run(_command(archive, tmp_path / "x"), env=env, capture_output=True, text=True, check=False)
    assert "cannot download 'tool-1.0.tgz'" in elsewhere.stderr  # the control: nobody serves it any more


def test_a_terminal_shows_a_bar(archive: bytes, registry: Registry, tmp_path: Path) -> None:
    registry.pause.set()
    with Terminal(_command(archive, tmp_path), env=_env(registry.url), cwd=tmp_path, user=None) as terminal:
        terminal.wait_for(r"download tool-1\.0\.tgz ━+")
        registry.pause.clear()
        terminal.wait_for(r"unpack tool-1\.0\.tgz")
        terminal.wait_for(str(tmp_path / "programs"))


def test_two_starts_at_once_unpack_once(archive: bytes, registry: Registry, tmp_path: Path) -> None:
    command, env = _command(archive, tmp_path), _env(registry.url)
    both = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert len(registry.asked) == 1
    assert len(list((tmp_path / "programs").iterdir())) == 1
