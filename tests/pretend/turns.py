"""How a pretend provider answers a request body: in words, or first with a call of the shell tool it was offered."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.pretend import events


def accounts(account: str) -> dict[str, Any]:
    """The reply that Codex looks for its own account id in before it starts a turn."""
    about = {
        "id": account,
        "workspace_backend_origin": "https://chatgpt.com",
        "account_routing_override": "NO_CONSTRAINT",
    }
    return {"accounts": [about], "default_account_id": account}


def responses(body: Mapping[str, Any], reply: str, command: str) -> list[events.Event]:
    """Responses events for a request; the output of a finished tool call is repeated in the answer."""
    outputs = [item for item in body.get("input", []) if str(item.get("type", "")).endswith("_call_output")]
    if outputs:
        return events.responses_text(f"{reply}: {_text(outputs[-1].get('output'))}")
    if not command:
        return events.responses_text(reply)
    return events.responses_call(_shell_call(body, command))


def _shell_call(body: Mapping[str, Any], command: str) -> events.Event:
    """A call of the first tool offered that can run a command; ValueError lists the offer when none can."""
    extra = [tool for item in body["input"] if item.get("type") == "additional_tools" for tool in item["tools"]]
    offered = {str(name) for name in _names([*body.get("tools", []), *extra])}
    common = {"id": "call_item_1", "call_id": "call_1", "status": "completed"}
    if "exec" in offered:
        script = f"text((await tools.exec_command({json.dumps({'cmd': command})})).output)"
        return {"type": "custom_tool_call", "name": "exec", "input": script, **common}
    if "shell_command" in offered:
        arguments = json.dumps({"command": command})
        return {"type": "function_call", "name": "shell_command", "arguments": arguments, **common}
    raise ValueError(f"no shell tool among {sorted(offered)}")


def _names(tools: Iterable[Mapping[str, Any]]) -> Iterator[object]:
    for tool in tools:
        yield tool.get("name")
        yield from _names(tool.get("tools", []))


def messages(body: Mapping[str, Any], reply: str, command: str) -> list[events.Event]:
    """Messages API events for a request, likewise."""
    blocks = [block for message in body["messages"] for block in _blocks(message["content"])]
    results = [block for block in blocks if block.get("type") == "tool_result"]
    if results:
        return events.messages_text(f"{reply}: {_text(results[-1].get('content'))}", body["model"])
    if command and any(tool.get("name") == "Bash" for tool in body.get("tools", [])):
        return events.messages_call("Bash", {"command": command, "description": "pretend"}, body["model"])
    return events.messages_text(reply, body["model"])


def _blocks(content: object) -> list[dict[str, Any]]:
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _text(output: object) -> str:
    return output if isinstance(output, str) else json.dumps(output)
