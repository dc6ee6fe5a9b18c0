"""What the name of a Python distribution says: its package, its version, and where it runs; nothing is opened."""

import re
from dataclasses import dataclass
from typing import Final

from bottlegen.plan import Platform

GLIBC = (2, 34)
"""The newest C library that a wheel may want: what Debian 12, Ubuntu 22.04 and RHEL 9 have at least."""

MACHINES: Final[dict[Platform, str]] = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}

_WHEEL = re.compile(
    r"(?P<name>[A-Za-z0-9._]+)-(?P<version>[A-Za-z0-9._!+]+)(?:-\d[A-Za-z0-9._]*)?"
    r"-(?P<pythons>[a-z0-9._]+)-(?P<abis>[a-z0-9._]+)-(?P<places>[A-Za-z0-9._]+)\.whl"
)
_SOURCE = re.compile(r"(?P<name>[A-Za-z0-9._-]+)-(?P<version>[A-Za-z0-9._!+]+)\.tar\.gz")
_MANYLINUX = re.compile(r"manylinux(?:_(?P<major>\d+)_(?P<minor>\d+)|(?P<year>1|2010|2014))_(?P<machine>[a-z0-9_]+)")
_YEARS = {"1": (2, 5), "2010": (2, 12), "2014": (2, 17)}
"""The C libraries of the manylinux platforms from before they were named by it: PEP 513, 571, 599."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """`package` as registries call it. A source has no tags, and may run wherever its Python does."""

    package: str
    version: str
    pythons: tuple[str, ...] = ()
    abis: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    @property
    def is_source(self) -> bool:
        return not self.pythons

    @property
    def platform(self) -> Platform | None:
        """Which machines it is for; None when none that bottlegen knows can run it."""
        if self.is_source or "any" in self.places:
            return "any"
        machines = {match["machine"] for place in self.places if (match := _MANYLINUX.fullmatch(place))}
        return next((platform for platform, machine in MACHINES.items() if machine in machines), None)

    @property
    def glibc(self) -> tuple[int, int]:
        """The oldest C library that it runs with; of a pure one, that of all."""
        return min(map(_glibc, self.places), default=(0, 0))

    def runs_with(self, python: str) -> bool:
        """Whether CPython `python` (`3.12`) can import it: PEP 425, as far as tags for Linux go."""
        minor = int(python.partition(".")[2])
        for tag in self.pythons:
            if tag in ("py3", f"cp3{minor}") or re.fullmatch(rf"py3(?:{'|'.join(map(str, range(minor + 1)))})", tag):
                return True
            if "abi3" in self.abis and re.fullmatch(r"cp3\d+", tag) and int(tag[3:]) <= minor:
                return True
        return self.is_source


def distribution(filename: str) -> Distribution | None:
    """What `filename` says; None when it is neither a wheel's name nor a source archive's."""
    if match := _WHEEL.fullmatch(filename):
        tags = (tuple(match[key].split(".")) for key in ("pythons", "abis", "places"))
        pythons, abis, places = tags
        return Distribution(
            package=normal(match["name"]), version=match["version"], pythons=pythons, abis=abis, places=places
        )
    if match := _SOURCE.fullmatch(filename):
        return Distribution(package=normal(match["name"]), version=match["version"])
    return None


def normal(package: str) -> str:
    """The one spelling of a package's name in registries (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _glibc(place: str) -> tuple[int, int]:
    match = _MANYLINUX.fullmatch(place)
    if not match:
        return (0, 0)
    return _YEARS[match["year"]] if match["year"] else (int(match["major"]), int(match["minor"]))
