"""Where this host keeps what belongs to bottles: homes by bottle name, the bundle of a run; never a secret.

$XDG_STATE_HOME/bottlegen, else ~/.local/state/bottlegen. Homes are closed to others.
"""

import itertools
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bottlegen.errors import HostError, UsageError

_numbers = itertools.count()

BOTTLE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


def check_bottle_name(name: str) -> str:
    """`name` itself; UsageError when an engine or a path could not carry it."""
    if not BOTTLE_NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot name a bottle",
            fix="--name with lower-case letters, digits and '-', at most 41",
        )
    return name


@dataclass(frozen=True, slots=True)
class State:
    """Paths below the state directory; nothing is made before it is needed."""

    root: Path

    @classmethod
    def of(cls, env: Mapping[str, str], home: Path) -> "State":
        return cls(Path(env.get("XDG_STATE_HOME") or home / ".local" / "state") / "bottlegen")

    def bottle(self, name: str) -> Path:
        return self.root / "bottles" / check_bottle_name(name)

    def home(self, name: str) -> Path:
        return self.bottle(name) / "home"

    def bundle(self, name: str) -> Path:
        """The copy of the bundle that the running bottle was started from: `refresh` and `verify` speak of it alone."""
        return self.bottle(name) / "bundle"

    def run(self, name: str) -> Path:
        """What the start of the running bottle came to know: `verify` compares with it."""
        return self.bottle(name) / "run.json"

    @property
    def audit(self) -> Path:
        """What ways out did, by bottle and run: it stays when a bottle goes."""
        return self.root / "audit"

    def certificates(self, name: str) -> Path:
        """When the running bottle's certificates are good, and which are in use."""
        return self.bottle(name) / "certificates.json"

    def observed_mark(self, name: str) -> Path:
        """Says that the run is observed, and for which profile."""
        return self.bottle(name) / "observe"

    def names(self, *, homes: bool) -> tuple[str, ...]:
        """Bottles of which something of a run is left, or with `homes` anything at all."""
        folder = self.root / "bottles"
        found = sorted(folder.iterdir()) if folder.is_dir() else []
        return tuple(path.name for path in found if homes or (path / "bundle").exists())

    def forget_run(self, name: str) -> None:
        """Remove what belongs to one run and not to the kept home; a home that nothing was put into goes too."""
        for folder in (self.bundle(name), *self.bottle(name).glob(".bundle.*")):  # `up` was killed while it wrote
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self.observed_mark(name), self.run(name), *self.bottle(name).glob("*certificates.json*")):
            file.unlink(missing_ok=True)
        self.drop_empty(name)

    def drop_empty(self, name: str) -> None:
        """Remove the folders of a bottle that hold nothing."""
        folder = self.bottle(name)
        for empty in (folder / "home", folder):  # not their parent: another start may be about to use it
            with suppress(OSError):
                empty.rmdir()

    def make_home(self, name: str, owner: tuple[int, int]) -> Path:
        """The bottle's home folder, owned by who the agent runs as; HostError when it cannot be."""
        home = self.home(name)
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            info = home.stat()
            if (info.st_uid, info.st_gid) != owner:
                os.chown(home, *owner)
        except OSError as e:
            raise HostError(
                f"cannot make the agent's home '{home}': {e.strerror}",
                fix=self._home_fix(home),
            ) from e
        return home

    def _home_fix(self, home: Path) -> str:
        if home.exists():
            return f"bottlegen down --purge, or rm -r '{home}'"
        there = next(path for path in home.parents if path.exists())
        return f"ls -ld '{there}'   # has to be a folder that you can write; XDG_STATE_HOME names another"

    def purge(self, name: str) -> bool:
        """Remove all that is kept of a bottle; False if there was nothing."""
        folder = self.bottle(name)
        if not folder.exists():
            return False
        try:
            _remove_tree(folder)
        except OSError as e:
            raise HostError(f"cannot remove '{folder}': {e.strerror}", fix=f"rm -r '{folder}'") from e
        return True


def _remove_tree(folder: Path) -> None:
    """Remove what an agent may have made: closed folders, links, and folders nested deeper than shutil.rmtree can go.

    Every folder is first brought up to `folder`, so no depth matters; a link is removed and never followed.
    """
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        for path in [*here.iterdir()]:
            if path.is_symlink() or not path.is_dir():
                path.unlink()
                continue
            path.chmod(0o700)
            waiting.append(path.rename(folder / f".removed-{next(_numbers)}"))
        if here != folder:
            here.rmdir()
    folder.rmdir()
