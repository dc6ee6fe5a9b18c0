"""A pinned program that is built from source: taken from PATH when it is that version, else built by this host's Go.

Go checks the module against the hash of the pin and, by its checksum database, of everybody else. Only then is it
built; what was built is kept in the cache under that hash.
"""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bottlegen.errors import RuntimeFailure
from runtime.base import Step

if TYPE_CHECKING:
    from bottlegen.manifest import ArtifactSpec

_SECONDS = 900
_ASK_SECONDS = 10
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_PASSED = ("PATH", "HOME", "GOPROXY", "GONOSUMDB", "GOSUMDB", "GOPRIVATE", "GOCACHE", "GOMODCACHE", "GOPATH", "TMPDIR")
_NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")


def have(spec: ArtifactSpec, folder: Path, env: Mapping[str, str], step: Step) -> Path:
    """An archive in `folder` that holds the program under its own name; RuntimeFailure says both ways to get it."""
    program, archive = program_of(spec), archive_of(spec, folder)
    if archive.is_file():
        return archive
    if found := on_path(spec, env):
        step.note(f"{program} {spec.version} from '{found}'")
        return pack(spec, folder, found.read_bytes())
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as made:
        _build(spec, Path(made), env, step)
        built = Path(made) / program
        if not built.is_file():
            raise _missing(spec, f"go built no '{program}'")
        return pack(spec, folder, built.read_bytes())


def program_of(spec: ArtifactSpec) -> str:
    return spec.package.rpartition("/")[2]


def archive_of(spec: ArtifactSpec, folder: Path) -> Path:
    """Where the archive lies in `folder`, or will."""
    return folder / f"{program_of(spec)}-{spec.version}.tgz"


def host_platform() -> str:
    """What programs of this host run on, as pins name it."""
    machine = platform.machine()
    return f"{platform.system().lower()}/{_MACHINES.get(machine, machine)}"


def on_path(spec: ArtifactSpec, env: Mapping[str, str]) -> Path | None:
    """The program on PATH, when it says that it is of the pinned version; never for an engine of another platform."""
    found = shutil.which(spec.package.rpartition("/")[2], path=env.get("PATH", os.defpath))
    if not found or spec.platform != host_platform():
        return None
    try:
        told = subprocess.run([found, "version"], capture_output=True, text=True, timeout=_ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    first = (told.stdout + told.stderr).partition("\n")[0].split()  # pipelock tells it on stderr
    return Path(found) if spec.version in {word.removeprefix("v") for word in first} else None


def _build(spec: ArtifactSpec, made: Path, env: Mapping[str, str], step: Step) -> None:
    module, _, package = spec.package.partition("/cmd/")
    go = shutil.which("go", path=env.get("PATH", os.defpath))
    if not go:
        raise _missing(spec, "there is no go on PATH")
    names = (*_PASSED, *_NETWORK, *(name.lower() for name in _NETWORK))
    given = {name: env[name] for name in names if name in env} | {
        "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOBIN": str(made), "GO111MODULE": "on",
        "GOOS": "linux", "GOARCH": spec.platform.partition("/")[2],
    }  # fmt: skip
    step.note(f"go mod download {module}@{spec.filename}")
    told = _go(spec, [go, "mod", "download", "-json", f"{module}@{spec.filename}"], given, made)
    if (found := _sum(told)) != spec.integrity:
        raise RuntimeFailure(
            f"'{module}' at {spec.filename} is not the pinned source: {found or 'no sum'}, pinned {spec.integrity}",
            fix="look at GOPROXY: it serves another module than the one that was reviewed",
        )
    step.note(f"go install {package} {spec.version}")
    version = f"-X {module}/internal/cliutil.Version={spec.version}"
    _go(spec, [go, "install", "-trimpath", f"-ldflags=-s -w {version}", f"{spec.package}@{spec.filename}"], given, made)


def _go(spec: ArtifactSpec, argv: list[str], env: dict[str, str], folder: Path) -> str:
    try:
        done = subprocess.run(argv, env=env, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as e:
        raise _missing(spec, f"go did not end within {_SECONDS} s") from e
    if done.returncode:
        said = _error(done.stdout) or done.stderr.strip().rpartition("\n")[2]
        raise _missing(spec, f"go said: {said}")
    return done.stdout


def _document(told: str) -> dict[str, Any]:
    try:
        return dict(json.loads(told))
    except (ValueError, TypeError):
        return {}


def _sum(told: str) -> str:
    return str(_document(told).get("Sum", ""))


def _error(told: str) -> str:
    return str(_document(told).get("Error", "")).replace("\n", " ").strip()


def _missing(spec: ArtifactSpec, reason: str) -> RuntimeFailure:
    program = spec.package.rpartition("/")[2]
    return RuntimeFailure(
        f"cannot have '{program}' {spec.version}: it is not on PATH in that version, and {reason}",
        fix=f"put {program} {spec.version} on PATH, or install Go with access to a module proxy (GOPROXY)",
    )


def pack(spec: ArtifactSpec, folder: Path, data: bytes) -> Path:
    """The archive that holds the program, written whole or not at all."""
    archive = archive_of(spec, folder)
    new = archive.with_name(f"{archive.name}.new-{os.getpid()}")
    try:
        with tarfile.open(new, "w:gz", compresslevel=1) as tar:
            info = tarfile.TarInfo(program_of(spec))
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
        new.replace(archive)
    finally:
        new.unlink(missing_ok=True)
    return archive
