"""Where pins come from: the lock as it was, the lock that ships with bottlegen, and only then the registries."""

from collections.abc import Callable
from dataclasses import replace

from bottlegen.errors import LockError, Problem, Where
from bottlegen.locate import LOCK_NAME
from bottlegen.lock import Lock, LockedFile, LockedImage, LockedVersion
from bottlegen.pins import floating, shipped_lock
from runtime.base import Progress
from runtime.registries import Registries


class NotAtHand(Exception):
    """What is lacking is known to the registries alone, and they are not to be asked."""


class Supply:
    """`opened` gives the registries, and is called when there is a question: a lock that lacks nothing has none."""

    def __init__(self, before: Lock, opened: Callable[[], Registries], progress: Progress) -> None:
        self._at_hand = (before, shipped_lock())
        self._opened = opened
        self._progress = progress

    def added(self, lock: Lock, name: str, version: str) -> Lock:
        """`lock` with what it lacks; without a network when anybody knew it before."""
        if reference := dict(floating().images).get(name):
            there = (image for at_hand in self._at_hand if (image := at_hand.image(name)))
            fitting = next((image for image in there if image.reference == reference), None)
            return lock.with_image(replace(fitting, keys=()) if fitting else self._image(name, reference))
        known = self._known(name)
        at_hand = next((locked for locked in known if version in ("", locked.version)), None)
        locked = at_hand or self._version(name, version, known)
        return lock.with_versions(name, (*lock.of(name), replace(locked, keys=())))

    def renewed(self, lock: Lock, name: str) -> Lock:
        """`lock` with what the registry has now under `name`, and nothing else of it."""
        if reference := dict(floating().images).get(name):
            return lock.with_image(self._image(name, reference))
        known = self._known(name)
        newest = self._version(name, "", known)
        _refuse_other_bytes(newest, known)
        return lock.with_versions(name, (newest,))

    def _known(self, name: str) -> tuple[LockedVersion, ...]:
        return tuple(locked for at_hand in self._at_hand for locked in at_hand.of(name))

    def _image(self, name: str, reference: str) -> LockedImage:
        with self._progress.step(f"ask for {name}"):
            return LockedImage(name=name, reference=reference, digest=self._opened().digest(reference))

    def _version(self, name: str, version: str, known: tuple[LockedVersion, ...]) -> LockedVersion:
        """`version` of `name`, the newest when it is empty."""
        if wheels := floating().wheel_set(name):
            with self._progress.step(f"resolve {name}"):
                return self._opened().wheels(wheels, version)
        recipes = floating().of(name)
        with self._progress.step(f"ask for {name}") as step:
            version = version or self._opened().newest(recipes)
            step.note(version)
            names = frozenset(file.name for locked in known if locked.version == version for file in locked.files)
            files = self._opened().files(recipes, version, names)
        return LockedVersion(name=name, version=version, files=files)


def _refuse_other_bytes(answered: LockedVersion, known: tuple[LockedVersion, ...]) -> None:
    """A version that was published does not change: other bytes under its name are a mistake or an attack."""
    pinned_before: dict[tuple[str, str], LockedFile] = {
        (file.origin, file.name): file for locked in known for file in (*locked.files, *locked.wheels)
    }
    problems = [
        Problem(
            what=f"the registry has other bytes for '{file.name}' than are pinned: {file.integrity}, "
            f"pinned {before.integrity}",
            where=Where(file=LOCK_NAME, field=f"artifact.{answered.name}"),
            fix="find out why, from its publisher; to take them nevertheless, delete its lines and run: bottlegen lock",
        )
        for file in (*answered.files, *answered.wheels)
        if (before := pinned_before.get((file.origin, file.name))) and before.integrity != file.integrity
    ]
    if problems:
        raise LockError(problems)
