"""A verified tree as a bottle's root: what the bottle brings itself takes the place of what the tree has there.

No link of the tree lies on the way to one of the bottle's own places, so nothing that is put there can land elsewhere.
"""

import os
import posixpath
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.layers import resolve

TRUST = (
    "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
)  # fmt: skip
"""Where programs look for authorities: Debian, Nix, Alpine, Fedora."""

NAMES = ("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/etc/nsswitch.conf")

OWN = frozenset({
    "/dev", "/home", "/opt/agent", "/opt/bottle", "/proc", "/run", "/sys", "/tmp", "/var/tmp", "/workspace",  # noqa: S108
    "/etc/ld.so.preload",  # would be loaded into what starts the agent, before it has given up its rights
    *NAMES, *TRUST,
})  # fmt: skip
"""What every runtime makes itself, or leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """`path` in the bottle. A folder to make when both others are empty; a link with a `target`; else everything that
    lies at `source`."""

    path: str
    target: str = ""
    source: Path | None = None


def parts(tree: Path, own: Collection[str] = OWN) -> Iterator[Part]:
    """Folders before what is in them, by name. Nothing at or below `own` is among them; the folders above those are."""
    yield from _folder(tree, "", "", own)


def _folder(tree: Path, seen: str, real: str | None, own: Collection[str]) -> Iterator[Part]:
    """What is in the folder that a bottle sees at `seen`, and that lies at `real` in the tree, or nowhere."""
    there = set(os.listdir(tree / real)) if real is not None else set[str]()  # noqa: PTH208 - names are enough
    needed = {path[len(seen) + 1 :].partition("/")[0] for path in own if path.startswith(f"{seen}/")}
    for name in sorted(there | needed):
        path = f"{seen}/{name}"
        if path in own:
            continue
        if name not in needed:
            yield _whole(tree, path, f"{real}/{name}".lstrip("/"), moved=seen.lstrip("/") != real)
            continue
        found = resolve(tree, f"{real}/{name}") if name in there else None
        yield Part(path=path)
        yield from _folder(tree, path, found if found is not None and (tree / found).is_dir() else None, own)


def _whole(tree: Path, path: str, real: str, *, moved: bool) -> Part:
    source = tree / real
    if not source.is_symlink():
        return Part(path=path, source=source)
    target = os.readlink(source)  # noqa: PTH115 - as it was written
    if moved and not target.startswith("/"):
        target = posixpath.join("/", posixpath.dirname(real), target)
    return Part(path=path, target=target)
