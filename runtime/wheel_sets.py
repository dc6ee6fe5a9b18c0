"""What a Python program needs, resolved by uv for every platform from what the registry says; nothing is built."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bottlegen.errors import LockError
from bottlegen.lock import LockedFile, LockedVersion, wheel_file
from bottlegen.wheels import GLIBC, MACHINES, distribution
from runtime.artifacts import SETTINGS, simple_index

if TYPE_CHECKING:
    from bottlegen.wheel_set import WheelSet

_SECONDS = 600
_PASSED = ("PATH", "HOME", "XDG_CACHE_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC", "TMPDIR")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
_LAST_LINES = 12


def resolved(wheels: WheelSet, version: str, env: Mapping[str, str], ca_file: Path | None) -> LockedVersion:
    """`version` of the program, the newest when it is empty, with the newest that it takes of all that it imports.

    LockError when uv is not here, or finds no set without a build.
    """
    uv = shutil.which("uv", path=os.pathsep.join((env.get("PATH", os.defpath), str(Path(sys.executable).parent))))
    if not uv:
        raise LockError(
            f"the packages of '{wheels.package}' are resolved by uv, which is not on PATH",
            fix="install uv: https://docs.astral.sh/uv/getting-started/installation/",
        )
    given = _env(env, ca_file)
    files: dict[str, LockedFile] = {}
    for machine in MACHINES.values():
        packages = _compiled([uv, *_arguments(wheels, machine, env)], wheels, version, given)
        version = version or _version_of(wheels, packages)
        files |= {file.name: file for file in _chosen(packages, wheels)}
    return LockedVersion(name=wheels.name, version=version, wheels=tuple(files.values()))


def _env(env: Mapping[str, str], ca_file: Path | None) -> dict[str, str]:
    names = (*_PASSED, *_PROXIES, *(name.lower() for name in _PROXIES))
    return {name: env[name] for name in names if name in env} | ({"SSL_CERT_FILE": str(ca_file)} if ca_file else {})


def _arguments(wheels: WheelSet, machine: str, env: Mapping[str, str]) -> Iterator[str]:
    yield from ("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-python-downloads")
    yield from ("--python", sys.executable, "--python-version", wheels.python)
    yield from ("--python-platform", f"{machine}-manylinux_{GLIBC[0]}_{GLIBC[1]}")
    yield from ("--default-index", simple_index(env), "--only-binary", ":all:")
    for package, _ in wheels.sources:
        yield from ("--no-binary", package)


def _compiled(argv: list[str], wheels: WheelSet, version: str, env: dict[str, str]) -> list[dict[str, Any]]:
    """The packages that uv answers, in the form of PEP 751."""
    with tempfile.TemporaryDirectory(prefix="bottlegen-lock-") as made:
        folder = Path(made)
        (folder / "wanted.in").write_text(f"{wheels.package}=={version}\n" if version else f"{wheels.package}\n")
        (folder / "uv.toml").write_text(_known_sources(wheels))
        answer = folder / "pylock.toml"
        asked = [*argv, "--config-file", str(folder / "uv.toml"), "--output-file", str(answer), "wanted.in"]
        try:
            done = subprocess.run(
                asked, cwd=folder, env=env, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as e:
            raise _unresolved(wheels, version, f"uv did not end within {_SECONDS} s") from e
        if done.returncode:
            last = "\n".join(f"  | {line}" for line in done.stderr.strip().splitlines()[-_LAST_LINES:])
            raise _unresolved(wheels, version, f"uv says:\n{last}")
        return list(tomllib.loads(answer.read_text(encoding="utf-8"))["packages"])


def _known_sources(wheels: WheelSet) -> str:
    """Their requirements, so that uv need not run their code to ask for them: they have none."""
    known = ", ".join(f"{{name = {json.dumps(package)}, requires-dist = []}}" for package, _ in wheels.sources)
    return f"dependency-metadata = [{known}]\n"


def _unresolved(wheels: WheelSet, version: str, reason: str) -> LockError:
    asked = f"version {version} of '{wheels.package}'" if version else f"'{wheels.package}'"
    return LockError(f"cannot resolve {asked}: {reason}", fix=f"check the network, HTTPS_PROXY and {SETTINGS['pypi']}")


def _version_of(wheels: WheelSet, packages: list[dict[str, Any]]) -> str:
    return next(str(package["version"]) for package in packages if package["name"] == wheels.package)


def _chosen(packages: list[dict[str, Any]], wheels: WheelSet) -> Iterator[LockedFile]:
    """One file a package: machine code before none, then what runs with the oldest C library, then in one order."""
    for package in packages:
        offered = package.get("wheels") or [package.get("sdist") or {}]
        files = [file for file in map(_file, offered) if file and not wheels.problem(file)]
        if not files:
            raise LockError(
                f"'{package['name']}' {package['version']}, which '{wheels.package}' needs, has no wheel for this",
                fix="nothing is built: ask its publisher for a wheel",
            )
        yield min(files, key=_preference)


def _file(offered: Mapping[str, Any]) -> LockedFile | None:
    name = str(offered.get("name") or urlsplit(str(offered.get("url", ""))).path.rpartition("/")[2])
    digest = bytes.fromhex(str(offered.get("hashes", {}).get("sha256", "")))
    return wheel_file(name, f"sha256-{base64.b64encode(digest).decode()}") if digest else None


def _preference(file: LockedFile) -> tuple[bool, tuple[int, int], str]:
    told = distribution(file.name)
    assert told is not None
    return file.platform == "any", told.glibc, file.name
