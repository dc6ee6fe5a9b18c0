"""Files as they are in a commit, read from git's store: no checkout, no index and no hook is touched."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bottlegen.errors import UsageError
from bottlegen.source import MAX_BYTES
from bottlegen.wording import UNSEEN, shown

_SECONDS = 30
_MAIN_LINES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
_QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
"""A look at history writes nothing, fetches nothing and asks nothing."""

_OF_ANOTHER = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")
"""Set inside of git's hooks, and true of the repository there alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One commit of the repository whose work tree is `root`; `name` is what the user called it."""

    root: Path
    commit: str
    name: str

    @property
    def label(self) -> str:
        return f"{self.name} ({self.commit[:12]})" if not self.commit.startswith(self.name) else self.commit[:12]

    def read(self, path: str) -> bytes:
        """The file `path` below the root, through symbolic links as a checkout would; OSError when there is none."""
        if path.startswith(("../", "/")) or UNSEEN.search(path):
            raise OSError(None, f"no such path in {self.name}")
        asked = f"{self.commit}:{path}\n".encode()
        out = _git(self.root, "cat-file", "--batch", "--follow-symlinks", stdin=asked)
        head, _, data = out.partition(b"\n")
        words = head.split()
        if len(words) != 3 or words[1] != b"blob":
            raise OSError(None, f"no such file in {self.name}")
        return data[: min(int(words[2]), MAX_BYTES + 1)]

    def holds(self, path: str) -> bool:
        try:
            self.read(path)
        except OSError:
            return False
        return True


def revision(folder: Path, asked: str) -> Revision:
    """The commit that `asked` names in the repository around `folder`; by default where HEAD left the main line."""
    root = repository(folder)
    if asked:
        commit = _commit(root, asked)
        if not commit:
            raise UsageError(
                f"no commit {shown(asked)} in '{root}'", fix="--against a branch, a tag or a commit's hash"
            )
        return Revision(root=root, commit=commit, name=asked)
    line = next((name for name in _MAIN_LINES if _commit(root, name)), None)
    base = _try(root, "merge-base", "HEAD", line) if line else ""
    if not line or not base:
        raise UsageError("nothing to compare with: no main branch shares a commit with HEAD", fix="--against REVISION")
    return Revision(root=root, commit=base, name=f"merge base with {line}")


def repository(folder: Path) -> Path:
    """The top of the work tree around `folder`."""
    top = _try(folder, "rev-parse", "--show-toplevel")
    if not top:
        raise UsageError(
            f"'{folder}' is in no git repository that git reads for you",
            fix="compare two files or bundles: --from A --to B",
        )
    return Path(top)


def _commit(root: Path, name: str) -> str:
    return _try(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")


def _try(folder: Path, *arguments: str) -> str:
    """What git answers, or nothing where it does not."""
    try:
        return _git(folder, *arguments).decode("utf-8", "surrogateescape").strip()
    except OSError:
        return ""


def _git(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """The output of one git command; OSError when it fails."""
    try:
        done = subprocess.run(
            ("git", "-C", str(folder), *arguments), input=stdin, capture_output=True, timeout=_SECONDS, check=False,
            env={**{name: value for name, value in os.environ.items() if name not in _OF_ANOTHER}, **_QUIET},
        )  # fmt: skip
    except FileNotFoundError as e:
        raise UsageError("no git command on this host", fix="install git, or compare: --from A --to B") from e
    except subprocess.TimeoutExpired as e:
        raise OSError(None, "git does not answer") from e
    if done.returncode:
        raise OSError(None, done.stderr.decode("utf-8", "replace").strip().partition("\n")[0])
    return done.stdout
