"""What is typed: each mistake names what would be right, and the help of every task can be read in 80 columns."""

import inspect
from typing import Any

import pytest
from invoke.tasks import Task

import tasks
from bottlegen.errors import UsageError
from runtime import cli, program

TASKS = [pytest.param(task, id=task.name) for task in tasks.namespace.tasks.values()]


@pytest.mark.parametrize(
    ("typed", "what", "fix"),
    [
        ("buid", "unknown task 'buid'", "did you mean 'build'?"),
        ("buid --help", "unknown task 'buid'", "did you mean 'build'?"),
        ("build --profil codex", "unknown option of build '--profil'", "did you mean '--profile'?"),
        ("ps --josn", "unknown option of ps '--josn'", "did you mean '--json'?"),
        ("up codex", "up takes no word without an option: 'codex'", "x/inv up --profile codex"),
        ("down codex", "down takes no word without an option: 'codex'", "x/inv down --name codex"),
        ("agents codex", "agents takes no word without an option: 'codex'", "x/inv agents --help"),
        ("down --name", "--name of down needs a value", "x/inv down --help"),
        ("ps --json=yes", "ps takes no word without an option: 'yes'", "x/inv ps --help"),
    ],
)
def test_a_mistake_is_told_with_what_would_be_right(typed: str, what: str, fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        program.run(cli.collection(), "x/inv", ["inv", *typed.split()])
    assert caught.value.problems[0].what == what
    assert caught.value.problems[0].fix.endswith(fix)


@pytest.mark.parametrize("typed", ["audit --help", "audit -h", "--help audit", "up --help"])
def test_help_is_never_taken_for_a_word(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.run(cli.collection(), "x/inv", ["inv", *typed.split()])
    shown = capsys.readouterr()
    assert (ended.value.code, shown.err) == (0, "")
    assert shown.out.startswith("Usage: x/inv ")


@pytest.mark.parametrize("task", TASKS)
def test_help_teaches_in_80_columns(task: Task[Any]) -> None:
    """invoke indents by two and wraps nothing; `--list` shows the first line alone."""
    lines = inspect.cleandoc(task.body.__doc__ or "").splitlines()
    assert lines[0].endswith((".", "?"))
    assert not any(lines[1:2])
    assert [line for line in lines if len(line) > 78] == []
    assert [argument.name for argument in task.get_arguments() if not argument.help] == []
