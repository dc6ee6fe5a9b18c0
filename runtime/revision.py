"""Files as they are in a commit, read from git's store: no checkout, no index and no hook is touched."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bottlegen.bundle import MAX_FILE
from bottlegen.errors import UsageError
from bottlegen.source import MAX_BYTES
from bottlegen.wording import UNSEEN, shown

_SECONDS = 30
_MAIN_LINES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
_QUIET = {
    "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C",
    "GIT_NO_REPLACE_OBJECTS": "1", "GIT_ALLOW_PROTOCOL": "none",
}  # fmt: skip
"""A look at history writes nothing, fetches nothing, asks nothing, and sees no object in the place of another."""

_PLAIN = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
"""Nothing that the repository's own settings name is started, should a command ever come to it."""

_TRAILER = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_KINDS = ("remotes", "heads", "tags")
_MAX_FILES = 2000

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

    def tree(self, path: str) -> dict[str, tuple[bool, bytes]]:
        """Every file below the folder `path`, whether it is executable, and its bytes; empty when there is none.

        OSError for what is no plain file, or more than a bundle ever holds.
        """
        try:
            listed = _git(self.root, "ls-tree", "-r", "-l", "-z", f"{self.commit}:{path}")
        except OSError:
            return {}
        entries = [_entry(line) for line in listed.decode("utf-8", "surrogateescape").split("\0") if line]
        if len(entries) > _MAX_FILES or sum(size for _, _, size, _ in entries) > 2 * MAX_FILE:
            raise OSError(None, f"'{path}' in {self.name} is larger than any bundle")
        asked = "".join(f"{name}\n" for _, name, _, _ in entries).encode()
        out = _git(self.root, "cat-file", "--batch", stdin=asked)
        found = {}
        at = 0
        for mode, _, size, name in entries:
            at = out.index(b"\n", at) + 1
            found[name] = (mode == "100755", out[at : at + size])
            at += size + 1
        return found

    def names(self, path: str) -> tuple[str, ...]:
        """The names in the folder `path`; empty when there is none."""
        try:
            listed = _git(self.root, "ls-tree", "--name-only", "-z", f"{self.commit}:{path}")
        except OSError:
            return ()
        return tuple(name for name in listed.decode("utf-8", "replace").split("\0") if name)

    def with_trailer(self, name: str) -> str:
        """A commit since then, of those that HEAD has, whose message ends with the trailer `name` and some value."""
        if not _TRAILER.fullmatch(name):
            raise UsageError(f"{shown(name)} is no trailer", fix="--trailer Bottle-Widens")
        form = f"--format=%H %(trailers:key={name},valueonly,unfold,separator=%x20)"
        lines = _try(self.root, "log", "--no-show-signature", "--no-patch", form, f"{self.commit}..HEAD").splitlines()
        return next((words[0] for line in lines if len(words := line.split()) > 1), "")

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


def _entry(line: str) -> tuple[str, str, int, str]:
    """Mode, object, size and path of one line of ls-tree; OSError for links and submodules."""
    head, _, path = line.partition("\t")
    mode, kind, name, size = head.split()
    if kind != "blob" or mode not in ("100644", "100755"):
        raise OSError(None, f"{shown(path)} is no plain file")
    return mode, name, int(size), path


def named(folder: Path, asked: str) -> Revision:
    """The commit of `HEAD`, or of the one branch or tag that `asked` names; UsageError when two have that name.

    git itself takes a tag for a branch of the same name, and says so where nobody looks.
    """
    root = repository(folder)
    full = (
        (asked,) if asked == "HEAD" or asked.startswith("refs/") else tuple(f"refs/{kind}/{asked}" for kind in _KINDS)
    )
    found = [(name, commit) for name in full if (commit := _commit(root, name))]
    if not found:
        raise UsageError(f"no branch or tag {shown(asked)} in '{root}'", fix="git fetch, then try again")
    if len(found) > 1:
        names = " and ".join(name for name, _ in found)
        raise UsageError(f"{shown(asked)} is {names} in '{root}'", fix=f"name one of them: {found[0][0]}")
    return Revision(root=root, commit=found[0][1], name=asked)


def commit_of(path: Path) -> str:
    """The commit of HEAD when it has the file as it is here; empty when it has not, or there is no repository."""
    try:
        past = named(path.parent, "HEAD")
        inside = path.resolve().relative_to(past.root.resolve())
        return past.commit if past.read(inside.as_posix()) == path.read_bytes() else ""
    except (UsageError, OSError, ValueError):
        return ""


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
            ("git", *_PLAIN, "-C", str(folder), *arguments),
            input=stdin, capture_output=True, timeout=_SECONDS, check=False,
            env={**{name: value for name, value in os.environ.items() if name not in _OF_ANOTHER}, **_QUIET},
        )  # fmt: skip
    except FileNotFoundError as e:
        raise UsageError("no git command on this host", fix="install git, or compare: --from A --to B") from e
    except subprocess.TimeoutExpired as e:
        raise OSError(None, "git does not answer") from e
    if done.returncode:
        raise OSError(None, done.stderr.decode("utf-8", "replace").strip().partition("\n")[0])
    return done.stdout
