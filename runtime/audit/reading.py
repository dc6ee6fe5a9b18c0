"""The lines of one run as they stand in its files: those of several sidecars in the order of time, or as they come."""

import time
from collections.abc import Iterator
from pathlib import Path

from runtime.audit.lines import AuditLine, lines, together
from runtime.audit.runs import Run

_PAUSE = 0.1
_CHUNK = 1 << 20


def written(run: Run, *, follow: bool) -> Iterator[AuditLine]:
    """Every line of the run; with `follow` also those to come, until nobody writes there any more."""
    if follow:
        yield from lines(_as_they_come(run))
    else:
        yield from together([_stored(files) for files in run.chains().values()], follow=False)


def _stored(files: tuple[Path, ...]) -> Iterator[bytes]:
    for path in files:
        with path.open("rb") as file:
            while data := file.read(_CHUNK):
                yield data


def _as_they_come(run: Run) -> Iterator[bytes]:
    """Whole lines only, so that those of two sidecars do not mix."""
    read: dict[Path, int] = {}
    while True:
        over = not run.is_written()
        for path in [path for files in run.chains().values() for path in files]:
            with path.open("rb") as file:
                file.seek(read.get(path, 0))
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            read[path] = read.get(path, 0) + len(whole)
            if whole:
                yield whole
        if over:
            return
        time.sleep(_PAUSE)
