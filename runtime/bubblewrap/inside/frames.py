"""Frames between a bottle's first process and this host: one byte of kind, four of length, the payload."""

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

HEADER = struct.Struct("!cI")
LARGEST = 1 << 25
"""Bytes of a payload; more is an error of the other side."""

REQUEST, FILE, END, INPUT, WINDOW = b"R", b"F", b"E", b"I", b"W"
OUT, ERR, RESULT, ACCEPTED = b"1", b"2", b"X", b"A"

LISTENER, DOORS = 60, 63
"""File descriptors that a first process is started with: this host's listening socket, and the first of the doors."""


class Broken(Exception):
    """The other side spoke otherwise, or went away in the middle of a frame."""


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    return HEADER.pack(kind, len(payload)) + payload


def document(kind: bytes, value: Mapping[str, Any]) -> bytes:
    return frame(kind, json.dumps(value).encode())


def split(header: bytes) -> tuple[bytes, int]:
    """Kind and length; Broken for a length that nobody sends."""
    kind, length = HEADER.unpack(header)
    if length > LARGEST:
        raise Broken(f"a frame of {length} bytes")
    return kind, length


def receive(stream: socket.socket) -> tuple[bytes, bytes] | None:
    """The next frame, or None at its end."""
    header = _exactly(stream, HEADER.size)
    if not header:
        return None
    kind, length = split(header)
    return kind, _exactly(stream, length)


def _exactly(stream: socket.socket, size: int) -> bytes:
    """So many bytes; nothing when the stream ends before the first."""
    parts = bytearray()
    while len(parts) < size:
        data = stream.recv(min(size - len(parts), 1 << 20))
        if not data:
            if parts:
                raise Broken("the stream ended within a frame")
            return b""
        parts += data
    return bytes(parts)
