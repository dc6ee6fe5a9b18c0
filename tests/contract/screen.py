"""A terminal as a person sees it: what stands on its screen now, through tmux, which draws it as terminals do."""

import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

COLUMNS, LINES = 120, 40
_PAUSE = 0.1
_TRIES = 5
_PATIENCE = 4.0


def missing() -> str:
    return "" if shutil.which("tmux") else "no tmux command"


class Screen:
    """A program in a terminal of its own server; `with` ends both."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> None:
        self._tmux = ("tmux", "-L", f"bottlegen-{uuid.uuid4().hex[:8]}", "-f", "/dev/null")
        self._env = {**env, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        size = ("-x", str(COLUMNS), "-y", str(LINES))
        self._do("new-session", "-d", *size, "-c", str(cwd), "--", *command, ";", "set", "remain-on-exit", "on")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._do("kill-server")

    @property
    def text(self) -> str:
        """The screen's lines without the blanks at their ends."""
        return "\n".join(line.rstrip() for line in self._do("capture-pane", "-p").splitlines())

    def wait_for(self, there: Callable[[str], bool], seconds: float = 90) -> str:
        """The screen as soon as it is so; AssertionError shows the last one otherwise."""
        end = time.monotonic() + seconds
        while not there(text := self.text):
            assert time.monotonic() < end, f"this is what the screen shows:\n{text}"
            time.sleep(_PAUSE)
        return text

    def type_until_it_shows(self, text: str) -> None:
        """Again when it is lost: some programs draw their prompt before they read."""
        for _ in range(_TRIES):
            self._do("send-keys", "-l", text)
            end = time.monotonic() + _PATIENCE
            while time.monotonic() < end:
                if text in self.text:
                    return
                time.sleep(_PAUSE)
        self.wait_for(lambda there: text in there)

    def press(self, key: str) -> None:
        self._do("send-keys", key)

    def _do(self, *words: str) -> str:
        done = subprocess.run((*self._tmux, *words), env=self._env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout
