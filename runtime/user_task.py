"""What makes a function a task for users: their mistakes are printed and become exit statuses, in this one place."""

import functools
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from bottlegen.errors import BottlegenError, UsageError

PROFILE = "name of a profile (./profiles upward, then those that ship with bottlegen), or a path to one"
JSON = "print JSON for programs"

TASKS: list[tuple[Callable[..., None], dict[str, Any]]] = []


def user_task(**options: Any) -> Callable[[Callable[..., int | None]], Any]:
    """A task behind the one place that catches: a user's mistake is printed and becomes its exit status."""

    def wrap(function: Callable[..., int | None]) -> Any:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            sys.dont_write_bytecode = False  # invoke switches it on, which would compile every lazy import at each run
            _say_in_any_locale()
            try:
                status = function(*args, **kwargs)
            except BottlegenError as e:
                fail(e)
            except KeyboardInterrupt:
                print("interrupted", file=sys.stderr)
                sys.exit(130)
            except FileNotFoundError:
                if _is_somewhere():
                    raise
                fail(UsageError("the folder that this was started in is gone", fix="cd to one that is there"))
            except BrokenPipeError:
                end_unheard()
            if status:
                sys.exit(status)

        TASKS.append((guarded, options))
        return guarded

    return wrap


def _say_in_any_locale() -> None:
    """What a terminal's locale cannot show is an escape there, as on stderr, and no traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _is_somewhere() -> bool:
    try:
        return bool(Path.cwd())
    except FileNotFoundError:
        return False


def end_unheard() -> NoReturn:
    """As a program that SIGPIPE ends: nobody reads any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(141)


def fail(error: BottlegenError) -> NoReturn:
    """Print a user's mistake, and end with its status."""
    text = str(error)
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        text = text.replace("error:", "\x1b[1;31merror:\x1b[0m").replace("  fix:", "  \x1b[32mfix:\x1b[0m")
    print(text, file=sys.stderr)
    sys.exit(error.exit_code)
