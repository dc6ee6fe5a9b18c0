"""What the providers' streaming interfaces say for one turn, as plain events; how they travel is not known here."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Event = dict[str, Any]

_USAGE = {
    "input_tokens": 1,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 1,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 2,
}


def responses_text(text: str) -> list[Event]:
    """Responses events of an answer in words."""
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    done = {**item, "status": "completed", "content": [{**part, "text": text}]}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return _response(
        [
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.content_part.added", **where, "part": part},
            {"type": "response.output_text.delta", **where, "delta": text},
            {"type": "response.output_text.done", **where, "text": text},
            {"type": "response.output_item.done", "output_index": 0, "item": done},
        ],
        done,
    )


def responses_call(item: Event) -> list[Event]:
    """Responses events of a tool call: `item` is a finished function_call or custom_tool_call."""
    return _response([{"type": "response.output_item.done", "output_index": 0, "item": item}], item)


def _response(middle: Sequence[Event], output: Event) -> list[Event]:
    response = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
    complete = {**response, "status": "completed", "output": [output], "usage": _USAGE}
    events = [
        {"type": "response.created", "response": response},
        *middle,
        {"type": "response.completed", "response": complete},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def messages_text(text: str, model: str) -> list[Event]:
    """Messages API events of an answer in words."""
    start: Event = {"type": "text", "text": ""}
    return _message(model, start, {"type": "text_delta", "text": text}, "end_turn")


def messages_call(name: str, arguments: Mapping[str, Any], model: str) -> list[Event]:
    """Messages API events of one tool call."""
    start: Event = {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}
    return _message(model, start, {"type": "input_json_delta", "partial_json": json.dumps(arguments)}, "tool_use")


def _message(model: str, start: Event, delta: Event, stop_reason: str) -> list[Event]:
    message: Event = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    return [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": start},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason, "stop_sequence": None},
            "usage": {"output_tokens": 1},
        },
        {"type": "message_stop"},
    ]


def whole_message(text: str, model: str) -> Event:
    """The Messages API answer to a request that does not ask for a stream."""
    first = messages_text(text, model)[0]["message"]
    return {**first, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}


def sse(events: Sequence[Event]) -> Iterator[bytes]:
    """The events as a text/event-stream."""
    for event in events:
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
