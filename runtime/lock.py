"""The `lock` task: bottlegen.lock completed, refreshed or checked; written whole or not at all, and only to change."""

import os
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Never

from bottlegen.errors import LockError, Problem, UsageError, Where
from bottlegen.locate import LOCK_NAME, places, project_profiles
from bottlegen.lock import Lock, newness, parse, render
from bottlegen.pins import floating, lock_bytes, pinned
from bottlegen.pipeline import build, load_profile
from bottlegen.profile import Profile
from bottlegen.wording import shown as quoted
from runtime.build import shown
from runtime.host import this_host
from runtime.lock_supply import NotAtHand, Supply
from runtime.progress import make_progress
from runtime.registries import Registries


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRequest:
    """`update` names what to refresh: None nothing, empty everything. `check` writes nothing."""

    update: str | None
    check: bool


def lock_project(request: LockRequest, cwd: Path) -> None:
    """Write the lock of the project around `cwd`, or with `check` fail when that would change it."""
    _refuse(request)
    path = _project(cwd) / LOCK_NAME
    raw = lock_bytes(shown(path))
    before = parse(shown(path), raw) if raw is not None else Lock()
    profiles = [load_profile(shown(place.profile)) for place in places(path.parent / "profiles")]
    if request.check:
        _check(path, raw, before, profiles)
        return
    with ExitStack() as stack:

        def opened() -> Registries:
            host = this_host()
            return stack.enter_context(closing(Registries(host.env, host.ca_file, host.config.images.mirror)))

        supply = Supply(before, cache(opened), make_progress())
        after = before
        for name in _asked(request.update):
            after = supply.renewed(after, name)
        after = _completed(after, profiles, supply.added)
    text = render(after)
    pinned(parse(LOCK_NAME, text.encode()))  # what was answered is held to the same rules as what is read
    changed = text.encode() != raw
    if changed:
        _write(path, text)
    _report(path, before, after, changed=changed)


def _refuse(request: LockRequest) -> None:
    if request.check and request.update is not None:
        raise UsageError("--check writes nothing, and --update does", fix="give one of them")
    if request.update and request.update not in (names := floating().names):
        raise UsageError(f"there is no {quoted(request.update)} to pin", fix=f"lock --update {', '.join(names)}")


def _project(cwd: Path) -> Path:
    folder = project_profiles(cwd).parent
    if not cwd.is_relative_to(folder):
        raise UsageError("no profiles here: a lock lies beside a folder of them", fix="make profiles/NAME.toml")
    return folder


def _asked(update: str | None) -> tuple[str, ...]:
    if update is None:
        return ()
    return (update,) if update else floating().names


Add = Callable[[Lock, str, str], Lock]
"""Adds a name, in the version that a profile asks for, or its default when that is empty."""


def _completed(lock: Lock, profiles: list[Profile], add: Add) -> Lock:
    """`lock` with everything that there is to pin, and every version that a profile names."""
    for name in floating().names:
        if not lock.image(name) and not lock.of(name):
            lock = add(lock, name, "")
    for profile in profiles:
        while lacking := _lacking(lock, profile):
            lock = add(lock, *lacking)
    return lock


def _lacking(lock: Lock, profile: Profile) -> tuple[str, str] | None:
    """What the profile asks for and the lock does not have; the build itself is asked, which alone knows."""
    try:
        build(profile, pinned(lock))
    except LockError as e:
        name, version = e.lacks
        if name not in floating().names or any(locked.version == version for locked in lock.of(name)):
            raise
        return name, version
    return None


def _check(path: Path, raw: bytes | None, lock: Lock, profiles: list[Profile]) -> None:
    """LockError when `bottlegen lock` would change the file; every reason at once, and no registry is asked."""
    if raw is None:
        raise LockError(f"there is no '{shown(path)}'", fix="bottlegen lock, then commit it")
    lacking: list[tuple[str, str]] = []

    def nobody() -> Never:
        raise NotAtHand

    def note(lock: Lock, name: str, version: str) -> Lock:
        lacking.append((name, version))
        return Supply(lock, nobody, make_progress()).added(lock, name, version)

    with suppress(NotAtHand):
        _completed(lock, profiles, note)
    problems = [
        Problem(
            what=f"'{name}' is not pinned{f' in version {quoted(version)}' if version else ''}",
            where=Where(file=shown(path)),
            fix="bottlegen lock",
        )
        for name, version in lacking
    ]
    if not problems and render(lock).encode() != raw:
        what = "the lock is not written as bottlegen writes it: its order, its spacing or its comments"
        problems.append(Problem(what=what, where=Where(file=shown(path)), fix="bottlegen lock"))
    if problems:
        raise LockError(problems)
    print(f"{'current':9}  {shown(path)}")


def _write(path: Path, text: str) -> None:
    """Beside it, then renamed: who reads it meanwhile, or after a crash, finds the old one or the new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as e:
        raise LockError(f"cannot write '{shown(path)}': {e.strerror}", fix=f"ls -ld '{path.parent}'") from e
    finally:  # Ctrl-C too leaves nothing; once it is replaced, there is nothing of this name
        with suppress(OSError):
            partial.unlink()


def _report(path: Path, before: Lock, after: Lock, *, changed: bool) -> None:
    for name in floating().names:
        print(f"{name:9}  {_moved(_pin(before, name), _pin(after, name))}")
    print(f"{'written' if changed else 'unchanged':9}  {shown(path)}")
    if changed:
        print(f"{'next':9}  bottlegen build; review and commit bundles and lock together")


def _pin(lock: Lock, name: str) -> str:
    image = lock.image(name)
    return image.digest if image else ", ".join(locked.version for locked in lock.of(name))


def _moved(was: str, now: str) -> str:
    if was == now:
        return now
    return f"{was or 'new'} -> {now}{' (older)' if _older(was, now) else ''}"


def _older(was: str, now: str) -> bool:
    """A registry that has less than was pinned is behind, or wants us to be."""
    return bool(was) and ":" not in was and newness(now.partition(",")[0]) < newness(was.partition(",")[0])
