"""Mounts of the user's folder such that what the agent writes there is not run by git on the host later.

The agent may commit, so `.git` is writable, but it is a mount point of its own and cannot be renamed away; hooks and
config are read-only mounts. A file `commondir` in a git directory sends git to other hooks and config
(gitrepository-layout(5)), so one that says "here" is put there and mounted read-only too.
"""

from __future__ import annotations

import os
import secrets as random_source
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bottlegen.errors import Problem, RuntimeFailure, Where
from runtime.git_config import led_into

if TYPE_CHECKING:
    from bottlegen.manifest import WorkspaceSpec

GUARD = b".\n"
"""Content of a `commondir` that changes nothing; a file with it was made here and goes with the bottle."""

_MAX_GIT_DIRS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """One bind mount; parents come before what lies in them."""

    source: Path
    target: str
    read_only: bool = False


def binds(folder: Path, spec: WorkspaceSpec, protected: tuple[Path, ...] = ()) -> tuple[Bind, ...]:
    """The workspace and all that is read-only in it, `protected` folders below it included.

    Creates missing mount points that git does not mind.
    """
    found = [Bind(source=folder, target=spec.path)]
    git = folder / ".git"
    if git.is_file():
        # A linked worktree or a submodule: its repository is elsewhere and stays out of the bottle.
        found.append(_inside(folder, git, spec.path, read_only=True))
    elif git.is_dir():
        found.extend(_inside(folder, path, spec.path, read_only=read_only) for path, read_only in _git_parts(git))
    for path in (*led_into(folder), *protected, *(folder / name for name in spec.read_only)):
        found.extend(_pinned(folder, path, spec.path))
    by_target: dict[str, Bind] = {}
    for bind in found:
        if not (bind.target in by_target and by_target[bind.target].read_only):
            by_target[bind.target] = bind
    return tuple(by_target.values())


def problems(folder: Path, spec: WorkspaceSpec) -> Iterator[Problem]:
    """What makes this folder unfit, before anything is touched."""
    if not folder.is_dir():
        yield Problem(what=f"the workspace '{folder}' is no folder", fix=f"mkdir -p '{folder}'")
        return
    for name in (".git", ".git/hooks", ".git/config", ".git/modules", ".git/worktrees", ".git/commondir"):
        if (folder / name).is_symlink():
            yield Problem(
                what=f"'{name}' of the workspace is a symbolic link, so it cannot be protected from the agent",
                where=Where(file=str(folder / name)),
                fix="put the real file there; for shared hooks use: git config core.hooksPath DIR",
            )
    for path in led_into(folder):
        if path == folder or not path.exists() or _has_link(folder, path):
            yield Problem(
                what=f"git on this host takes hooks or configuration from '{path}', the whole workspace, missing, "
                "or behind a symbolic link, so it cannot be protected from the agent",
                where=Where(file=str(folder / ".git" / "config")),
                fix=f"mkdir -p '{path}', or: git config --unset core.hooksPath",
            )
    for name in spec.read_only:
        path = folder / name
        if not path.exists() or _has_link(folder, path):
            yield Problem(
                what=f"the read-only path '{name}' is missing in the workspace, or leads through a symbolic link",
                where=Where(file=str(path), field="workspace.read_only"),
                fix=f"create '{name}', or remove it from workspace.read_only",
            )


def owner(folder: Path) -> tuple[int, int]:
    info = folder.stat()
    return info.st_uid, info.st_gid


def owned_by_root(folder: Path) -> Problem:
    """What is said of a folder whose owner no agent may be."""
    return Problem(
        what=f"the workspace '{folder}' belongs to root, and an agent does not run as root",
        fix="--workspace with a folder that a user owns: install -d -o 1000 -g 1000 /srv/work\n"
        f"or give this one to a user: chown -R 1000:1000 '{folder}'\n"
        'or, for an agent without your files: workspace.mode = "none" in the profile',
    )


def guards(folder: Path) -> list[Path]:
    """Where `binds` puts guard files in this workspace: for who finds a start that was killed before it named them."""
    git = folder / ".git"
    if git.is_symlink() or not git.is_dir():
        return []
    try:
        modules = _git_dirs(git / "modules")
    except RuntimeFailure:  # too many for a bottle, so there was none
        return []
    return [place / "commondir" for place in (git, *modules)]


def remove_guards(sources: list[Path]) -> None:
    """Take back the guard files at `sources`; anything that does not hold exactly the guard's text stays."""
    for path in sources:
        try:
            if path.name == "commondir" and stat.S_ISREG(path.lstat().st_mode) and path.read_bytes() == GUARD:
                path.unlink()
        except OSError:
            continue


def _inside(folder: Path, path: Path, target: str, *, read_only: bool) -> Bind:
    return Bind(source=path, target=f"{target}/{path.relative_to(folder).as_posix()}", read_only=read_only)


def _pinned(folder: Path, path: Path, target: str) -> Iterator[Bind]:
    """`path` read-only, and the folders above it as mount points: a parent renamed away would take the mount along."""
    for parent in reversed(_prefixes(path.relative_to(folder))[1:]):
        yield _inside(folder, folder / parent, target, read_only=False)
    yield _inside(folder, path, target, read_only=True)


def _has_link(folder: Path, path: Path) -> bool:
    return any((folder / part).is_symlink() for part in _prefixes(path.relative_to(folder)))


def _prefixes(path: Path) -> list[Path]:
    return [path, *(parent for parent in path.parents if parent != Path())]


def _git_parts(git: Path) -> Iterator[tuple[Path, bool]]:
    """(path, read-only) of a repository, then of its submodules and linked worktrees."""
    yield git, False
    yield from _protected(git)
    pinned: set[Path] = set()
    for module in _git_dirs(git / "modules"):
        # Every folder on the way is a mount point: a parent that could be renamed would take its mounts along.
        for folder in reversed(_prefixes(module.relative_to(git))):
            if git / folder not in pinned:
                pinned.add(git / folder)
                yield git / folder, False
        yield from _protected(module)
    worktrees = git / "worktrees"
    if worktrees.is_dir():
        yield worktrees, True


def _git_dirs(folder: Path) -> list[Path]:
    """Git directories below, found by their HEAD; a module's name may hold slashes."""
    found = []
    for path, folders, names in os.walk(folder):
        if "HEAD" in names:
            found.append(Path(path))
            folders[:] = [name for name in folders if name == "modules"]
        if len(found) > _MAX_GIT_DIRS:
            raise RuntimeFailure(
                f"'{folder}' holds more than {_MAX_GIT_DIRS} submodules", fix="use a clone without submodules"
            )
    return sorted(found)


def _protected(git: Path) -> Iterator[tuple[Path, bool]]:
    for name, content in (("hooks", None), ("config", b""), ("commondir", GUARD)):
        path = git / name
        if not os.path.lexists(path):
            _create_like(git, path, content)
        _expect(path, stat.S_IFDIR if content is None else stat.S_IFREG)
        yield path, True
    worktree_config = git / "config.worktree"
    if not os.path.lexists(worktree_config) and b"worktreeconfig" in (git / "config").read_bytes().lower():
        _create_like(git, worktree_config, b"")
    if os.path.lexists(worktree_config):
        _expect(worktree_config, stat.S_IFREG)
        yield worktree_config, True


def _expect(path: Path, kind: int) -> None:
    """RuntimeFailure when an agent left something else there: a link, or a pipe that nobody would ever write to."""
    if stat.S_IFMT(path.lstat().st_mode) != kind:
        raise RuntimeFailure(
            f"'{path}' is not the {'folder' if kind == stat.S_IFDIR else 'file'} that git has there, "
            "so it cannot be protected from the agent",
            fix=f"look at it: ls -l '{path}'\nif nothing of yours needs it: rm '{path}'",
        )


def _create_like(git: Path, path: Path, content: bytes | None) -> None:
    """An empty folder, or a file, owned like the git directory; never there half-written, for git may be looking.

    An agent may have filled the directory before: a new name that nobody can know, and no link is followed.
    """
    new = path.with_name(f".{path.name}.{random_source.token_hex(8)}")
    if content is None:
        new.mkdir()
    else:
        with new.open("xb") as file:
            file.write(content)
    info = git.stat()
    if info.st_uid != os.geteuid():
        os.chown(new, info.st_uid, info.st_gid, follow_symlinks=False)
    new.rename(path)
