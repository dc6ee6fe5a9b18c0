"""Amp's server as far as one turn needs it: the loop runs there, and the agent hears of it over a websocket."""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WSMsgType, web

_STEP = 0.3
"""Seconds between two notices; the agent misses those that come at once."""

_rooms: dict[str, list[web.WebSocketResponse]] = {}
Notify = Callable[..., Awaitable[None]]


async def answer(request: web.BaseRequest, reply: str) -> web.StreamResponse:
    """Anything that the agent asks of ampcode.com."""
    if request.headers.get("upgrade", "").lower() == "websocket":
        return await _converse(request, reply)
    if request.path == "/api/thread-actors":
        return web.json_response(await _thread(request))
    if request.path == "/api/user-actor-credentials":
        return web.json_response({"userId": "user-1", "wsToken": "session-token", "poolName": "pool"})
    if request.path == "/api/internal":
        return web.json_response({"ok": True, "result": _result(await request.json())})
    return web.json_response({})


async def _thread(request: web.BaseRequest) -> dict[str, Any]:
    body = json.loads(await request.read() or b"{}")
    thread = body.get("threadId") or f"T-{uuid.uuid4()}"
    return {
        "threadId": thread, "wsToken": "session-token", "threadVersion": 1, "ownerUserId": "user-1",
        "usesThreadActors": True,
    }  # fmt: skip


def _result(call: dict[str, Any]) -> object:
    method = call.get("method", "")
    if method == "getThreadTail":
        thread = call.get("params", {}).get("threadId") or call.get("params", {}).get("thread") or "T-1"
        data: dict[str, Any] = {
            "id": thread,
            "v": 1,
            "created": int(time.time() * 1000),
            "agentMode": "medium",
            "meta": {},
        }
        return {"thread": {"data": data}, "messages": [], "hasMoreBefore": False}
    if method == "getUserInfo":
        return {"id": "user-1", "email": "someone@example.com", "username": "someone", "features": []}
    return [] if method in ("listAgentModes", "loadPlugins", "loadSkills") else {}


async def _converse(request: web.BaseRequest, reply: str) -> web.StreamResponse:
    socket = web.WebSocketResponse(protocols=("rivet",), max_msg_size=0)
    await socket.prepare(request)

    thread = request.query.get("rvt-key", "")

    sockets = _rooms.setdefault(thread, [])
    sockets.append(socket)

    async def notify(method: str, **params: object) -> None:
        for other in sockets:
            if not other.closed:
                await other.send_json({"jsonrpc": "2.0", "method": method, "params": params})

    await notify("agent_state", state="idle", agentMode="medium")
    await notify("observers", count=1, observers=[], hasExecutor=True, executorType="local-client")
    await notify("queued_messages", messages=[])
    async for message in socket:
        if message.type != WSMsgType.TEXT:
            continue
        if message.data == "ping":
            await socket.send_str("pong")
            continue
        call = json.loads(message.data)
        if "id" in call:
            await socket.send_json({"jsonrpc": "2.0", "id": call["id"], "result": {}})
        await _heard(call.get("method", ""), call.get("params") or {}, notify, thread, reply)
    return socket


async def _heard(method: str, params: dict[str, Any], notify: Notify, thread: str, reply: str) -> None:
    if method == "executor_connect":
        executor = params.get("clientId", "")
        await notify("executor_connected", executorId=executor, registeredToolCount=0, guidanceInventory=[])
    if method != "client_append_user_msg":
        return
    name = "M-" + "a" * 22
    text = {"type": "text", "text": reply}
    asked = {"messageId": params["messageId"], "content": params["content"], "agentMode": "medium", "threadId": thread}
    said = {
        "role": "assistant", "messageId": name, "content": [text], "threadId": thread,
        "state": {"type": "complete", "stopReason": "end_turn"},
    }  # fmt: skip
    for notice, about in (
        ("message_added", {"message": {"role": "user", **asked}, "seq": 2}),
        ("agent_state", {"state": "streaming", "agentMode": "medium", "messageId": name}),
        ("delta", {"messageId": name, "role": "assistant", "state": "start", "blocks": []}),
        ("delta", {"messageId": name, "role": "assistant", "state": "complete", "blocks": [text]}),
        ("message_added", {"message": said, "seq": 3}),
        ("agent_state", {"state": "idle", "agentMode": "medium"}),
    ):
        await asyncio.sleep(_STEP)
        await notify(notice, **about)
