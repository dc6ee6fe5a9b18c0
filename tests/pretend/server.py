"""The pretend providers: every host on one TLS port, every request written down before it is answered."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import WSMsgType, web

from tests.pretend import amp, events, formats, turns
from tests.pretend.authority import HOSTS, TestAuthority
from tests.pretend.thread import LoopThread

COPILOT = "api.individual.githubcopilot.com"
_CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it arrived; header names are lower-case, repeated headers stay apart."""

    host: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name.lower()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretence:
    """How to behave. `expected` is the credential header's value that a host insists on (else 401); `command` makes the
    first answer of each turn a call of the agent's shell tool; `websocket` False refuses every upgrade with 426."""

    account: str = "acct-pretend"
    reply: str = "hello from the pretend provider"
    websocket: bool = True
    command: str = ""
    expected: Mapping[str, str] = field(default_factory=dict)


class PretendProvider:
    """Serves in a thread of its own between `with` and its end. `seen` may be read at any time."""

    def __init__(
        self,
        pretence: Pretence | None = None,
        *,
        authority: TestAuthority | None = None,
        bind: tuple[str, int] = ("127.0.0.1", 0),
        hosts: tuple[str, ...] = HOSTS,
        on_seen: Callable[[Seen], None] | None = None,
    ) -> None:
        self.pretence = pretence or Pretence()
        self.authority = authority or TestAuthority()
        self.address = bind
        self.seen: list[Seen] = []
        self._on_seen = on_seen
        self._hosts = hosts
        self._thread: LoopThread | None = None
        self._runner: web.ServerRunner | None = None

    def __enter__(self) -> Self:
        self._thread = LoopThread("pretend provider")
        try:
            self._thread.do(self._listen())
        except BaseException:
            self._thread.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._thread and self._runner:
            self._thread.do(self._runner.cleanup())
            self._thread.stop()

    def to(self, host: str) -> list[Seen]:
        """What was asked of one host."""
        return [seen for seen in self.seen if seen.host == host]

    async def _listen(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await self._runner.setup()
        host, port = self.address
        site = web.TCPSite(self._runner, host, port, ssl_context=self.authority.server_context(self._hosts))
        await site.start()
        self.address = self._runner.addresses[0][:2]

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        host = request.host.rsplit(":", 1)[0]
        headers = tuple((name.lower(), value) for name, value in request.headers.items())
        seen = Seen(host=host, method=request.method, path=request.path_qs, headers=headers)
        self.seen.append(seen)
        if self._on_seen:
            self._on_seen(seen)
        expected = self.pretence.expected.get(host)
        if expected is not None and expected not in {seen.header(name) for name in _CREDENTIALS}:
            return web.json_response({"error": {"message": "pretend provider: wrong credential"}}, status=401)
        answer = self._hosts_answers().get(host)
        return await answer(request) if answer else web.Response(text=f"pretend {host}\n")

    def _hosts_answers(self) -> Mapping[str, Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]]:
        return {
            "chatgpt.com": self._chatgpt,
            "api.anthropic.com": self._anthropic,
            "api.openai.com": self._openai,
            "generativelanguage.googleapis.com": self._google,
            "cloudcode-pa.googleapis.com": self._code_assist,
            "dashscope.aliyuncs.com": self._openai,
            "openrouter.ai": self._openai,
            "api.github.com": self._github,
            COPILOT: self._copilot,
            "api.githubcopilot.com": self._copilot,
            "ampcode.com": self._amp,
        }

    async def _chatgpt(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.endswith("/accounts/check"):
            return web.json_response(turns.accounts(self.pretence.account))
        if request.path == "/backend-api/codex/models":
            return web.json_response({"models": []})
        if request.path != "/backend-api/codex/responses":
            return web.json_response({"detail": "pretend provider: no such path"}, status=404)
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await self._responses_websocket(request)
        body = await request.json()
        return await _stream(request, turns.responses(body, self.pretence.reply, self.pretence.command))

    async def _responses_websocket(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self.pretence.websocket:
            return web.Response(status=426, text="pretend provider: no websocket\n")
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                body = json.loads(message.data)
                for event in turns.responses(body, self.pretence.reply, self.pretence.command):
                    await socket.send_json(event)
        return socket

    async def _anthropic(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/v1/messages":
            return web.json_response({"type": "error", "error": {"type": "not_found_error"}}, status=404)
        body = await request.json()
        if not body.get("stream"):
            return web.json_response(events.whole_message(self.pretence.reply, body["model"]))
        return await _stream(request, turns.messages(body, self.pretence.reply, self.pretence.command))

    async def _openai(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await self._responses_websocket(request)
        if request.path.endswith("/responses"):
            body = await request.json()
            return await _stream(request, turns.responses(body, self.pretence.reply, self.pretence.command))
        if not request.path.endswith("/chat/completions"):
            return web.json_response({"error": {"message": "pretend provider: no such path"}}, status=404)
        body = await request.json()
        if not body.get("stream"):
            return web.json_response(formats.whole_chat(self.pretence.reply, body["model"]))
        return await _send(request, formats.data(formats.chat(self.pretence.reply, body["model"]), done=True))

    async def _google(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = formats.generated(self.pretence.reply)
        if request.path.endswith(":streamGenerateContent"):
            return await _send(request, formats.data([answer]))
        return web.json_response(answer)

    async def _code_assist(self, request: web.BaseRequest) -> web.StreamResponse:
        """The same for who is logged in: wrapped, and after the tier is known."""
        answer = {"response": formats.generated(self.pretence.reply)}
        if request.path.endswith(":streamGenerateContent"):
            return await _send(request, formats.data([answer]))
        if request.path.endswith(":loadCodeAssist"):
            return web.json_response(formats.CODE_ASSIST)
        return web.json_response(answer if request.path.endswith(":generateContent") else {})

    async def _github(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/copilot_internal/user":
            return web.json_response(formats.copilot_user(COPILOT))
        return web.json_response({}) if "copilot" in request.path else web.Response(text="pretend api.github.com\n")

    async def _amp(self, request: web.BaseRequest) -> web.StreamResponse:
        return await amp.answer(request, self.pretence.reply)

    async def _copilot(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/models":
            return web.json_response(formats.copilot_models(("claude-sonnet-4.6", "gpt-5.5")))
        return await (self._anthropic if request.path.endswith("/messages") else self._openai)(request)


async def _stream(request: web.BaseRequest, answer: list[events.Event]) -> web.StreamResponse:
    return await _send(request, events.sse(answer))


async def _send(request: web.BaseRequest, chunks: Iterable[bytes]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})
    await response.prepare(request)
    for chunk in chunks:
        await response.write(chunk)
    await response.write_eof()
    return response
