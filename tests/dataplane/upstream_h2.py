"""The HTTP/2 side of the stand-in upstream: answers every request with what it saw, as JSON."""

import json
import ssl
from typing import Any

import h2.config
import h2.connection
import h2.events


def serve_h2(sock: ssl.SSLSocket, seen: list[dict[str, Any]]) -> None:
    """Serve one connection until the peer goes; answers are small enough for the first flow-control window."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    sock.sendall(connection.data_to_send())
    notes: dict[int, dict[str, Any]] = {}
    while data := sock.recv(65536):
        for event in connection.receive_data(data):
            _handle(connection, event, notes, seen)
        sock.sendall(connection.data_to_send())


def _handle(
    connection: h2.connection.H2Connection, event: h2.events.Event, notes: dict[int, dict[str, Any]], seen: list[Any]
) -> None:
    if isinstance(event, h2.events.RequestReceived):
        headers = [[str(name), str(value)] for name, value in event.headers or ()]
        pseudo = dict(item for item in headers if item[0].startswith(":"))
        notes[event.stream_id or 0] = {
            "method": pseudo[":method"],
            "path": pseudo[":path"],
            "headers": headers,
            "received": 0,
            "version": "2",
        }
    elif isinstance(event, h2.events.DataReceived):
        notes[event.stream_id or 0]["received"] += len(event.data or b"")
        connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
    elif isinstance(event, h2.events.StreamEnded):
        note = notes.pop(event.stream_id or 0)
        seen.append(note)
        connection.send_headers(event.stream_id or 0, [(":status", "200"), ("content-type", "application/json")])
        connection.send_data(event.stream_id or 0, json.dumps(note).encode(), end_stream=True)
