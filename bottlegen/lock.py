"""bottlegen.lock: all that would float, pinned by version and hash; one text for one content, a fact to a line."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

from bottlegen.diagnosis import unknown
from bottlegen.errors import LockError, Problem, ProfileError, Where
from bottlegen.locate import LOCK_NAME
from bottlegen.plan import Platform
from bottlegen.source import Source, parse_toml
from bottlegen.wheels import distribution
from bottlegen.wording import Keys, dotted, shown

FORMAT = 1
"""Counts changes of the form."""

_HEADER = """\
# What this project's bundles are made of, each part by version and hash: review its changes. `bottlegen lock` wrote it,
# keeps no other comment, and adds what is missing; `bottlegen lock --update [NAME]` asks the registries what is new.
"""

VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
INTEGRITY = re.compile(r"sha256-[A-Za-z0-9+/]{43}=|sha512-[A-Za-z0-9+/]{86}==|h1:[A-Za-z0-9+/]{43}=")
_CONFLICT = re.compile(rb"^<{7} ", re.MULTILINE)
_RESTORE = "or take back the last good one: git checkout -- bottlegen.lock"

_Rule = tuple[re.Pattern[str], str]
_RULES: Mapping[str, _Rule] = {
    "reference": (
        re.compile(r"[a-z0-9][a-z0-9._:/-]{0,199}"),
        'the name of an image with a tag: "debian:bookworm-slim"',
    ),
    "digest": (re.compile(r"sha256:[0-9a-f]{64}"), '"sha256:" and 64 hexadecimal digits'),
    "version": (VERSION, "a version: letters, digits and . + _ -"),
    "platform": (re.compile("|".join(map(re.escape, get_args(Platform)))), f"one of {', '.join(get_args(Platform))}"),
    "from": (re.compile(r"[a-z]+:[A-Za-z0-9@._/-]{1,200}"), 'a registry and a package: "npm:@scope/name"'),
    "name": (re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}"), "the plain name of a file"),
    "wheels": (
        re.compile(rf"[A-Za-z0-9][A-Za-z0-9._+-]{{0,199}} (?:{INTEGRITY.pattern})"),
        'the name of a file, a space, and its hash: "aider_chat-0.86.2-py3-none-any.whl sha256-…"',
    ),
    "integrity": (INTEGRITY, "a whole hash: sha512-…, sha256-… or h1:… in base64"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedImage:
    """`reference` is what a registry was asked for, `digest` what it answered."""

    name: str
    reference: str
    digest: str
    keys: Keys = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFile:
    """One download: `origin` is `<registry>:<package>`, `name` the registry's name of it, `integrity` SRI."""

    platform: str
    origin: str
    name: str
    integrity: str
    keys: Keys = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedVersion:
    """One version of what bottlegen calls `name`: its files, or the Python packages that it is made of."""

    name: str
    version: str
    files: tuple[LockedFile, ...] = ()
    wheels: tuple[LockedFile, ...] = ()
    keys: Keys = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Of several versions of a name the first is used where a profile names none."""

    images: tuple[LockedImage, ...] = ()
    versions: tuple[LockedVersion, ...] = ()
    source: Source | None = field(default=None, compare=False, repr=False)

    def where(self, keys: Keys) -> Where:
        return self.source.where(keys) if self.source else Where(file=LOCK_NAME, field=dotted(keys))

    def image(self, name: str) -> LockedImage | None:
        return next((image for image in self.images if image.name == name), None)

    def of(self, name: str) -> tuple[LockedVersion, ...]:
        """The locked versions of `name`, the default first."""
        return tuple(locked for locked in self.versions if locked.name == name)

    def with_image(self, image: LockedImage) -> "Lock":
        others = (other for other in self.images if other.name != image.name)
        return replace(self, images=(*others, image))

    def with_versions(self, name: str, versions: Iterable[LockedVersion]) -> "Lock":
        """This lock with exactly these versions of `name`."""
        others = (locked for locked in self.versions if locked.name != name)
        return replace(self, versions=(*others, *versions))


def parse(name: str, raw: bytes) -> Lock:
    """The lock in the bytes of file `name`; LockError lists everything that is wrong in it."""
    if conflict := _CONFLICT.search(raw):
        line = raw.count(b"\n", 0, conflict.start()) + 1
        fix = "git checkout --theirs -- bottlegen.lock, then: bottlegen lock, bottlegen build"
        raise LockError(Problem(what="a merge left both sides here", where=Where(file=name, line=line), fix=fix))
    try:
        source = parse_toml(name, raw)
    except ProfileError as e:
        raise LockError(_restorable(e.problems)) from e
    reader = _Reader(source)
    lock = reader.lock()
    if reader.problems:
        raise LockError(reader.problems)
    return lock


def render(lock: Lock) -> str:
    """The one text of this content, whatever order it came in."""
    import tomli_w  # late: only who writes a lock pays for it

    images = {
        image.name: {"reference": image.reference, "digest": image.digest}
        for image in sorted(lock.images, key=lambda image: image.name)
    }
    names = sorted({locked.name for locked in lock.versions})
    artifacts = {name: [_table(locked) for locked in _ordered(lock.of(name))] for name in names}
    return f"{_HEADER}{tomli_w.dumps({'format': FORMAT, 'image': images, 'artifact': artifacts})}"


def newness(version: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts versions as people do: 1.10 after 1.9; a release after its pre-releases."""
    parts = re.findall(r"[0-9]+|[A-Za-z]+", version)
    return (*map(_part, parts), (0, 0, ""))


def _part(text: str) -> tuple[int, int, str]:
    """More than the end of a version, as `.1` and `.post1`, or less, as `rc1`."""
    if text.isdigit():
        return 2, int(text), ""
    return (1, 0, "") if text == "post" else (-1, 0, text)


def _ordered(versions: tuple[LockedVersion, ...]) -> tuple[LockedVersion, ...]:
    """The default first; the others, which profiles name, in an order of their own."""
    return (*versions[:1], *sorted(versions[1:], key=lambda locked: (newness(locked.version), locked.version))[::-1])


def _table(locked: LockedVersion) -> dict[str, object]:
    files = sorted(locked.files, key=lambda file: (file.platform, file.origin, file.name))
    if locked.wheels:
        return {"version": locked.version, "wheels": sorted(f"{file.name} {file.integrity}" for file in locked.wheels)}
    return {
        "version": locked.version,
        "file": [
            {"platform": file.platform, "from": file.origin, "name": file.name, "integrity": file.integrity}
            for file in files
        ],
    }


def wheel_file(name: str, integrity: str, keys: Keys = ()) -> LockedFile | None:
    """One Python package: its name says all but the hash. None when that is no name of one that can run here."""
    told = distribution(name)
    platform = told.platform if told else None
    if not told or not platform:
        return None
    return LockedFile(platform=platform, origin=f"pypi:{told.package}", name=name, integrity=integrity, keys=keys)


def _restorable(problems: Iterable[Problem]) -> Iterator[Problem]:
    for problem in problems:
        yield Problem(what=problem.what, where=problem.where, fix=f"{problem.fix}\n{_RESTORE}")


class _Reader:
    """Reads one document and collects what is wrong in it: no value is used that its rule refuses."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems = [
            Problem(what=flaw.what, where=source.where(flaw.keys), fix=f"{flaw.fix}\n{_RESTORE}")
            for flaw in source.flaws
        ]

    def lock(self) -> Lock:
        data = self.source.data
        found = data.get("format")
        if type(found) is not int or found != FORMAT:
            self._format(found)
            return Lock()
        self._keys((), data, ("format", "image", "artifact"), optional=("image", "artifact"))
        images, artifacts = (self._table((key,), data.get(key, {})) for key in ("image", "artifact"))
        return Lock(
            images=tuple(self._image(("image", name), name, table) for name, table in images.items()),
            versions=tuple(locked for name, tables in artifacts.items() for locked in self._versions(name, tables)),
            source=self.source,
        )

    def _format(self, found: object) -> None:
        if type(found) is int and found > FORMAT:
            what = f"the lock has format {found}, which a newer bottlegen wrote; this one knows {FORMAT}"
            self._say(("format",), what, "upgrade bottlegen to the version that this project uses")
        elif found is None:
            what = "the lock does not say its format: it is empty, or its beginning is lost"
            self.problems.append(Problem(what=what, where=Where(file=self.source.name, line=1), fix=_RESTORE[3:]))
        else:
            self._say(("format",), "not the format of a lock", f"format = {FORMAT}\n{_RESTORE}")

    def _image(self, keys: Keys, name: str, given: object) -> LockedImage:
        self._name(keys, name)
        table = self._keys(keys, self._table(keys, given), ("reference", "digest"))
        reference, digest = (self._text((*keys, key), table.get(key)) for key in ("reference", "digest"))
        return LockedImage(name=name, reference=reference, digest=digest, keys=keys)

    def _versions(self, name: str, given: object) -> Iterator[LockedVersion]:
        self._name(("artifact", name), name)
        seen = set[str]()
        for index, item in enumerate(self._list(("artifact", name), given)):
            keys: Keys = ("artifact", name, index)
            given_table = self._table(keys, item)
            form = "wheels" if "wheels" in given_table else "file"
            table = self._keys(keys, given_table, ("version", form))
            version = self._text((*keys, "version"), table.get("version"))
            if version and version in seen:
                self._say((*keys, "version"), f"version {shown(version)} is pinned twice", "remove one of the two")
            seen.add(version)
            files = tuple(self._files((*keys, "file"), table.get("file", [])))
            wheels = tuple(self._wheels((*keys, "wheels"), table.get("wheels", [])))
            yield LockedVersion(name=name, version=version, files=files, wheels=wheels, keys=keys)

    def _files(self, keys: Keys, given: object) -> Iterator[LockedFile]:
        seen = set[tuple[str, str]]()
        names = ("platform", "from", "name", "integrity")
        for index, item in enumerate(self._list(keys, given)):
            here = (*keys, index)
            table = self._keys(here, self._table(here, item), names)
            platform, origin, name, integrity = (self._text((*here, key), table.get(key)) for key in names)
            if platform and (platform, origin) in seen:
                self._say(here, f"{shown(origin)} for {platform} is pinned twice", "remove one of the two")
            seen.add((platform, origin))
            yield LockedFile(platform=platform, origin=origin, name=name, integrity=integrity, keys=here)

    def _wheels(self, keys: Keys, given: object) -> Iterator[LockedFile]:
        seen = set[tuple[str, str]]()
        for item in self._list(keys, given):
            filename, _, integrity = self._text(keys, item).partition(" ")
            if not filename:
                continue
            file = wheel_file(filename, integrity, keys)
            if file is None:
                self._say(keys, f"{shown(filename)} is no Python package that runs on Linux", _RESTORE[3:])
                continue
            if (file.platform, file.origin) in seen:
                self._say(keys, f"{shown(file.origin)} for {file.platform} is pinned twice", "remove one of the two")
            seen.add((file.platform, file.origin))
            yield file

    def _keys(
        self, keys: Keys, table: Mapping[str, object], fields: Collection[str], optional: Collection[str] = ()
    ) -> Mapping[str, object]:
        for key in table.keys() - set(fields):
            self._say((*keys, key), *unknown((key,), fields))
        for key in fields:
            if key not in table and key not in optional:
                self._say(keys, f"missing field '{key}'", _RESTORE[3:])
        return table

    def _name(self, keys: Keys, name: str) -> None:
        if not _NAME.fullmatch(name):
            self._say(keys, f"{shown(name)} is no name of a pin", _RESTORE[3:])

    def _text(self, keys: Keys, value: object) -> str:
        """`value` where it is as its field wants it; a missing one has been told of."""
        rule, wanted = _RULES[str(keys[-1])]
        if value is None:
            return ""
        if isinstance(value, str) and rule.fullmatch(value):
            return value
        found = shown(value) if isinstance(value, str) else "not text"
        self._say(keys, f"'{keys[-1]}' is {found}, expected {wanted}", _RESTORE[3:])
        return ""

    def _table(self, keys: Keys, value: object) -> Mapping[str, object]:
        if isinstance(value, dict):
            return value
        self._say(keys, f"{shown(str(keys[-1]))} is not a table", _RESTORE[3:])
        return {}

    def _list(self, keys: Keys, value: object) -> list[object]:
        if isinstance(value, list):
            return value
        self._say(keys, f"{shown(str(keys[-1]))} is not a list of tables", _RESTORE[3:])
        return []

    def _say(self, keys: Keys, what: str, fix: str) -> None:
        self.problems.append(Problem(what=what, where=self.source.where(keys), fix=fix))
