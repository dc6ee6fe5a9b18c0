"""Material put into place: each file whole or not at all, by a rename, inside the bottle and as its user."""

import json
import os
from pathlib import Path

MARK = b"\n"


def packed(path: str, mode: int, data: bytes) -> bytes:
    """Payload of one file: its path and mode on a line, then the bytes."""
    return json.dumps({"path": path, "mode": mode}).encode() + MARK + data


def place(payload: bytes) -> str:
    """Put the file where it says; its path."""
    head, _, data = payload.partition(MARK)
    told = json.loads(head)
    path = Path(told["path"])
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), told["mode"])
    new.replace(path)
    return str(path)
