"""Where profiles, their bundles and their lock are, from what the user typed and the folder they stand in."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bottlegen.errors import UsageError

LOCK_NAME = "bottlegen.lock"
SUFFIXES = (".toml", ".yaml", ".yml")
_FOLDER = "profiles"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A profile file, the folder of its bundle, and the lock, which need not be there.

    `X/profiles/NAME.toml` belongs to `X/bundles/NAME` and `X/bottlegen.lock`.
    """

    name: str
    profile: Path
    bundle: Path
    lock: Path

    @property
    def root(self) -> Path:
        """The project: what holds `profiles` and `bundles`."""
        return self.bundle.parent.parent


def shipped() -> Path:
    """The folder whose `profiles/`, `bundles/` and lock come with bottlegen: inside a wheel, or the checkout itself."""
    package = Path(__file__).parent
    inside = package / "_shipped"
    return inside if inside.is_dir() else package.parent


def locate(asked: str, cwd: Path) -> Place:
    """The profile that `asked` names: a path if it looks like one, else a name in ./profiles, upward, then shipped."""
    if "/" in asked or asked.endswith(SUFFIXES):
        return _by_path(cwd / asked, asked)
    for folder in _folders(cwd):
        if place := _in_folder(folder, asked):
            return place
    known = sorted({place.name for folder in _folders(cwd) for place in places(folder)})
    near = difflib.get_close_matches(asked, known, n=1)
    raise UsageError(
        f"no profile '{asked}'",
        fix=f"use one of {', '.join(known)}"
        + (f" - did you mean '{near[0]}'?" if near else ", or a path to a profile"),
    )


def stands_for(asked: str, place: Place) -> bool:
    """Whether the name `asked` would be a shipped profile's, if the project had none of that name: an agent that works
    in the project can put one there."""
    ours = shipped() / _FOLDER
    return asked == place.name and place.profile.parent != ours and _in_folder(ours, asked) is not None


def places(folder: Path) -> tuple[Place, ...]:
    """Every profile in a `profiles` folder, sorted by name; UsageError when two files share a name."""
    found: dict[str, Place] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix not in SUFFIXES or not path.is_file():
            continue
        if path.stem in found:
            raise _ambiguous(found[path.stem].profile, path)
        found[path.stem] = _place(path)
    return tuple(found.values())


def project_profiles(cwd: Path) -> Path:
    """The nearest `profiles` folder from `cwd` upward, else the shipped one."""
    return next(_folders(cwd))


def _folders(cwd: Path) -> Iterator[Path]:
    """Candidate folders, nearest first, up to the repository's root: what lies above is not the project's."""
    for here in (cwd, *cwd.parents):
        if (here / _FOLDER).is_dir():
            yield here / _FOLDER
        if (here / ".git").exists():
            break
    yield shipped() / _FOLDER


def _in_folder(folder: Path, name: str) -> Place | None:
    paths = [folder / f"{name}{suffix}" for suffix in SUFFIXES if (folder / f"{name}{suffix}").is_file()]
    if len(paths) > 1:
        raise _ambiguous(*paths[:2])
    return _place(paths[0]) if paths else None


def _ambiguous(first: Path, second: Path) -> UsageError:
    return UsageError(
        f"'{first}' and '{second}' are one name",
        fix=f"rename or remove one, or say --profile '{first}'",
    )


def _by_path(path: Path, asked: str) -> Place:
    if not path.is_file():
        raise UsageError(
            f"no file '{asked}'",
            fix="name a .toml, .yaml or .yml file, or a profile by its name",
        )
    if path.suffix not in SUFFIXES:
        raise UsageError(
            f"'{asked}' is not a profile",
            fix=f"a profile ends in {', '.join(SUFFIXES)}",
        )
    return _place(path)


def _place(path: Path) -> Place:
    root = path.parent.parent if path.parent.name == _FOLDER else path.parent
    return Place(name=path.stem, profile=path, bundle=root / "bundles" / path.stem, lock=root / LOCK_NAME)
