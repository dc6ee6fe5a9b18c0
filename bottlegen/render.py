"""Bytes that are hashed: one canonical JSON form, so that no library's change of output can change a hash."""

import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

_STEP = "  "


class Fixed(dict[str, Any]):
    """A part that many documents share: nobody writes to it, so its text is made once for every depth."""

    __slots__ = ("texts",)

    def __init__(self, value: Mapping[str, Any]) -> None:
        super().__init__(value)
        self.texts: dict[str, str] = {}


def canonical_json(value: object) -> bytes:
    """Sorted keys, two spaces, `\\n` ends, non-ASCII escaped; equal values give equal bytes in every locale.

    The bytes are those of json.dumps(sort_keys=True, indent=2), whose indenting encoder is five times slower.
    """
    return (_text(value, "\n") + "\n").encode("ascii")


def _text(value: object, newline: str) -> str:
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    # These are the leaves of most documents, and json.dumps makes an encoder for each.
    if value is True or value is False:
        return "true" if value else "false"
    if type(value) is int:
        return repr(value)
    if isinstance(value, Fixed):
        if newline not in value.texts:
            value.texts[newline] = _text(dict(value), newline)
        return value.texts[newline]
    inner = newline + _STEP
    if isinstance(value, dict) and value:
        items = [f"{encode_basestring_ascii(key)}: {_text(value[key], inner)}" for key in sorted(value)]
        return f"{{{inner}{f',{inner}'.join(items)}{newline}}}"
    if isinstance(value, list | tuple) and value:
        return f"[{inner}{f',{inner}'.join([_text(item, inner) for item in value])}{newline}]"
    return json.dumps(value, allow_nan=False)
