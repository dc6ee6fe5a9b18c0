"""Debian packages as folders: apt fetches and checks them in a state of its own, and none of their scripts runs."""

import os
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SOURCES = f"""\
deb [signed-by={KEYRING}] http://deb.debian.org/debian bookworm main
deb [signed-by={KEYRING}] http://deb.debian.org/debian-security bookworm-security main
"""
_OPTIONS = ("Acquire::Retries=3", "Acquire::Languages=none", "APT::Install-Recommends=0", "APT::Architecture=amd64")


class Apt:
    """Bookworm for amd64 as seen from `folder`; the host's own packages, lists and cache do not matter."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("state/lists/partial", "cache/archives/partial", "etc/preferences.d"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "etc/sources.list").write_text(_SOURCES)
        settings = {
            "Dir::State": folder / "state", "Dir::State::status": folder / "status", "Dir::Cache": folder / "cache",
            "Dir::Etc::sourcelist": folder / "etc/sources.list", "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferencesparts": folder / "etc/preferences.d", "Dir::Etc::preferences": "/dev/null",
        }  # fmt: skip
        if os.geteuid() == 0:
            settings["APT::Sandbox::User"] = "root"  # its own user cannot enter a private folder
        pairs = [*(f"{key}={value}" for key, value in settings.items()), *_OPTIONS]
        self._options = [word for pair in pairs for word in ("-o", pair)]
        self._run("apt-get", "-qq", "update")

    def fetch(self, wanted: Iterable[str]) -> list[Path]:
        """The archives of these packages and of all that they need, as on a machine without any."""
        self._run("apt-get", "-qq", "-y", "--download-only", "install", *wanted)
        return self._archives()

    def fetch_alone(self, name: str) -> Path:
        """The archive of this package without those that it needs."""
        before = {*self._archives()}
        archives = self._folder / "cache/archives"
        self._run("apt-get", "-qq", "download", name, cwd=archives)
        (archive,) = {*self._archives()} - before
        return archive

    def newest_kernel(self) -> str:
        """The name of the package that Debian's kernel meta-package stands for."""
        shown = self._run("apt-cache", "depends", "--important", "linux-image-amd64")
        return next(word for word in shown.split() if word.startswith("linux-image-6"))

    def _archives(self) -> list[Path]:
        return sorted((self._folder / "cache/archives").glob("*.deb"))

    def _run(self, *command: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            [command[0], *self._options, *command[1:]], cwd=cwd,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=300, check=True,
        )  # fmt: skip
        return done.stdout


def unpack(archives: Iterable[Path], target: Path, *members: str) -> None:
    """Lay out the archives' files (or those that a shell pattern names) below `target`; owners become the caller."""
    target.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda archive: _unpack_one(archive, target, members), archives))


def _unpack_one(archive: Path, target: Path, members: tuple[str, ...]) -> None:
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as source:
        # Bookworm's packages still ship files below /bin and /lib, which are links on every machine of today.
        keep = ("--no-same-owner", "--keep-directory-symlink", *(("--wildcards",) if members else ()))
        subprocess.run(["tar", "-x", *keep, "-C", target, *members], stdin=source.stdout, check=True)
    assert source.returncode == 0 or members, archive
