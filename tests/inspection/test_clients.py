"""npm and git, unmodified, through the whole chain, against a registry and a git host of ours."""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bottlegen.plan import Auth, Route
from bottlegen.profile import Inspection
from tests.dataplane.upstream import Handler
from tests.inspection.chain import Chain, start_chain
from tests.inspection.conftest import GITHUB, envoy_here

ROUTES = (Route(host="registry.test"), Route(host="git.test", auth=Auth(token_ref="GITHUB", scheme="Bearer")))


class Serving(Handler):
    """An npm registry with one package, and a git host that wants a token."""

    repositories: Path
    archive: bytes

    def _answer(self) -> None:
        self._note(0)
        if (self.headers["host"] or "").startswith("registry.test"):
            self._registry()
        else:
            self._git()

    def _registry(self) -> None:
        if self.path.endswith(".tgz"):
            self._send("application/octet-stream", self.archive)
        elif self.path == "/tiny":
            self._send("application/json", json.dumps(self._packument()).encode())
        else:
            self._drain()
            self._send("application/json", b"{}")

    def _packument(self) -> dict[str, object]:
        digest = base64.b64encode(hashlib.sha512(self.archive).digest()).decode()
        dist = {"tarball": f"https://{self.headers['host']}/tiny/-/tiny-1.0.0.tgz", "integrity": f"sha512-{digest}"}
        version = {"name": "tiny", "version": "1.0.0", "dist": dist}
        return {"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}

    def _git(self) -> None:
        path, _, query = self.path.partition("?")
        if self.headers.get("authorization") != f"Bearer {GITHUB}":
            self.send_error(401)
            return
        env = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.repositories), "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("content-type", ""), "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
        }  # fmt: skip
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=True)
        head, _, data = done.stdout.partition(b"\r\n\r\n")
        named = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self._send(named["Content-Type"], data)

    def _send(self, kind: str, data: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def serving(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("serving")
    Serving.repositories, Serving.archive = folder / "git", _package()
    _repository(folder / "git" / "team" / "repo.git")
    (folder / "chain").mkdir()
    chain = start_chain(
        folder / "chain", envoy_here(), program, ROUTES, tokens={"GITHUB": GITHUB}, inspection=Inspection(),
        handler=Serving,
    )  # fmt: skip
    yield chain
    chain.stop()


def _package() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in {"package.json": '{"name": "tiny", "version": "1.0.0"}', "index.js": "// tiny\n"}.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return data.getvalue()


def _repository(bare: Path) -> None:
    work = bare.parent.parent / "work"
    work.mkdir(parents=True)
    _git(work, "init", "-q", "-b", "main")
    (work / "README").write_text("a readme\n" * 500)
    _git(work, "add", "README")
    _git(work, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "one")
    _git(work, "clone", "-q", "--bare", str(work), str(bare))


def _git(folder: Path, *arguments: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(["git", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_npm_installs_a_package(serving: Chain, tmp_path: Path) -> None:
    if not shutil.which("npm"):
        pytest.skip("no npm on PATH")
    proxy = f"http://127.0.0.1:{serving.sidecar.proxy}"
    settings = {"registry": serving.url("registry.test"), "cafile": serving.sidecar.ca, "https-proxy": proxy}
    options = [f"--{name}={value}" for name, value in settings.items()]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(
        ["npm", "install", "tiny", *options],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "node_modules" / "tiny" / "index.js").read_text() == "// tiny\n"


def test_git_clones_and_fetches(serving: Chain, tmp_path: Path) -> None:
    through = (
        "-c",
        f"http.proxy=http://127.0.0.1:{serving.sidecar.proxy}",
        "-c",
        f"http.sslCAInfo={serving.sidecar.ca}",
    )
    _git(tmp_path, *through, "clone", "-q", serving.url("git.test", "/team/repo.git"), "clone")
    assert (tmp_path / "clone" / "README").read_text() == "a readme\n" * 500
    work = Serving.repositories / "work"
    _git(work, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "two")
    _git(work, "push", "-q", str(Serving.repositories / "team" / "repo.git"), "main")
    _git(tmp_path / "clone", *through, "pull", "-q")
    assert _git(tmp_path / "clone", "log", "--format=%s") == "two\none\n"
