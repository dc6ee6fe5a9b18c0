"""Who uses a workspace, whatever the runtime: its last user takes back the guard files, and none from who begins.

A start says that it uses the workspace before it looks for guards in it. An end looks who else does and takes the
guards back, and nobody begins in between: both hold a lock in the state directory, where no agent comes.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bottlegen.errors import HostError
from runtime.base import LaunchSpec
from runtime.locking import locked
from runtime.workspace import guards, remove_guards

Places = Callable[[], set[str]]
"""Paths of guard files, asked for once nobody can begin any more."""


@dataclass(frozen=True, slots=True)
class WorkspaceUsers:
    """`state` is bottlegen's folder of this user's state directory: bottles of another one are not known here."""

    state: Path

    @property
    def _folder(self) -> Path:
        return self.state / "workspaces"

    def begin(self, runtime: str, spec: LaunchSpec) -> None:
        """Say that this start uses its workspace; HostError when that cannot be written down."""
        if spec.workspace is None:
            return
        use = self._folder / f"{runtime}.{spec.bottle}.{spec.session}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(self._folder):
                use.write_bytes(os.fsencode(spec.workspace))
        except OSError as e:
            raise HostError(
                f"cannot write down in '{self._folder}' who uses '{spec.workspace}': {e.strerror}",
                fix="make room there, or set XDG_STATE_HOME to a folder of yours",
            ) from e

    def end(self, runtime: str, bottle: str, session: str, *, made: Places, others: Places) -> None:
        """Take back the guards of this bottle, whose agent has ended, unless another one needs them.

        `made` and `others` are what the runtime itself knows of: also of starts that came to their end otherwise.
        """
        with self._alone():
            self._end(runtime, bottle, session, made, others)

    def forget(self, runtime: str, bottle: str, session: str, *, there: Callable[[], bool], others: Places) -> None:
        """The same for a bottle that is gone, removed by other hands, unless it is `there` again."""
        with self._alone():
            if any(_is(use, runtime, bottle, session) for use in self._every()) and not there():
                self._end(runtime, bottle, session, set, others)

    def _end(self, runtime: str, bottle: str, session: str, made: Places, others: Places) -> None:
        its, kept = made(), others()
        ending = [use for use in self._every() if _is(use, runtime, bottle, session)]
        for use in self._every():
            (its if use in ending else kept).update(of_workspace(os.fsdecode(use.read_bytes())))
        remove_guards([Path(guard) for guard in sorted(its - kept)])
        for use in ending:
            use.unlink()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Without the folder nobody has begun here: there is nobody to wait for."""
        if not self._folder.is_dir():
            yield
            return
        with locked(self._folder):
            yield

    def _every(self) -> list[Path]:
        """Named by runtime, bottle and session; in it, the workspace. One half written has looked for no guard yet."""
        return sorted(self._folder.iterdir()) if self._folder.is_dir() else []


def of_workspace(folder: str) -> set[str]:
    """Guards that a start may have put into this workspace."""
    return {str(path) for path in guards(Path(folder))} if folder else set()


def _is(use: Path, runtime: str, bottle: str, session: str) -> bool:
    its = use.name.split(".")
    return its[:2] == [runtime, bottle] and session in ("", its[-1])
