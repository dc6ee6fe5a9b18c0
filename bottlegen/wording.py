"""How the user's text appears in a message: short, on one line, without control characters, and never a credential."""

import re

from bottlegen import secret_shapes

Keys = tuple[str | int, ...]
"""A place in a document: table keys and list indices from the root."""

_LONGEST = 80
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")

# C0, DEL, C1, line and paragraph separators, and the marks that make text read in another order than it is written.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


class Refusal(ValueError):
    """Why one value is refused, and what to write instead; raised by field rules, placed by whoever knows the file."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


def shown(text: str) -> str:
    """`text` in quotes, fit for one line of a terminal; a credential becomes the name of its kind."""
    if kind := secret_shapes.literal_kind(text):
        return f"<{kind}>"
    return f"'{_visible(text)}'"


def seen(text: str) -> str:
    """`text` with every character that does not print, or reorders what does, as an escape."""
    return "".join(c if c.isprintable() and not UNSEEN.match(c) else f"\\u{ord(c):04x}" for c in text)


def dotted(keys: Keys) -> str:
    """`keys` as in `egress.routes[1].host`."""
    parts = (f"[{key}]" if isinstance(key, int) else f".{_key(key)}" for key in keys)
    return "".join(parts).removeprefix(".")


def code_point(character: str) -> str:
    return f"U+{ord(character):04X}"


def _key(key: str) -> str:
    if _PLAIN_KEY.match(key) and not secret_shapes.literal_kind(key):
        return key
    return shown(key)


def _visible(text: str) -> str:
    return seen(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")
