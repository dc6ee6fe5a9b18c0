"""A pretend host of git repositories: git's own http-backend behind TLS, which insists on a token."""

import asyncio
import base64
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.pretend.authority import TestAuthority
from tests.pretend.thread import LoopThread

_CHUNK = 1 << 18


class GitHost:
    """Serves the bare repositories below `root` to who has `token` as the password of any user.

    `seen` holds method and path of each request that had it, `refused` of each that had not; `received` counts bytes of
    bodies.
    """

    def __init__(
        self, root: Path, *, token: str, hosts: tuple[str, ...], authority: TestAuthority | None = None,
        bind: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:  # fmt: skip
        self.root = root
        self.token = token
        self.authority = authority or TestAuthority()
        self.address = bind
        self.seen: list[str] = []
        self.refused: list[str] = []
        self.received = 0
        self.redirect = ""
        self._hosts = hosts
        self._thread: LoopThread | None = None
        self._runner: web.ServerRunner | None = None

    def __enter__(self) -> Self:
        self._thread = LoopThread("pretend git host")
        self._thread.do(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._thread and self._runner:
            self._thread.do(self._runner.cleanup())
            self._thread.stop()

    def make(self, name: str) -> Path:
        """An empty repository that takes pushes."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], env=_env(), check=True)
        for setting in ("http.receivepack=true", "uploadpack.allowFilter=true", "core.bigFileThreshold=1m"):
            subprocess.run(["git", "-C", str(path), "config", *setting.split("=")], env=_env(), check=True)
        return path

    async def _listen(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await self._runner.setup()
        host, port = self.address
        site = web.TCPSite(self._runner, host, port, ssl_context=self.authority.server_context(self._hosts))
        await site.start()
        self.address = self._runner.addresses[0][:2]

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        said = f"{request.method} {request.path_qs}"
        if self.redirect:
            return web.Response(status=302, headers={"location": self.redirect + request.path_qs})
        if not self._knows(request.headers.get("authorization", "")):
            self.refused.append(said)
            return web.Response(status=401, headers={"www-authenticate": 'Basic realm="pretend"'})
        self.seen.append(said)
        backend = await asyncio.create_subprocess_exec(
            "git", "http-backend", env=_env() | self._cgi(request), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert backend.stdin
        assert backend.stdout
        feeding = asyncio.ensure_future(self._feed(request, backend.stdin))
        response = await _head(backend.stdout)
        await response.prepare(request)
        while data := await backend.stdout.read(_CHUNK):
            await response.write(data)
        await response.write_eof()
        await feeding
        await backend.wait()
        return response

    def _knows(self, authorization: str) -> bool:
        scheme, _, value = authorization.partition(" ")
        try:
            return scheme == "Basic" and base64.b64decode(value).decode().partition(":")[2] == self.token
        except ValueError:
            return False

    def _cgi(self, request: web.BaseRequest) -> dict[str, str]:
        """Without the encoding of the body, which aiohttp has undone."""
        return {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "REMOTE_USER": "pretend",
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
        }

    async def _feed(self, request: web.BaseRequest, stdin: asyncio.StreamWriter) -> None:
        try:
            async for data in request.content.iter_chunked(_CHUNK):
                self.received += len(data)
                stdin.write(data)
                await stdin.drain()
        except ConnectionError:
            pass
        stdin.close()


async def _head(stdout: asyncio.StreamReader) -> web.StreamResponse:
    """The status and headers with which a CGI program begins (RFC 3875 6)."""
    status, headers = 200, {}
    while line := (await stdout.readline()).decode().strip():
        name, _, value = line.partition(": ")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers[name] = value
    return web.StreamResponse(status=status, headers=headers)


def _env() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
