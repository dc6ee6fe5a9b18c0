"""What a build may ask for, as a lock pins it: nothing floats, and what no lock pins is refused by name.

A project's own bottlegen.lock counts alone; a project without one has the lock that ships with bottlegen.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

import tomli

from bottlegen.diagnosis import unknown
from bottlegen.errors import LockError, Problem, Where
from bottlegen.locate import LOCK_NAME, shipped
from bottlegen.lock import VERSION, Lock, LockedFile, LockedVersion, parse
from bottlegen.plan import Artifact, Layout, Platform, Source
from bottlegen.source import read_file
from bottlegen.wheel_set import WheelSet
from bottlegen.wording import shown

_HOLE = "{version}"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Where one download comes from: an Artifact whose version is a hole in `filename` and `members`.

    `version` is the only one that this bottlegen can use, where that is so.
    """

    name: str
    platform: Platform
    source: Source
    package: str
    filename: str
    members: tuple[tuple[str, str], ...]
    version: str = ""
    layout: Layout = "plain"

    @property
    def origin(self) -> str:
        return f"{self.source}:{self.package}"

    @cached_property
    def _filename(self) -> re.Pattern[str]:
        return re.compile(_regex(self.filename, f"(?P<version>{VERSION.pattern})"))

    def version_of(self, filename: str) -> str:
        """The version of a file that is one of this recipe's, else empty."""
        match = self._filename.fullmatch(filename)
        return match["version"] if match else ""

    def names(self, filename: str, version: str) -> bool:
        """Whether `filename` is what the registry may call this download in `version`, which has to be usable."""
        return self.version in ("", version) and bool(re.fullmatch(_regex(self.filename, re.escape(version)), filename))

    def artifact(self, version: str, file: LockedFile) -> Artifact:
        members = tuple(sorted((path.replace(_HOLE, version), target) for path, target in self.members))
        return Artifact(
            platform=self.platform, source=self.source, package=self.package, version=version,
            filename=file.name, integrity=file.integrity, members=members, layout=self.layout,
        )  # fmt: skip


def _regex(pattern: str, version: str) -> str:
    return re.escape(pattern).replace(re.escape(_HOLE), version).replace(r"\*", "[A-Za-z0-9._]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Floating:
    """What bottlegen knows how to pin: `images` pairs names with tags; the rest in the order of the file."""

    images: tuple[tuple[str, str], ...]
    recipes: tuple[Recipe, ...]
    wheels: tuple[WheelSet, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Each name once: images, then artifacts, then sets of wheels."""
        images, wheels = (name for name, _ in self.images), (every.name for every in self.wheels)
        return tuple(dict.fromkeys([*images, *(recipe.name for recipe in self.recipes), *wheels]))

    def wheel_set(self, name: str) -> WheelSet | None:
        return next((every for every in self.wheels if every.name == name), None)

    def of(self, name: str) -> tuple[Recipe, ...]:
        return tuple(recipe for recipe in self.recipes if recipe.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """`images` pairs a name with a reference by digest; `entries` are name, version and one download for one platform.

    Of several versions of a name the first is the one used when none is asked for. `file` is the lock, for messages.
    """

    images: tuple[tuple[str, str], ...]
    entries: tuple[tuple[str, str, Artifact], ...]
    file: str = LOCK_NAME

    @property
    def base(self) -> str:
        return self.image("base")

    def image(self, name: str) -> str:
        """The image by digest; LockError when the lock has none."""
        if name not in (pinned := dict(self.images)):
            raise LockError(_nowhere(name, self.file), lacks=(name, ""))
        return pinned[name]

    def versions(self, name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(version for pinned, version, _ in self.entries if pinned == name))

    def artifacts(self, name: str, version: str = "") -> tuple[Artifact, ...]:
        """The downloads for each platform; LockError when this version is not pinned."""
        versions = self.versions(name)
        wanted = version or next(iter(versions), "")
        if wanted not in versions or not wanted:
            raise LockError(_not_pinned(name, version, versions, self.file), lacks=(name, version))
        return tuple(item for *pinned, item in self.entries if pinned == [name, wanted])


def _nowhere(name: str, file: str) -> Problem:
    return Problem(what=f"'{name}' is not pinned", where=Where(file=file), fix=f"bottlegen lock --update {name}")


def _not_pinned(name: str, version: str, versions: tuple[str, ...], file: str) -> Problem:
    if not version:
        return _nowhere(name, file)
    what = f"version {shown(version)} of '{name}' is not pinned"
    if name not in floating().names:
        return Problem(what=what, where=Where(file=file), fix="remove the version: there is none to choose")
    known = ", ".join(f"'{pinned}'" for pinned in versions)
    return Problem(
        what=what,
        where=Where(file=file),
        fix=f"bottlegen lock --update {name}" + (f"\nor use what is pinned: {known}" if known else ""),
    )


@cache
def floating() -> Floating:
    """What this release knows how to pin; part of the program, so a mistake in it is a bug and keeps its traceback."""
    document = tomli.loads(Path(__file__).with_name("pins.toml").read_text(encoding="utf-8"))
    return Floating(
        images=tuple(document["image"].items()),
        recipes=tuple(map(_recipe, document["artifact"])),
        wheels=tuple(WheelSet(**{**table, "sources": tuple(table["sources"].items())}) for table in document["wheels"]),
    )


def _recipe(table: Mapping[str, Any]) -> Recipe:
    return Recipe(**{**table, "members": tuple(table["members"].items())})


@cache
def load() -> Pins:
    """The pins that ship with this release."""
    return pinned(shipped_lock())


@cache
def shipped_lock() -> Lock:
    path = shipped() / LOCK_NAME
    return parse(LOCK_NAME, path.read_bytes())


def project(path: str, read: Callable[[str], bytes] = read_file) -> Pins:
    """The pins of the project whose lock is at `path`, those that ship with bottlegen when it has none."""
    raw = lock_bytes(path, read)
    return load() if raw is None else _read(path, raw)


def lock_bytes(path: str, read: Callable[[str], bytes] = read_file) -> bytes | None:
    """The bytes of the lock at `path`, None when there is none."""
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except OSError as e:
        raise LockError(f"cannot read '{path}': {e.strerror}", fix=f"ls -l '{path}'") from e


@lru_cache(maxsize=8)
def _read(path: str, raw: bytes) -> Pins:
    """Once for all profiles of a project."""
    return pinned(parse(path, raw))


def pinned(lock: Lock, known: Floating | None = None) -> Pins:
    """`lock` as a build uses it; LockError when it pins what bottlegen does not ask for, or only half of it."""
    known = known or floating()
    problems = [*_image_problems(lock, known)]
    entries: list[tuple[str, str, Artifact]] = []
    for locked in lock.versions:
        if wheels := known.wheel_set(locked.name):
            if found := [*_wheel_problems(lock, locked, wheels)]:
                problems += found
                continue
            entries += [(locked.name, locked.version, wheels.artifact(file)) for file in locked.wheels]
            continue
        recipes = known.of(locked.name)
        problems += _problems(lock, locked, recipes, known)
        files = {(file.platform, file.origin): file for file in locked.files}
        entries += [
            (locked.name, locked.version, recipe.artifact(locked.version, files[recipe.platform, recipe.origin]))
            for recipe in recipes
            if (recipe.platform, recipe.origin) in files
        ]
    if problems:
        raise LockError(problems)
    return Pins(
        images=tuple((image.name, f"{image.reference}@{image.digest}") for image in lock.images),
        entries=tuple(entries),
        file=lock.source.name if lock.source else LOCK_NAME,
    )


def _image_problems(lock: Lock, known: Floating) -> Iterator[Problem]:
    references = dict(known.images)
    for image in lock.images:
        if image.name not in references:
            what, fix = unknown((image.name,), references, noun="image")
            yield Problem(what=what, where=lock.where(image.keys), fix=f"remove its lines; {fix}")
        elif image.reference != references[image.name]:
            yield Problem(
                what=f"{shown(image.reference)} is pinned, but this bottlegen builds on '{references[image.name]}'",
                where=lock.where((*image.keys, "reference")),
                fix=f"bottlegen lock --update {image.name}",
            )


def _problems(lock: Lock, locked: LockedVersion, recipes: tuple[Recipe, ...], known: Floating) -> Iterator[Problem]:
    """What keeps one locked version from being used."""
    if not recipes:
        what, fix = unknown((locked.name,), set(known.names) - dict(known.images).keys(), noun="pin")
        yield Problem(what=what, where=lock.where(locked.keys), fix=f"remove its lines; {fix}")
        return
    by_place = {(str(recipe.platform), recipe.origin): recipe for recipe in recipes}
    renew = f"bottlegen lock --update {locked.name}"
    for file in locked.files:
        recipe = by_place.pop((file.platform, file.origin), None)
        if recipe is None:
            what = f"{shown(file.origin)} is not where '{locked.name}' for {file.platform} comes from"
            yield Problem(what=what, where=lock.where((*file.keys, "from")), fix=renew)
        elif not recipe.names(file.name, locked.version):
            what = f"{shown(file.name)} is no file of version {shown(locked.version)} of '{file.origin}'"
            yield Problem(what=what, where=lock.where((*file.keys, "name")), fix=renew)
    for recipe in by_place.values():
        what = f"version {shown(locked.version)} of '{locked.name}' is pinned without {recipe.platform}"
        yield Problem(what=what, where=lock.where(locked.keys), fix=renew)


def _wheel_problems(lock: Lock, locked: LockedVersion, wheels: WheelSet) -> Iterator[Problem]:
    """What keeps one locked set of wheels from being used. Whether it is complete only its program can tell."""
    renew = f"bottlegen lock --update {locked.name}"
    for file in locked.wheels:
        if what := wheels.problem(file):
            yield Problem(what=what, where=lock.where(file.keys), fix=renew)
    if not any(wheels.is_of(locked.version, file) for file in locked.wheels):
        what = f"version {shown(locked.version)} of '{locked.name}' is pinned without '{wheels.package}' itself"
        yield Problem(what=what, where=lock.where(locked.keys), fix=renew)


def locked_file(recipe: Recipe, name: str, integrity: str) -> LockedFile:
    return LockedFile(platform=recipe.platform, origin=recipe.origin, name=name, integrity=integrity)


def copied(lock: Lock, name: str, source: Lock) -> Lock:
    """`lock` with what `source` pins for `name`."""
    if image := source.image(name):
        lock = lock.with_image(replace(image, keys=()))
    return lock.with_versions(name, source.of(name)) if source.of(name) else lock
