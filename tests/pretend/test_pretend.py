"""The pretend provider itself: what it writes down, what it insists on, and the shapes of its answers."""

import asyncio
import json
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.pretend import Pretence, PretendProvider, TestAuthority
from tests.pretend.connect import Forwarder

RESPONSES = "/backend-api/codex/responses"


def _ask(provider: PretendProvider, host: str, path: str, *, json: Any = None, headers: Any = None) -> tuple[int, str]:
    async def ask() -> tuple[int, str]:
        async with aiohttp.ClientSession(connector=_to(provider)) as session:
            method = "GET" if json is None else "POST"
            async with session.request(method, f"https://{host}{path}", json=json, headers=headers) as answer:
                return answer.status, await answer.text()

    return asyncio.run(ask())


def _to(provider: PretendProvider) -> aiohttp.TCPConnector:
    address, port = provider.address

    class Resolver(aiohttp.abc.AbstractResolver):
        async def resolve(self, host: str, port_: int = 0, family: Any = 0) -> Any:
            return [{"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}]

        async def close(self) -> None: ...

    context = ssl.create_default_context(cadata=provider.authority.pem)
    return aiohttp.TCPConnector(resolver=Resolver(), ssl=context)


def _events(stream: str) -> list[dict[str, Any]]:
    blocks = [block.split("\n") for block in stream.strip().split("\n\n")]
    for event, data in blocks:
        assert event.removeprefix("event: ") == json.loads(data.removeprefix("data: "))["type"]
    return [json.loads(data.removeprefix("data: ")) for _, data in blocks]


def _body(*items: dict[str, Any], tool: str = "shell_command") -> dict[str, Any]:
    return {"input": [{"type": "message"}, *items], "tools": [{"type": "function", "name": tool}]}


def test_every_request_is_written_down_with_its_credential() -> None:
    with PretendProvider() as provider:
        assert _ask(provider, "api.github.com", "/zen?a=b", headers={"Authorization": "Bearer x"})[0] == 200
        (seen,) = provider.to("api.github.com")
    assert (seen.method, seen.path, seen.header("Authorization")) == ("GET", "/zen?a=b", "Bearer x")
    assert provider.to("github.com") == []


@pytest.mark.parametrize("header", [None, "Bearer placeholder"])
def test_a_wrong_credential_is_refused_where_one_is_expected(header: str | None) -> None:
    pretence = Pretence(expected={"api.anthropic.com": "Bearer real"})
    with PretendProvider(pretence) as provider:
        wrong = {"Authorization": header} if header else None
        assert _ask(provider, "api.anthropic.com", "/v1/messages", json={}, headers=wrong)[0] == 401
        right = {"Authorization": "Bearer real"}
        body = {"model": "m", "messages": []}
        assert _ask(provider, "api.anthropic.com", "/v1/messages", json=body, headers=right)[0] == 200


def test_a_stranger_is_not_trusted_and_has_no_name() -> None:
    with PretendProvider() as provider, pytest.raises(aiohttp.ClientConnectorCertificateError):
        _ask(provider, "example.com", "/")
    with PretendProvider() as provider:
        provider.authority = TestAuthority()
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            _ask(provider, "chatgpt.com", "/")


def test_responses_over_sse_end_with_completed_and_number_their_events() -> None:
    with PretendProvider(Pretence(reply="words")) as provider:
        answer = _events(_ask(provider, "chatgpt.com", RESPONSES, json=_body())[1])
    assert [event["type"] for event in answer] == [
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in answer] == list(range(7))
    assert answer[3]["delta"] == answer[-1]["response"]["output"][0]["content"][0]["text"] == "words"


@pytest.mark.parametrize("websocket", [True, False])
def test_responses_over_websocket_or_a_refused_upgrade(websocket: bool) -> None:
    async def turn(provider: PretendProvider) -> list[str]:
        try:
            async with (
                aiohttp.ClientSession(connector=_to(provider)) as session,
                session.ws_connect(f"https://chatgpt.com{RESPONSES}") as socket,
            ):
                await socket.send_json({"type": "response.create", **_body()})
                return [(await socket.receive_json())["type"] for _ in range(7)]
        finally:
            await asyncio.sleep(0.25)  # aiohttp closes a refused TLS connection in its own time

    with PretendProvider(Pretence(websocket=websocket)) as provider:
        if websocket:
            assert asyncio.run(turn(provider))[-1] == "response.completed"
        else:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                asyncio.run(turn(provider))
            assert refused.value.status == 426


def test_a_command_is_called_first_and_its_output_repeated() -> None:
    with PretendProvider(Pretence(reply="words", command="echo 'a\"b'")) as provider:
        call = _events(_ask(provider, "chatgpt.com", RESPONSES, json=_body())[1])[1]["item"]
        code = _events(_ask(provider, "chatgpt.com", RESPONSES, json=_body(tool="exec"))[1])[1]["item"]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "shown"}
        answer = _events(_ask(provider, "chatgpt.com", RESPONSES, json=_body(output))[1])
    assert json.loads(call["arguments"]) == {"command": "echo 'a\"b'"}
    assert code["type"] == "custom_tool_call"
    assert json.dumps({"cmd": "echo 'a\"b'"}) in code["input"]
    assert answer[3]["delta"] == "words: shown"


def test_messages_stream_words_or_a_call() -> None:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}], "tools": [{"name": "Bash"}]}
    with PretendProvider(Pretence(reply="words")) as provider:
        answer = _events(_ask(provider, "api.anthropic.com", "/v1/messages?beta=true", json=body)[1])
    assert [answer[0]["type"], answer[-1]["type"], answer[2]["delta"]["text"]] == [
        "message_start",
        "message_stop",
        "words",
    ]
    with PretendProvider(Pretence(command="true")) as provider:
        answer = _events(_ask(provider, "api.anthropic.com", "/v1/messages", json=body)[1])
    assert (answer[1]["content_block"]["name"], answer[-2]["delta"]["stop_reason"]) == ("Bash", "tool_use")


def test_the_forwarder_keeps_the_name_and_leads_to_its_target() -> None:
    async def ask(provider: PretendProvider, proxy: str) -> str:
        context = ssl.create_default_context(cadata=provider.authority.pem)
        async with (
            aiohttp.ClientSession() as session,
            session.get("https://api.github.com/zen", proxy=proxy, ssl=context) as answer,
        ):
            return await answer.text()

    with PretendProvider() as provider, Forwarder(provider.address) as forwarder:
        assert asyncio.run(ask(provider, forwarder.url)) == "pretend api.github.com\n"
    assert forwarder.asked == ["api.github.com:443"]
    with (
        PretendProvider() as provider,
        Forwarder(provider.address, allowed={"github.com:443"}) as forwarder,
        pytest.raises(aiohttp.ClientHttpProxyError, match="403"),
    ):
        asyncio.run(ask(provider, forwarder.url))
    assert provider.seen == []


def test_as_a_process_it_says_when_it_is_ready_and_what_it_saw(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.pretend", "--ca", str(tmp_path / "ca.pem"), "--account", "acct-1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout
        _, address, port = process.stdout.readline().split()
        provider = PretendProvider()
        provider.address = (address, int(port))
        provider.authority = _Known((tmp_path / "ca.pem").read_text())
        _, text = _ask(provider, "chatgpt.com", "/backend-api/wham/accounts/check")
        seen = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert json.loads(text)["accounts"][0]["id"] == "acct-1"
    assert (seen["host"], seen["path"]) == ("chatgpt.com", "/backend-api/wham/accounts/check")


class _Known(TestAuthority):
    def __init__(self, pem: str) -> None:
        self._pem = pem

    @property
    def pem(self) -> str:
        return self._pem
