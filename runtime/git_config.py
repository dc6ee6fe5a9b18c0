"""What git on this host would run or read from the work tree, because its configuration leads it there."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

_SECONDS = 10
_HOOKS = "core.hooksPath"
_INCLUDES = r"^include(if\..*)?\.path$"


def led_into(folder: Path) -> tuple[Path, ...]:
    """Paths inside the work tree `folder` that hold hooks or configuration, by its own config and the user's.

    The values may name nothing that exists. Without a git command on this host there is nobody to be led.
    """
    git = folder / ".git"
    if not git.is_dir():
        return ()
    hooks = [_absolute(value, folder) for scope in _scopes(git) for value in _values(*scope, "--get-all", _HOOKS)]
    # An include is relative to the file that names it (git-config(1)).
    named = _values("--file", str(git / "config"), "--get-regexp", _INCLUDES)
    includes = [_absolute(line.partition(" ")[2], git) for line in named]
    inside = {path for path in (*hooks, *includes) if path.is_relative_to(folder) and not path.is_relative_to(git)}
    return tuple(sorted(inside))


def _scopes(git: Path) -> Iterator[tuple[str, ...]]:
    """Read as plain files: git passes over a repository of another owner, for whom it counts all the same."""
    yield ("--file", str(git / "config"))
    yield ("--global",)
    yield ("--system",)


def _values(*arguments: str) -> list[str]:
    try:
        done = subprocess.run(
            ("git", "config", *arguments), stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.decode("utf-8", "surrogateescape").splitlines()


def _absolute(value: str, start: Path) -> Path:
    """`~` expanded, `..` worked out by name; a relative path counts from `start`."""
    return Path(os.path.normpath(start / Path(value).expanduser()))


def submodules(folder: Path) -> frozenset[str]:
    """Paths that the index of `folder` calls submodules: git status enters each and heeds the configuration there.

    Read without entering any of them, and without the work tree's own settings having a say.
    """
    if not (folder / ".git").exists():
        return frozenset()
    plain = ("git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "ls-files", "--stage", "-z")
    try:
        done = subprocess.run(
            plain, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    entries = (entry for entry in done.stdout.decode("utf-8", "replace").split("\0") if entry.startswith("160000 "))
    return frozenset(entry.partition("\t")[2] for entry in entries)
