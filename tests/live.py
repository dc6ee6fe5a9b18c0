"""Files below a folder in which a process under test still works: one that goes meanwhile is none, and no error."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def files(folder: Path) -> Iterator[Path]:
    """Every regular file, links left out. `Path.rglob` fails when a folder goes while it is walked."""
    for at, _, names in os.walk(folder):
        for path in (Path(at, name) for name in sorted(names)):
            if path.is_file() and not path.is_symlink():
                yield path


def holding(folder: Path, needle: bytes) -> list[Path]:
    """The files that hold these bytes, in order."""
    found = []
    for path in files(folder):
        with suppress(FileNotFoundError):
            if needle in path.read_bytes():
                found.append(path)
    return sorted(found)
