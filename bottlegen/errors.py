"""The one family of user-facing errors: every member lists all problems of a stage, each with place and fix.

Library exceptions are translated into this family once, where the library is called; anything else that
escapes is a bug and keeps its traceback.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A place in the user's text. `line` counts from 1; `field` is a dotted path such as `egress.routes[1].host`."""

    file: str
    line: int | None = None
    field: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}  {self.field}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake: `what` (lower case, the user's text quoted), `where`, and `fix` as something to type."""

    what: str
    where: Where | None = None
    fix: str = ""

    def __str__(self) -> str:
        lines = [f"error: {self.what}"]
        if self.where:
            lines.append(f"  --> {self.where}")
        lines.extend(f"  fix: {line}" if first else f"       {line}" for first, line in _numbered(self.fix))
        return "\n".join(lines)


def _numbered(fix: str) -> Iterable[tuple[bool, str]]:
    return ((index == 0, line) for index, line in enumerate(fix.splitlines()))


class BottlegenError(Exception):
    """Base of everything that is the user's to mend. `exit_code` is unique per subclass."""

    exit_code = 9

    def __init__(self, problems: Iterable[Problem] | Problem | str, *, fix: str = "") -> None:
        if isinstance(problems, str):
            problems = Problem(what=problems, fix=fix)
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        if not self.problems:
            raise ValueError("an error needs a problem")
        super().__init__(str(self))

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class UsageError(BottlegenError):
    """The command line asks for something that does not exist."""

    exit_code = 10


class ProfileError(BottlegenError):
    """A profile cannot be read or breaks a rule."""

    exit_code = 11


class PlanError(BottlegenError):
    """What a profile and its provider ask for cannot be combined."""

    exit_code = 12


class BundleError(BottlegenError):
    """A bundle is missing, stale, altered or of another format."""

    exit_code = 13


class HostError(BottlegenError):
    """host.toml, or another setting of this host, is wrong."""

    exit_code = 14


class SecretError(BottlegenError):
    """A secret that the bundle names cannot be had on this host. Never holds a value."""

    exit_code = 15


class RuntimeFailure(BottlegenError):
    """The runtime could not do what was asked; whatever was begun has been undone."""

    exit_code = 16


class LockError(BottlegenError):
    """bottlegen.lock cannot be read, or says something else than bottlegen or a registry does."""

    exit_code = 17

    def __init__(
        self, problems: Iterable[Problem] | Problem | str, *, fix: str = "", lacks: tuple[str, str] = ("", "")
    ) -> None:
        super().__init__(problems, fix=fix)
        self.lacks = lacks
        """The name and, where one was asked for, the version that the lock does not pin."""
