"""Room on the disks that bottles write to: downloads, roots, homes, and the engine's images."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from runtime.doctor.finding import Finding, Level

GIB = 1024**3
_LOW, _TOO_LOW = 5 * GIB, GIB
"""An agent's image is a gibibyte with what it is made from; a build needs that twice."""

_FEW_FILES = 10_000
_WHY = "a build or a start that finds no room fails half-way; an agent's work may be lost"


def space(folders: Mapping[str, Path], look: Callable[[Path], os.statvfs_result] = os.statvfs) -> list[Finding]:
    """One finding a file system; `folders` by what they are for, in the words of a fix. They need not exist yet."""
    seen: dict[int, tuple[str, Path]] = {}
    for purpose, folder in folders.items():
        if (there := _existing(folder)) is not None:
            device = there.stat().st_dev
            purposes = f"{seen[device][0]}, {purpose}" if device in seen else purpose
            seen[device] = (purposes, seen[device][1] if device in seen else there)
    return [_judged(purposes, folder, look(folder)) for purposes, folder in seen.values()]


def _existing(folder: Path) -> Path | None:
    for path in (folder, *folder.parents):
        if os.access(path, os.X_OK) and path.is_dir():
            return path
    return None


def _judged(purposes: str, folder: Path, told: os.statvfs_result) -> Finding:
    free = told.f_bavail * told.f_frsize
    level: Level = "problem" if free < _TOO_LOW else "warn" if free < _LOW else "ok"
    what = f"{free / GIB:.1f} GiB free at '{folder}' ({purposes})"
    if told.f_files and told.f_favail < _FEW_FILES:
        level, what = "problem", f"room for {told.f_favail} more files at '{folder}' ({purposes})"
    if level == "ok":
        return Finding(level=level, area="disk", what=what)
    engine = "docker system df; docker image prune" if "engine" in purposes else ""
    cache = "rm -r ~/.cache/bottlegen   # is downloaded and built again" if "cache" in purposes else ""
    return Finding(
        level=level, area="disk", what=what, why=_WHY, fix="\n".join(filter(None, (engine, cache))) or "df -h"
    )
