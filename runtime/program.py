"""What is typed, read by invoke: with the words that users leave bare, and each mistake told as all others are."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final

from invoke.collection import Collection
from invoke.exceptions import ParseError
from invoke.parser.context import ParserContext
from invoke.program import Program

from bottlegen import __version__
from bottlegen.errors import UsageError
from bottlegen.wording import shown

_VALUED: Final = {
    "verify": ("--name", "-n", "--bundle", "-b"),
    "explain": ("--profile", "-p", "--request", "-r"),
    "diff": (
        *("--profile", "-p", "--against", "-a", "--from", "-f", "--to", "-t"),
        *("--format", "-o", "--fail-on", "-l"),
    ),
}
"""Options whose value is the next word, of the tasks that take words without an option."""

_UNKNOWN: Final = re.compile(r"No idea what (['\"])(?P<word>.*)\1 is!", re.DOTALL)
_VALUE: Final = re.compile(
    r"Flag <Argument: (?P<option>[\w-]+).*> (?:needed value.*|(?P<none>doesn't take any value)!)"
)
_LIKELY: Final = ("--profile", "--name")
"""What a word without an option is meant for, of tasks that take it."""


class _Program(Program):
    """invoke's own, which raises UsageError for what it cannot read."""

    def parse_tasks(self) -> None:
        with self._told():
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        with self._told():
            super().parse_cleanup()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except ParseError as e:
            raise self._mistake(str(e), e.context) from e

    def _mistake(self, said: str, context: ParserContext | None) -> UsageError:
        from bottlegen.diagnosis import unknown  # late: only mistakes pay for it

        task = (context.name if context else None) or ""
        flags = [flag for flag in context.flags if flag.startswith("--")] if context and task else []
        if match := _VALUE.fullmatch(said):
            what = f"--{match['option']} of {task} {'takes no' if match['none'] else 'needs a'} value"
            return UsageError(what, fix=f"{self.binary} {task} --help")
        match = _UNKNOWN.fullmatch(said)
        word = match["word"] if match else said
        if not task:
            what, fix = unknown((word,), self.collection.task_names, "task")
        elif word.startswith("-"):
            what, fix = unknown((word,), [*flags, "--help"], f"option of {task}")
        else:
            meant = next((flag for flag in _LIKELY if flag in flags), "")
            what = f"{task} takes no word without an option: {shown(word)}"
            fix = f"{self.binary} {task} {meant} {word}" if meant else f"{self.binary} {task} --help"
        return UsageError(what, fix=fix)


def run(tasks: Collection, binary: str, argv: list[str]) -> None:
    """Run what `argv` asks for; UsageError for what is no task and no option of one."""
    program = _Program(
        name=binary, binary=binary, binary_names=[binary.rpartition("/")[2]], namespace=tasks, version=__version__
    )
    program.run(_spelled_out(argv))


def _spelled_out(argv: list[str]) -> list[str]:
    """Bare words as options, as invoke takes such a word for another task: `explain … METHOD URL` is
    `explain … --request "METHOD URL"`, `diff A B` is `diff --from A --to B`, and `verify A` is `verify --bundle A`."""
    task = argv[1] if len(argv) > 1 else ""
    if argv[2:] in (["--help"], ["-h"]):  # which `audit` would take for what it is to do
        return [argv[0], "--help", task]
    if task not in _VALUED:
        return argv
    words = iter(argv[2:])
    options: list[str] = []
    bare: list[str] = []
    for word in words:
        if word in _VALUED[task]:
            options += [word, *islice(words, 1)]
        else:
            (options if word.startswith("-") else bare).append(word)
    if task == "explain" and any("://" in word for word in bare):
        return [*argv[:2], *options, "--request", " ".join(bare)]
    if task == "diff" and len(bare) == 2:
        return [*argv[:2], *options, "--from", bare[0], "--to", bare[1]]
    if task == "verify" and len(bare) == 1:
        return [*argv[:2], *options, "--bundle", bare[0]]
    return argv
