"""The attempts as they stand in the TOML files of this folder: one file a category, each attempt with its control."""

import functools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MICROVM = "microvm"
_FAST = ("docker", "bubblewrap")
"""Where starting a program costs next to nothing."""

FREE = "free"
"""The control of commands that want rights: the same in a namespace of the tests' own."""

HOST = "host"
"""Where attempts run that no runtime sees: what is done before one is asked."""

NAMES = "names"
"""The category whose controls need an address that stands for a public one."""

CATEGORIES = ("routing", NAMES, "credentials", "exhaustion", "escape", "supply")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that is done: the driver and its settings, as JSON so that it stays a value."""

    name: str
    does: str
    settings: tuple[tuple[str, Any], ...]
    alone: bool = False

    @property
    def mark(self) -> str:
        """What tells its requests from all others, wherever it stands in them."""
        return f"mark-{self.name}--end"

    def order(self) -> dict[str, Any]:
        return {"name": self.name, "mark": self.mark, "does": self.does, "with": dict(self.settings)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """`held` says which defence is expected to hold. `answers` is what the bottle says to it, which shows that the
    attempt came as far as it should; empty where that differs. With `passes` it goes through, for the reason given."""

    category: str
    step: Step
    control: Step
    held: str
    answers: str
    passes: str
    runtimes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.step.name

    @property
    def id(self) -> str:
        return f"{self.category}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    name: str
    title: str
    runtimes: tuple[str, ...]
    attempts: tuple[Attempt, ...]


@functools.cache
def categories() -> tuple[Category, ...]:
    return tuple(_read(name) for name in CATEGORIES)


def attempts(runtime: str = "") -> tuple[Attempt, ...]:
    """Every attempt, or those that run on one runtime."""
    every = (attempt for category in categories() for attempt in category.attempts)
    return tuple(attempt for attempt in every if not runtime or runtime in attempt.runtimes)


def named(name: str) -> Attempt:
    return next(attempt for attempt in attempts() if attempt.name == name)


def _read(category: str) -> Category:
    with (HERE / f"{category}.toml").open("rb") as stream:
        data = tomllib.load(stream)
    controls = {name: _step(f"control-{category}-{name}", told) for name, told in data["control"].items()}
    everywhere = tuple(data["runtimes"])
    spread = (each for told in data["attempt"] for each in _of_each_repository(told))
    made = tuple(_attempt(category, told, controls, everywhere) for told in spread)
    return Category(name=category, title=data["title"], runtimes=everywhere, attempts=made)


def _of_each_repository(told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One attempt for each of the git directories that it names."""
    folders = told.pop("git", [None])
    for folder in folders:
        if folder is None:
            yield told
        else:
            run = told["with"]["run"].replace("{git}", folder)
            more = {} if folder == folders[0] else {"name": f"{told['name']}-of-a-submodule", "runtimes": _FAST}
            yield told | {"with": {"run": run}} | more


def _control(name: str, told: Mapping[str, Any], controls: Mapping[str, Step]) -> Step:
    """One of the category's, or the attempt itself where no wall is."""
    if name == FREE:
        run = told["with"]["run"]
        return Step(name=f"control-of-{told['name']}", does=FREE, settings=(("run", run),))
    return controls[name]


def _attempt(category: str, told: dict[str, Any], controls: Mapping[str, Step], everywhere: tuple[str, ...]) -> Attempt:
    return Attempt(
        category=category,
        control=_control(told.pop("control"), told, controls),
        step=_step(told.pop("name"), told),
        held=told.pop("held"),
        answers=told.pop("answers", ""),
        passes=told.pop("passes", ""),
        runtimes=tuple(told.pop("runtimes", everywhere)),
        **_nothing_else(told),
    )


def _step(name: str, told: dict[str, Any]) -> Step:
    alone = told.pop("alone", False)
    settings = tuple(sorted(told.pop("with", {}).items()))
    return Step(name=name, does=told.pop("does"), settings=settings, alone=alone)


def _nothing_else(told: dict[str, Any]) -> dict[str, Any]:
    assert not told, f"unknown settings of an attempt: {', '.join(told)}"
    return {}
