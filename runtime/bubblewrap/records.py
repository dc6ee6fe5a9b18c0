"""What a bottle of this runtime is on the host: a folder whose name is the lock on the bottle's, and processes known by
number, start and boot, so that no other process is ever taken for one of them."""

import errno
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bottlegen.errors import RuntimeFailure
from runtime.bubblewrap.keeper import identity, write

_PATIENCE = 20.0
_PAUSE = 0.005
_ENDING = 2.0
"""Seconds in which a sidecar ends by itself: it takes a twentieth of one."""


@dataclass(frozen=True, slots=True)
class Folder:
    """One bottle's folder: `bottle.json`, a folder for each service, and the sockets between them."""

    path: Path

    def sockets(self, network: str) -> Path:
        """Where services meet that are on one of the manifest's networks, by unix sockets named by port."""
        return self.path / "sockets" / network

    def service(self, name: str) -> Path:
        return self.path / "services" / name

    def told(self) -> dict[str, Any]:
        """What was written when the bottle began; empty when it is gone."""
        return dict(_read(self.path / "bottle.json") or {})

    def running(self, service: str) -> bool:
        """Whether the service is held by a live keeper and has not ended."""
        known = _read(self.service(service) / "running") or []
        return bool(known) and alive(known[0]) and self.exit(service) is None

    def lost(self, service: str) -> bool:
        """Whether the service had a keeper, and has none now. One that has only just been started is not known yet."""
        known = _read(self.service(service) / "running") or []
        return bool(known) and not alive(known[0])

    def recording(self, service: str) -> bool:
        """Whether the service's audit has begun, or goes on without as its policy says; true where it has none."""
        return not _is_audited(self.service(service)) or (self.service(service) / "recording").exists()

    def exit(self, service: str) -> int | None:
        """How the service ended, once it has."""
        status = _read(self.service(service) / "exit")
        return None if status is None else int(status)

    def services(self) -> tuple[str, ...]:
        folder = self.path / "services"
        return tuple(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else ()


def processes(service: Path) -> list[dict[str, Any]]:
    """Keeper, bwrap and first process, as far as they came, each by number, start and boot."""
    return list(_read(service / "running") or [])


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def claim(root: Path, bottle: str, told: dict[str, Any]) -> Folder:
    """The bottle's folder, made whole at once; FileExistsError when the name is taken."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = root / f".new-{told['session']}-{os.getpid()}"
    try:
        new.mkdir(mode=0o700)
        write(new / "bottle.json", told)
        for network in ("bottle", "chain"):
            (new / "sockets" / network).mkdir(mode=0o755, parents=True)
        (new / "services").mkdir()
        new.rename(root / bottle)
    except OSError as e:
        if e.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(bottle) from e
        raise
    finally:  # Ctrl-C too leaves nothing; once it is the bottle's, there is nothing of this name
        shutil.rmtree(new, ignore_errors=True)
    return Folder(root / bottle)


def every(root: Path) -> Iterator[tuple[str, Folder]]:
    """The bottles that there are, by name."""
    if root.is_dir():
        for path in sorted(root.iterdir()):
            if not path.name.startswith("."):
                yield path.name, Folder(path)


def alive(known: dict[str, Any]) -> bool:
    """Whether exactly this process still runs."""
    try:
        return identity(known["pid"]) == known and _state(known["pid"]) != "Z"
    except (OSError, IndexError):
        return False


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]


def end(folder: Folder, bottle: str) -> None:
    """Kill the bottle's processes and wait until none is left; RuntimeFailure for one that does not go."""
    _settle(folder)
    before = time.monotonic()
    while left := [service for service in folder.services() if not _ended(folder.service(service))]:
        if time.monotonic() > before + _PATIENCE:
            raise RuntimeFailure(
                f"processes of bottle '{bottle}' do not end: {', '.join(left)}", fix=f"bottlegen down --name {bottle}"
            )
        time.sleep(_PAUSE)


def _settle(folder: Folder) -> None:
    """End the agent, then let the sidecars that are audited end by themselves, and their keepers write it down."""
    if not any(folder.running(service) for service in folder.services() if _is_audited(folder.service(service))):
        return
    left = [service for service in folder.services() if _is_audited(folder.service(service))]
    if "agent" in folder.services():
        for process in (_read(folder.service("agent") / "running") or [])["agent" in left :]:
            _kill(process)
    for service in left:
        for process in (_read(folder.service(service) / "running") or [])[2:] if service != "agent" else ():
            _kill(process, signal.SIGTERM)
    end = time.monotonic() + _ENDING
    while any(folder.running(service) for service in left) and time.monotonic() < end:
        time.sleep(_PAUSE)


def _is_audited(service: Path) -> bool:
    return bool((_read(service / "order") or {}).get("audit"))


def _ended(service: Path) -> bool:
    """Kill what is known of a service; true once nothing of it runs, or can still come to run."""
    known = _read(service / "running") or []
    for process in known:
        _kill(process)
    return not any(alive(process) for process in known) and _shut(service / "lock")


def _shut(lock: Path) -> bool:
    """Take the lock away, unless a keeper holds it: one that comes later finds none, and ends."""
    try:
        handle = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _kill(known: dict[str, Any], number: int = signal.SIGKILL) -> None:
    """By a descriptor of the process, looked at again once it is held: its number cannot be another's by then."""
    try:
        handle = os.pidfd_open(known["pid"])
    except OSError as e:
        if e.errno not in (errno.ESRCH, errno.EINVAL):  # gone, or about to be: the number is no process's any more
            raise
    else:
        with suppress(ProcessLookupError):
            if alive(known):
                signal.pidfd_send_signal(handle, number)
        os.close(handle)
    with suppress(ChildProcessError):  # a keeper that this very process had started
        os.waitpid(known["pid"], os.WNOHANG)


def forget(folder: Folder) -> None:
    """Give the name back, then the space."""
    gone = folder.path.with_name(f".gone-{folder.path.name}-{os.getpid()}")
    with suppress(FileNotFoundError):
        folder.path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def sweep(root: Path) -> None:
    """Remove what was not yet a bottle, or no longer, when the process that was at it was killed."""
    for pattern in (".new-*", ".gone-*"):
        for left in root.glob(pattern):
            if not Path("/proc", left.name.rpartition("-")[2]).exists():
                shutil.rmtree(left, ignore_errors=True)
