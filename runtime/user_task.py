"""What makes a function a task for users: their mistakes are printed and become exit statuses, in this one place."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from bottlegen.errors import BottlegenError

PROFILE = "name of a profile (./profiles upward, then those that ship with bottlegen), or a path to one"
JSON = "print JSON for programs"

TASKS: list[tuple[Callable[..., None], dict[str, Any]]] = []


def user_task(**options: Any) -> Callable[[Callable[..., int | None]], Any]:
    """A task behind the one place that catches: a user's mistake is printed and becomes its exit status."""

    def wrap(function: Callable[..., int | None]) -> Any:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            sys.dont_write_bytecode = False  # invoke switches it on, which would compile every lazy import at each run
            try:
                status = function(*args, **kwargs)
            except BottlegenError as e:
                fail(e)
            except KeyboardInterrupt:
                print("interrupted", file=sys.stderr)
                sys.exit(130)
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(141)
            if status:
                sys.exit(status)

        TASKS.append((guarded, options))
        return guarded

    return wrap


def fail(error: BottlegenError) -> NoReturn:
    """Print a user's mistake, and end with its status."""
    text = str(error)
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        text = text.replace("error:", "\x1b[1;31merror:\x1b[0m").replace("  fix:", "  \x1b[32mfix:\x1b[0m")
    print(text, file=sys.stderr)
    sys.exit(error.exit_code)
