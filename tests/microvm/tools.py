"""What the host must have for the bed, by the package that brings it."""

import os
import shutil
from pathlib import Path

from tests.microvm.packages import KEYRING

_SEARCH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
_PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86", "mke2fs": "e2fsprogs", "apt-get": "apt", "dpkg-deb": "dpkg",
    "tar": "tar", "git": "git",
}  # fmt: skip


class BedError(Exception):
    """Why there is no bed, with what to do about it."""


def path(name: str) -> str:
    """A program's path, also where PATH leaves out the administrator's folders."""
    found = shutil.which(name, path=_SEARCH)
    if not found:
        raise BedError(f"error: no '{name}' on this machine\n  fix: apt install {_PACKAGES.get(name, name)}")
    return found


def check() -> None:
    """Refuse at once, with everything that is missing."""
    missing = [package for name, package in _PACKAGES.items() if not shutil.which(name, path=_SEARCH)]
    if not Path(KEYRING).is_file():
        missing.append("debian-archive-keyring")
    if missing:
        raise BedError(f"error: the machine for microVM tests needs more here\n  fix: apt install {' '.join(missing)}")
