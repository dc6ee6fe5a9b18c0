"""What `build` found or wrote last, so that it need not build again what nobody touched: an index as git keeps one.

It only ever saves time: damaged, missing, foreign or unwritable it is as good as empty, and what decides whether a
bundle may run (`up`, `build --check`, `hash`) never looks at it.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bottlegen
from bottlegen.locate import LOCK_NAME, shipped

_FORMAT = 1
_ABSENT = b"\0"
"""In place of a file that was looked for and is not there: no file that can be read holds it."""

_RACY_NS = 50_000_000
"""File times advance in steps of up to 10 ms: what changed so shortly before it was looked at could change unseen."""


@dataclass(slots=True)
class BuildIndex:
    """The bundles of one folder. `code` is what built them; an entry made by other code is no entry."""

    path: Path
    code: str
    entries: dict[str, Any]
    _read: dict[str, bytes] = field(default_factory=dict)
    _changed: bool = False

    @classmethod
    def of(cls, folder: Path, env: Mapping[str, str]) -> "BuildIndex":
        """The index of the bundles in `folder`, below $XDG_CACHE_HOME."""
        cache = Path(env.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "bottlegen" / "builds"
        path = cache / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]}.json"
        code = code_digest()
        try:
            document = json.loads(path.read_bytes())
            entries = document["entries"] if document["code"] == code else {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            entries = {}
        return cls(path, code, entries if isinstance(entries, dict) else {})

    def known(self, profile: Path, target: Path) -> str:
        """The hash of the bundle at `target` if it is there as `profile` builds it now; else empty."""
        try:
            entry = self.entries[str(target)]
            same = (
                entry["profile"] == str(profile)
                and entry["sources"] == digest((name, self._bytes(name)) for name in entry["files"])
                and entry["signature"] == _signature(str(target), entry["paths"])[0]
            )
            return str(entry["hash"]) if same else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _bytes(self, name: str) -> bytes:
        """Base profiles are read once, however many extend them."""
        if name not in self._read:
            try:
                self._read[name] = Path(name).read_bytes()
            except FileNotFoundError:
                self._read[name] = _ABSENT
        return self._read[name]

    def learn(self, profile: Path, target: Path, made: "Made") -> None:
        """Remember that `target` holds what `made` says, unless it was written so recently that nobody could tell."""
        paths = sorted({*made.paths, *(folder for path in made.paths for folder in _folders(path)), "."})
        with suppress(OSError):
            signature, newest = _signature(str(target), paths)
            if newest + _RACY_NS < time.time_ns():
                self.entries[str(target)] = {
                    "profile": str(profile),
                    "files": list(made.files),
                    "sources": made.sources,
                    "paths": paths,
                    "signature": signature,
                    "hash": made.hash,
                }
                self._changed = True

    def save(self) -> None:
        """Write what was learnt, whole; where that cannot be, the next build takes its time."""
        if not self._changed:
            return
        partial = self.path.with_suffix(f".{os.getpid()}")
        kept = {target: entry for target, entry in self.entries.items() if Path(target).is_dir()}
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps({"code": self.code, "entries": kept}))
            partial.replace(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A built bundle as the index keeps it: the profile files it came from, their digest, its own paths and hash."""

    files: tuple[str, ...]
    sources: str
    paths: tuple[str, ...]
    hash: str


class Recorder:
    """Reads profiles and remembers the very bytes that were parsed."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read
        self._seen: dict[str, bytes] = {}

    def __call__(self, name: str) -> bytes:
        path = str(Path(name).absolute())
        try:
            return self._seen.setdefault(path, self._read(name))
        except FileNotFoundError:  # that a project has no lock is part of what a bundle came from
            self._seen[path] = _ABSENT
            raise

    def made(self, paths: Iterable[str], bundle_hash: str) -> Made:
        return Made(files=tuple(self._seen), sources=digest(self._seen.items()), paths=tuple(paths), hash=bundle_hash)


def digest(files: Iterable[tuple[str, bytes]]) -> str:
    """Over names and bytes; every length is part of it, so no two lists of files look the same."""
    hasher = hashlib.sha256()
    for name, data in files:
        encoded = os.fsencode(name)
        hasher.update(b"%d %d " % (len(encoded), len(data)) + encoded)
        hasher.update(data)
    return hasher.hexdigest()


def code_digest() -> str:
    """All that a bundle is made from beside its profile and lock: bottlegen's files, its own lock, the interpreter."""
    root = Path(bottlegen.__file__).parent
    names = sorted(
        os.path.join(folder, name)  # noqa: PTH118 - a Path for each would double the time
        for folder, _, found in os.walk(root)
        if not folder.endswith("__pycache__") and "_shipped" not in folder
        for name in found
    )
    names.append(str(shipped() / LOCK_NAME))
    return digest([("", f"{_FORMAT} {sys.version}".encode()), *((name, Path(name).read_bytes()) for name in names)])


def _folders(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _signature(target: str, paths: list[str]) -> tuple[str, int]:
    """What changes when a file or folder does, as one word; and when the newest of them changed, in nanoseconds.

    A folder's own times tell of names that came or went.
    """
    found = []
    newest = 0
    for path in paths:
        info = os.lstat(f"{target}/{path}")
        found.append((info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_mode))
        newest = max(newest, info.st_ctime_ns)
    return hashlib.sha256(repr(found).encode()).hexdigest(), newest
