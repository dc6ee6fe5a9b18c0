"""Where audit files are: a folder for each run of a bottle, for this user alone, which outlives the bottle.

`audit/BOTTLE/TIME-SESSION/` below the state directory holds `SERVICE.0001.jsonl` and so on, `SERVICE.head`, and
`writing`, which whoever writes there has locked.
"""

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bottlegen.audit_chain import Head
from bottlegen.errors import HostError
from runtime.audit.writer import HEAD_BYTES, Order
from runtime.base import LaunchSpec
from runtime.host import Audit

SOURCES = ("egress", "git-gate", "agent")
"""The services that decide: the agent's own is a microVM's interceptor."""

_RUN = re.compile(r"[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9]+")
_FILE = re.compile(r"([a-z][a-z-]*)\.([0-9]{4,})\.jsonl")
_LOCK = "writing"
_PAUSE = 0.005
_TRIES = 5
_NOTHING_CAME = 3600.0
"""Seconds after which a run without a line is one whose start was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A head as the writer left it. `state` is open, losing, closed or ended; `lost` lines could not be written."""

    head: Head
    state: str
    lost: int
    reason: str
    since: str


@dataclass(frozen=True, slots=True)
class Run:
    """The audit of one run of a bottle."""

    folder: Path

    @property
    def bottle(self) -> str:
        return self.folder.parent.name

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def session(self) -> str:
        return self.name.partition("-")[2]

    def chains(self) -> dict[str, tuple[Path, ...]]:
        """The files of each service, in their order."""
        found: dict[str, list[tuple[int, Path]]] = {}
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if match := _FILE.fullmatch(path.name):
                found.setdefault(match[1], []).append((int(match[2]), path))
            elif path.suffix == ".head":
                found.setdefault(path.stem, [])
        return {service: tuple(path for _, path in sorted(files)) for service, files in sorted(found.items())}

    def noted(self, service: str) -> Noted | None:
        """The head that is kept of a chain; None when there is none, or none that can be understood."""
        try:
            data = (self.folder / f"{service}.head").read_bytes()[:HEAD_BYTES]
            told = json.loads(data)
            head = Head(int(told["seq"]), str(told["hash"]))
            return Noted(head=head, state=told["state"], lost=told["lost"], reason=told["reason"], since=told["since"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def size(self) -> int:
        try:
            return sum(path.lstat().st_size for path in self.folder.iterdir())
        except OSError:
            return 0

    def is_written(self) -> bool:
        """Whether a process holds it open for writing."""
        try:
            handle = os.open(self.folder / _LOCK, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def settle(self, seconds: float) -> bool:
        """Wait until everything is written; False when it is not by then."""
        end = time.monotonic() + seconds
        while self.is_written():
            if time.monotonic() > end:
                return False
            time.sleep(_PAUSE)
        return True

    def troubles(self) -> Iterator[str]:
        """What the writers could not do, in words."""
        for service in self.chains():
            noted = self.noted(service)
            if noted and noted.state == "closed":
                yield f"{service}: the way out is closed, as the audit cannot be written: {noted.reason}"
            elif noted and noted.reason:
                lost = f"{_count(noted.lost)} lost since {noted.since}"
                yield f"{service}: the audit is not written, {lost}: {noted.reason}"
            elif noted and noted.lost:
                yield f"{service}: {_count(noted.lost)} of the audit could not be written"


def _count(lines: int) -> str:
    return f"{lines} line{'s' if lines != 1 else ''}"


def _make(folder: Path) -> None:
    """Make a bottle's folder and a run's in it; another start that sweeps may take the first away while it is empty."""
    for left in reversed(range(_TRIES)):
        folder.parent.mkdir(exist_ok=True, mode=0o700)
        try:
            folder.mkdir(mode=0o700)
        except FileNotFoundError:
            if not left:
                raise
        else:
            return


@dataclass(frozen=True, slots=True)
class Audits:
    """All runs of this host, below `root`."""

    root: Path

    def begin(self, bottle: str, session: str) -> Run:
        """A new run's folder, which nothing was written into yet."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        folder = self.root / bottle / f"{stamp}-{session}"
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make(folder)
            os.close(os.open(folder / _LOCK, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as e:
            raise HostError(
                f"cannot make the folder for the audit '{folder}': {e.strerror}", fix=f"df -h '{self.root.parent}'"
            ) from e
        return Run(folder)

    def of(self, bottle: str) -> tuple[Run, ...]:
        """A bottle's runs, the oldest first."""
        folder = self.root / bottle
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return tuple(Run(folder / name) for name in names if _RUN.fullmatch(name))

    def every(self) -> tuple[Run, ...]:
        """All runs, the oldest first."""
        bottles = sorted(path.name for path in self.root.iterdir()) if self.root.is_dir() else []
        return tuple(sorted((run for bottle in bottles for run in self.of(bottle)), key=lambda run: run.name))

    def session(self, bottle: str, session: str) -> Run | None:
        """The run of this session, or with none given the last one."""
        runs = [run for run in self.of(bottle) if not session or run.session == session]
        return runs[-1] if runs else None

    def drop(self, run: Run) -> None:
        """Remove a run that no agent was part of, or that is past its time."""
        shutil.rmtree(run.folder, ignore_errors=True)
        with suppress(OSError):
            run.folder.parent.rmdir()

    def sweep(self, limits: Audit) -> tuple[Run, ...]:
        """Remove runs that are past their days, then the oldest until what is left is small enough; those removed."""
        kept: list[Run] = []
        gone: list[Run] = []
        oldest = time.time() - limits.max_days * 86400
        for run in self.every():
            with suppress(OSError):  # another command has just removed it
                if not run.is_written():
                    ended = max((path.lstat().st_mtime for path in run.folder.iterdir()), default=0.0)
                    began_only = not run.chains() and ended < time.time() - _NOTHING_CAME
                    (gone if began_only or ended < oldest else kept).append(run)
        sizes = [run.size() for run in kept]
        while kept and sum(sizes) > limits.max_megabytes * 1024 * 1024:
            gone.append(kept.pop(0))
            sizes.pop(0)
        for run in gone:
            self.drop(run)
        return tuple(gone)


def _services(spec: LaunchSpec, tail: Path | None) -> str:
    """All whose chains belong together: when the files of one are gone, another's first line still tells of it."""
    own = [name for name in SOURCES if name in spec.bundle.manifest.services and (name != "agent" or tail)]
    return ",".join(own)


def order(spec: LaunchSpec, service: str, tail: Path | None = None) -> Order | None:
    """What the writer of a service is told; None where nothing is to be written. See Order for `tail`."""
    told = spec.recording
    if told is None or service not in SOURCES:
        return None
    manifest = spec.bundle.manifest
    every: Mapping[str, str] = {
        "bottle": spec.bottle, "bundle": spec.bundle.hash, "profile": manifest.name, "commit": told.commit,
    }  # fmt: skip
    return Order(
        folder=str(told.folder),
        service=service,
        every={name: value for name, value in every.items() if value},
        first={"session": spec.session, "on_failure": manifest.audit.on_failure, "services": _services(spec, tail)},
        block=manifest.audit.on_failure == "block",
        limit=told.limit,
        tail=str(tail or ""),
    )
