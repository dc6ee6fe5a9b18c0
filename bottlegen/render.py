"""Bytes that are hashed: one canonical JSON form, so that no library's change of output can change a hash."""

import json


def canonical_json(value: object) -> bytes:
    """Sorted keys, two spaces, `\\n` ends, non-ASCII escaped; equal values give equal bytes in every locale."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")
