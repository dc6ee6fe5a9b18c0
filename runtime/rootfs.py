"""The agent's root that a bundle names: no tree is handed to a runtime but a copy whose hash was taken as it was made.

The copy lies in this host's cache, where no agent reaches: what becomes of the original later changes no bottle. It has
what a Nix archive has and no more: no owners, no setuid bits, no attributes, no devices.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bottlegen import nar
from bottlegen.errors import Problem, RuntimeFailure, Where
from runtime import layers, tree
from runtime.locking import locked
from runtime.machine import own_platform

if TYPE_CHECKING:
    from bottlegen.manifest import Manifest, RootfsSpec
    from runtime.base import Progress, Step

STORE = Path("/nix/store")
_SETTLED = 2_000_000_000
"""Nanoseconds: a file changed this long ago would have another time if it changed again (times are a clock's ticks)."""


def places(manifest: Manifest, project: Path, told: Mapping[str, str], store: Path = STORE) -> tuple[Path, ...]:
    """Where the rootfs may lie, the first that is there counts: what host.toml tells alone, else below the project,
    else where a Nix store has what was added to it under this name."""
    rootfs = manifest.rootfs
    if rootfs is None:
        return ()
    if rootfs.name in told:
        return (Path(told[rootfs.name]).expanduser(),)
    name = rootfs.name.rpartition("/")[2]
    return project / rootfs.name, Path(nar.store_path(_digest(rootfs), name, str(store)))


class RootfsStore:
    """Verified trees in `folder`, each by the hash that a manifest names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def have(self, manifest: Manifest, found_at: Sequence[Path], progress: Progress) -> Path | None:
        """The verified tree of a manifest with a rootfs, None without one; RuntimeFailure when what lies at the first
        of `found_at` that is there is something else, or there is neither that nor a copy."""
        rootfs = manifest.rootfs
        if rootfs is None:
            return None
        kept = _Kept(self._folder / nar.base32(_digest(rootfs)))
        source = next((path.resolve() for path in found_at if path.exists()), None)
        try:
            kept.folder.mkdir(parents=True, exist_ok=True)
            with locked(kept.folder):
                self._settle(manifest, rootfs, kept, source, found_at, progress)
        except OSError as e:
            what = f"cannot keep a rootfs in '{self._folder}': {e.strerror or e}"
            raise RuntimeFailure(what, fix="check space and permissions") from e
        return kept.tree

    def _settle(
        self, manifest: Manifest, rootfs: RootfsSpec, kept: _Kept, source: Path | None,
        found_at: Sequence[Path], progress: Progress,
    ) -> None:  # fmt: skip
        whole = kept.is_whole()
        if source is None:
            if not whole:
                raise _missing(manifest, rootfs, found_at)
            return
        seen = _fingerprint(source)
        if whole and seen and seen == kept.sources().get(str(source)):
            return
        # Taken before the bytes are read: what changes from here on does not fit it.
        with progress.step(f"verify rootfs {rootfs.name}") as step:
            self._read(manifest, rootfs, kept, source, step, copies=not whole)
        kept.remember(source, seen)

    def _read(
        self, manifest: Manifest, rootfs: RootfsSpec, kept: _Kept, source: Path, step: Step, *, copies: bool
    ) -> None:
        if source.is_dir() != (rootfs.kind == "directory"):
            raise _other_kind(manifest, rootfs, source)
        with tempfile.TemporaryDirectory(dir=kept.folder, prefix="new-") as made:
            copy = Path(made) / "copy" if copies else None
            found = tree.digest(source, copy=copy, tell=step.advance)
            if found != _digest(rootfs):
                raise _mismatch(manifest, rootfs, source, found)
            if copy is None:
                return
            if rootfs.kind == "archive":
                step.note(f"unpack {rootfs.name}")
                named = copy.rename(copy.with_name(source.name))  # messages tell its name
                layers.unpack(named, copy, own_platform(), Path(made))
            kept.take(copy)


@dataclass(frozen=True, slots=True)
class _Kept:
    """One tree of the store, and beside it a record of what was seen when it was verified."""

    folder: Path

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def is_whole(self) -> bool:
        """Whether the copy is as it was when it was made: a cleaner of caches, or a disk, may have changed it."""
        found = tree.fingerprint(self.tree)
        return found is not None and found.text == self._record().get("tree")

    def sources(self) -> dict[str, str]:
        found = self._record().get("sources")
        return found if isinstance(found, dict) else {}

    def take(self, new: Path) -> None:
        """`new` becomes the tree, whole."""
        if self.tree.exists():
            self.tree.rename(new.with_name("old"))
        new.rename(self.tree)
        made = tree.fingerprint(self.tree)
        self._write({"tree": made.text if made else "", "sources": {}})

    def remember(self, source: Path, seen: str | None) -> None:
        if seen:
            self._write(self._record() | {"sources": {str(source): seen}})

    def _record(self) -> dict[str, object]:
        try:
            found = json.loads((self.folder / "record.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, record: Mapping[str, object]) -> None:
        new = self.folder / f"record.json.{os.getpid()}"
        new.write_text(json.dumps(record))
        new.replace(self.folder / "record.json")


def _fingerprint(source: Path) -> str | None:
    """What tells this source from any later one at its path; None for one too fresh to tell."""
    if (top := _store_entry(source)) and _is_immutable(top):
        return f"store {top.name}"
    found = tree.fingerprint(source)
    return found.text if found and found.newest < time.time_ns() - _SETTLED else None


def _store_entry(path: Path) -> Path | None:
    return STORE / path.parts[3] if path.is_relative_to(STORE) and len(path.parts) > 3 else None


def _is_immutable(entry: Path) -> bool:
    """Whether Nix has put it there and closed it: nobody may write, and its time is the one that Nix gives to all."""
    info = entry.stat()
    return info.st_mtime == 1 and not info.st_mode & 0o222


def _digest(rootfs: RootfsSpec) -> bytes:
    digest = nar.parse_sri(rootfs.hash)
    assert digest is not None  # the manifest was read
    return digest


def _where(manifest: Manifest, field: str) -> Where:
    return Where(file=manifest.name, field=f"rootfs.{field}")


def _mismatch(manifest: Manifest, rootfs: RootfsSpec, source: Path, found: bytes) -> RuntimeFailure:
    what = (
        f"the rootfs at '{source}' is not the one that was declared:\n"
        f"  declared {rootfs.hash}\n  found    {nar.sri(found)}"
    )
    fix = (
        "put the declared one there; or, if the new one is meant, look at it, then\n"
        f"bottlegen hash --path '{source}', write that into the profile, bottlegen build, and review the change"
    )
    return RuntimeFailure(Problem(what=what, where=_where(manifest, "hash"), fix=fix))


def _missing(manifest: Manifest, rootfs: RootfsSpec, found_at: Sequence[Path]) -> RuntimeFailure:
    looked = "".join(f"\n  looked for '{path}'" for path in found_at)
    fix = f'put it there, or say where it is in host.toml:\n[rootfs]\n"{rootfs.name}" = "/…"'
    what = f"the rootfs '{rootfs.name}' is not on this host{looked}"
    return RuntimeFailure(Problem(what=what, where=_where(manifest, rootfs.kind), fix=fix))


def _other_kind(manifest: Manifest, rootfs: RootfsSpec, source: Path) -> RuntimeFailure:
    is_now = "directory" if source.is_dir() else "archive" if source.is_file() else "something else"
    what = f"the rootfs at '{source}' is declared as {rootfs.kind}, and is {is_now}"
    fix = f'rootfs.{is_now} = "{rootfs.name}"' if is_now != "something else" else f"ls -l '{source}'"
    return RuntimeFailure(Problem(what=what, where=_where(manifest, rootfs.kind), fix=fix))
