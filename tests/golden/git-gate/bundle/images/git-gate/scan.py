"""What the new objects of a push hold: each is read once, in pieces, so that memory does not grow with the push."""

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

_PIECE = 1 << 20
_OVERLAP = 8 << 10
"""Longer than any credential that is looked for, so that none hides between two pieces."""

_LARGE = 4 << 20
_POINTERS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
_POINTER_BYTES = 1024
_FORMAT = "%(objectname) %(objecttype) %(objectsize) %(rest)"
_MOST = 20
_LONGEST = 200


@dataclass(frozen=True)
class Finding:
    """`what` was found, and `where`: a path and an object, never the text itself."""

    kind: str
    what: str
    where: str


class Shapes:
    """Credentials by their literals and expressions; `own` are values that may not leave whatever they look like.

    `known` are such values that the gate does not hold: how each begins, its length and its hash.
    """

    def __init__(
        self, shapes: Sequence[tuple[str, str, str]], own: Sequence[bytes], known: Sequence[tuple[bytes, int, str]]
    ) -> None:
        self._shapes = [(what, literal.encode(), re.compile(regex.encode())) for what, literal, regex in shapes]
        self._own = [value for value in own if len(value) >= 8]
        self._known: dict[bytes, set[tuple[int, str]]] = {}
        for beginning, length, digest in known:
            if length <= _OVERLAP:
                self._known.setdefault(beginning, set()).add((length, digest))

    def found(self, data: bytes) -> Iterator[str]:
        for what, literal, regex in self._shapes:
            if literal in data and regex.search(data):
                yield what
        if any(value in data for value in self._own) or self._knows(data):
            yield "a credential of this bottle"

    def _knows(self, data: bytes) -> bool:
        for beginning, rest in self._known.items():
            place = data.find(beginning)
            while place >= 0:
                if any(hashlib.sha256(data[place : place + size]).hexdigest() == digest for size, digest in rest):
                    return True
                place = data.find(beginning, place + 1)
        return False


def objects(env: dict[str, str], new: Sequence[str], shapes: Shapes | None, large: set[str]) -> list[Finding]:
    """Findings in every object that is not yet reachable here; `shapes` None looks for LFS pointers alone.

    `large` gets the paths of files that are too large for a comparison with what they were.
    """
    listing = subprocess.Popen(
        ["git", "rev-list", "--objects", *new, "--not", "--all"],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    reading = subprocess.Popen(
        ["git", "cat-file", "--buffer", f"--batch={_FORMAT}"], env=env, stdin=listing.stdout, stdout=subprocess.PIPE
    )
    assert listing.stdout
    assert reading.stdout
    listing.stdout.close()
    with reading.stdout as stream:
        found = list(_read(stream, shapes, large))
    if listing.wait() or reading.wait():
        raise OSError("the new objects of this push cannot be read")
    return found


def _read(stream: IO[bytes], shapes: Shapes | None, large: set[str]) -> Iterator[Finding]:
    told: set[Finding] = set()
    while head := stream.readline():
        name, kind, size, path = (*head.decode("utf-8", "surrogateescape").rstrip("\n").split(" ", 3), "")[:4]
        if not size.isdigit():
            raise OSError("the new objects of this push cannot be read")
        if kind == "blob" and int(size) > _LARGE:
            large.add(path)
        where = f"{path.encode('utf-8', 'replace').decode() or kind} (object {name[:12]})"
        for what in _content(stream, int(size), shapes):
            finding = Finding("lfs" if what == "lfs" else "secret", what, where)
            if kind == "blob" or what != "lfs":
                if finding not in told and len(told) < _MOST:
                    yield finding
                told.add(finding)
        stream.read(1)  # the line's end after each object


def _content(stream: IO[bytes], size: int, shapes: Shapes | None) -> Iterator[str]:
    rest, left = b"", size
    while left:
        piece = stream.read(min(left, _PIECE))
        if not piece:
            raise OSError("the new objects of this push cannot be read")
        left -= len(piece)
        if size <= _POINTER_BYTES and piece.startswith(_POINTERS):
            yield "lfs"
        if shapes:
            data = rest + piece
            yield from shapes.found(data)
            rest = data[-_OVERLAP:]


def pipelock(env: dict[str, str], new: Sequence[str], large: set[str]) -> list[Finding]:
    """What pipelock's own patterns find in the added lines, where the gate has the program; OSError when it fails.

    Without the files of `large`, which git would take into memory to compare.
    """
    program = shutil.which("pipelock", path=env["PATH"])
    if not program:
        return []
    log = ["git", "log", "--format=", "--patch", "--no-color", "--no-ext-diff", "--no-textconv", "--unified=0", "-m"]
    without = [f":(top,exclude,literal){path}" for path in sorted(large)]
    diffs = subprocess.Popen(
        [*log, "--full-history", *new, "--not", "--all", "--", ":(top)", *without],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    # Verbose, since a comment in the pushed text itself can have it pass over a line, and says so then.
    scanning = subprocess.Popen(
        [program, "git", "scan-diff", "--json", "--verbose"], env=env, stdin=diffs.stdout, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert diffs.stdout
    diffs.stdout.close()
    found, said = (part.decode("utf-8", "replace") for part in scanning.communicate())
    if "exceeds maximum size" in said:
        raise OSError("pipelock scans no more than 100 MB of added lines in one push: push in parts")
    if diffs.wait() or scanning.returncode not in (0, 1):
        raise OSError("pipelock could not scan this push")
    return list(_told(found, said, refused=bool(scanning.returncode)))[:_MOST]


def _told(found: str, said: str, *, refused: bool) -> Iterator[Finding]:
    """Place and name of each finding; the line that it stands in is not passed on."""
    try:
        findings = json.loads(found)
    except ValueError as e:
        raise OSError("pipelock could not scan this push") from e
    passed = [line.partition(": ")[2] for line in said.splitlines() if line.startswith("SUPPRESSED: ")]
    if refused and not findings:
        raise OSError("pipelock could not scan this push")
    for finding in findings:
        place = f"{finding['file']}:{finding['line']}"[:_LONGEST]
        yield Finding("secret", f"what pipelock calls {json.dumps(finding['pattern'])}", place)
    for line in passed:
        yield Finding("secret", "what a comment asks pipelock to pass over", line[:_LONGEST])
