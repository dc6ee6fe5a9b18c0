"""The Nix archive hash of a tree: `nix hash path DIR` prints the same as `sri(tree_digest(...))`.

Format: the Nix manual's "Nix Archive" page. Strings are a little-endian 64-bit length and the bytes, padded with zeros
to eight; entries are sorted by raw name bytes; of all modes only the owner's execute bit counts.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

BASE32 = "0123456789abcdfghijklmnpqrsvwxyz"
"""Nix's alphabet: without e, o, t, u."""


@dataclass(frozen=True, slots=True)
class Regular:
    data: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Symlink:
    target: bytes


@dataclass(frozen=True, slots=True)
class Streamed:
    """A file too large to hold: `chunks` gives its `size` bytes when their turn comes, or it is a ValueError."""

    size: int
    chunks: Callable[[], Iterable[bytes]]
    executable: bool = False


Tree = Mapping[bytes, "Node"]
Node = Regular | Streamed | Symlink | Tree


def tree_digest(node: Node) -> bytes:
    """SHA-256 over the archive of `node`, 32 bytes."""
    digest = hashlib.sha256()
    for chunk in _archive(node):
        digest.update(chunk)
    return digest.digest()


def sri(digest: bytes) -> str:
    """`sha256-<base64>`, the form that Nix prints and flakes pin."""
    return "sha256-" + base64.b64encode(digest).decode("ascii")


def short(digest: bytes) -> str:
    """The first 20 bytes in Nix's base-32: 32 characters, as long as the hash part of a store path."""
    return base32(digest[:20])


def store_path(digest: bytes, name: str, store: str = "/nix/store") -> str:
    """Where a Nix store puts a tree of this archive hash: what `nix store add-path --name NAME` prints.

    The Nix manual's "Store Path" page, for source objects without references: the hash of a line that names the archive
    hash, the store and the name, folded to 20 bytes.
    """
    line = f"source:sha256:{digest.hex()}:{store}:{name}".encode()
    folded = bytearray(20)
    for place, byte in enumerate(hashlib.sha256(line).digest()):
        folded[place % 20] ^= byte
    return f"{store}/{base32(bytes(folded))}-{name}"


def parse_sri(text: str) -> bytes | None:
    """The digest that `sri` would write as `text`; None when there is none."""
    kind, _, encoded = text.partition("-")
    try:
        digest = base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
    return digest if kind == "sha256" and len(digest) == 32 and sri(digest) == text else None


def parse_other(text: str) -> bytes | None:
    """The digest in the other spellings that Nix prints: base-16 or base-32, with or without `sha256:`."""
    text = text.removeprefix("sha256:")
    if re.fullmatch("[0-9a-f]{64}", text):
        return bytes.fromhex(text)
    if not re.fullmatch(f"[{BASE32}]{{52}}", text):
        return None
    number = 0
    for digit in text:
        number = number << 5 | BASE32.index(digit)
    return number.to_bytes(32, "little") if number < 1 << 256 else None


def base32(data: bytes) -> str:
    """Nix's base-32: least significant bits first, printed from the most significant digit down."""
    number = int.from_bytes(data, "little")
    length = (len(data) * 8 + 4) // 5
    return "".join(BASE32[(number >> (5 * place)) & 31] for place in reversed(range(length)))


def plant(files: Mapping[str, Regular]) -> Tree:
    """Relative POSIX paths as the tree that holds them."""
    root: dict[bytes, Node] = {}
    for path, file in files.items():
        *folders, name = path.encode().split(b"/")
        here = root
        for folder in folders:
            child = here.setdefault(folder, {})
            if not isinstance(child, dict):
                raise ValueError(f"{path!r} lies below a file")
            here = child
        if name in here:
            raise ValueError(f"{path!r} is a file and a folder")
        here[name] = file
    return root


def _text(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data + bytes(-len(data) % 8)


def _archive(node: Node) -> Iterator[bytes]:
    yield _text(b"nix-archive-1")
    yield from _node(node)


def _node(node: Node) -> Iterator[bytes]:
    yield _text(b"(") + _text(b"type")
    if isinstance(node, Regular | Streamed):
        yield _text(b"regular")
        if node.executable:
            yield _text(b"executable") + _text(b"")
        yield _text(b"contents")
        yield from _contents(node)
    elif isinstance(node, Symlink):
        yield _text(b"symlink") + _text(b"target") + _text(node.target)
    else:
        yield _text(b"directory")
        for name in sorted(node):
            yield (_text(b"entry") + _text(b"(") + _text(b"name") + _text(name) + _text(b"node"))
            yield from _node(node[name])
            yield _text(b")")
    yield _text(b")")


def _contents(node: Regular | Streamed) -> Iterator[bytes]:
    if isinstance(node, Regular):
        yield _text(node.data)
        return
    yield node.size.to_bytes(8, "little")
    length = 0
    for chunk in node.chunks():
        length += len(chunk)
        yield chunk
    if length != node.size:
        raise ValueError(f"{length} bytes came where {node.size} were announced")
    yield bytes(-length % 8)
