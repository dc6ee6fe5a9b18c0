"""Sources of bind mounts: an engine follows links on the host, so none may lie where an agent could have put one."""

from collections.abc import Iterable
from pathlib import Path

from bottlegen.errors import Problem, RuntimeFailure, Where
from runtime import workspace
from runtime.base import LaunchSpec
from runtime.workspace import Bind


def of(spec: LaunchSpec) -> tuple[Bind, ...]:
    """The mounts of the workspace in every runtime, none without one. What is missing of git's is made there."""
    if spec.workspace is None:
        return ()
    found = workspace.binds(spec.workspace, spec.bundle.manifest.workspace, spec.protected)
    return unlinked(spec.workspace, found)


def unlinked(folder: Path, binds: Iterable[Bind]) -> tuple[Bind, ...]:
    """`binds`, each from a place below `folder` and reached through no symbolic link; RuntimeFailure names all others.

    An agent that had this workspace before may have left links at any name that a later start mounts.
    """
    found = tuple(binds)
    problems = [
        Problem(
            what=f"'{link.relative_to(folder)}' of the workspace is a symbolic link, and mounting it would show the "
            "agent what it leads to",
            where=Where(file=str(link)),
            fix=f"look at it: ls -l '{link}'\nif nothing of yours needs it: rm '{link}'",
        )
        for link in sorted({link for bind in found for link in _links(folder, bind.source)})
    ]
    if problems:
        raise RuntimeFailure(problems)
    return found


def _links(folder: Path, source: Path) -> list[Path]:
    """The first link on the way from `folder` to `source`; what lies behind it is not looked at."""
    way = [source, *source.parents]
    below = reversed(way[: way.index(folder)])
    return next(([path] for path in below if path.is_symlink()), [])
