"""What the processes below one show while they run: their memory, arguments and environment."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_PAUSE = 0.01


def below(pid: int) -> Iterator[int]:
    """This process and all that it started, and those started."""
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from below(int(child))


def shown(pid: int) -> bytes:
    """All that `ps` could show of the processes below this one."""
    found = b""
    for process in below(pid):
        for name in ("cmdline", "environ"):
            with suppress(OSError):
                found += Path(f"/proc/{process}/{name}").read_bytes()
    return found


class Memory:
    """`peak` is the most bytes that the processes below one had together in the block, without files that they map."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            self.peak = max(self.peak, sum(map(_anonymous, below(self._pid))))
            time.sleep(_PAUSE)


def _anonymous(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0
