"""More wire formats of one turn, as plain events: chat completions, generateContent, and what Copilot's API lists."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Event = dict[str, Any]

_USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
_LONGEST_OUTPUT = 64000

CODE_ASSIST: Mapping[str, Any] = {
    "currentTier": {"id": "free-tier", "name": "pretend"},
    "allowedTiers": [{"id": "free-tier", "name": "pretend", "isDefault": True}],
    "cloudaicompanionProject": "pretend-project",
}
"""What a Google login is allowed, as Code Assist says it before the first turn."""


def chat(text: str, model: str) -> list[Event]:
    """Chat completion chunks of an answer in words; usage comes last, beside no choice."""
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    words = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [{**chunk, "choices": [words]}, {**chunk, "choices": [end]}, {**chunk, "choices": [], "usage": _USAGE}]


def whole_chat(text: str, model: str) -> Event:
    """The same for a request that does not ask for a stream."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice],
        "usage": _USAGE,
    }  # fmt: skip


def generated(text: str) -> Event:
    """A generateContent answer, which is also the one event of its stream."""
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    return {"candidates": [candidate], "usageMetadata": usage}


def data(events: Sequence[Event], *, done: bool = False) -> Iterator[bytes]:
    """The events as a text/event-stream of data lines alone, as these APIs send it; `done` ends it as OpenAI's does."""
    for event in events:
        yield f"data: {json.dumps(event)}\n\n".encode()
    if done:
        yield b"data: [DONE]\n\n"


def copilot_user(host: str) -> Mapping[str, Any]:
    """Who the token is of, and the host of its plan: without it the CLI takes the token for none."""
    endpoints = {"api": f"https://{host}", "telemetry": f"https://{host.replace('api.', 'telemetry.')}"}
    return {
        "login": "someone", "copilot_plan": "individual", "chat_enabled": True, "is_mcp_enabled": True,
        "endpoints": endpoints,
    }  # fmt: skip


def copilot_models(names: Sequence[str]) -> Mapping[str, Any]:
    """The models on offer; the CLI takes only those it knows, and only where the output may be long."""
    return {"object": "list", "data": [_copilot_model(name) for name in names]}


def _copilot_model(name: str) -> Event:
    limits = {"max_output_tokens": _LONGEST_OUTPUT, "max_context_window_tokens": 200000, "max_prompt_tokens": 128000}
    endpoint = "/v1/messages" if name.startswith("claude") else "/responses"
    supports = {"streaming": True, "tool_calls": True}
    return {
        "id": name, "object": "model", "name": name, "vendor": "Anthropic", "version": name, "preview": False,
        "model_picker_enabled": True, "policy": {"state": "enabled"}, "supported_endpoints": [endpoint],
        "capabilities": {
            "type": "chat", "family": name, "object": "model_capabilities", "tokenizer": "o200k_base",
            "limits": limits, "supports": supports,
        },
    }  # fmt: skip
