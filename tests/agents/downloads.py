"""The real agents on this machine: the pinned archive from the cache or its registry, checked, then its programs."""

import base64
import hashlib
import os
import platform
import shutil
import tarfile
from pathlib import Path
from urllib.parse import quote

import requests

from bottlegen import pins
from bottlegen.plan import Artifact

PLATFORM = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}.get(platform.machine(), "")


def cache_folder() -> Path:
    """Where archives are kept between runs: the same folder that images are built from."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "bottlegen" / "artifacts"


def unpack_agent(name: str, cache: Path, target: Path) -> Path:
    """Unpack the programs of the pinned agent, laid out as in its image; the folder that belongs on PATH."""
    artifact = next(item for item in pins.load().artifacts(name) if item.platform == PLATFORM)
    members = dict(artifact.members)
    with tarfile.open(_archive(artifact, cache)) as archive:
        for entry in archive:
            if entry.name in members:
                path = target / members[entry.name]
                path.parent.mkdir(parents=True, exist_ok=True)
                source = archive.extractfile(entry)
                assert source
                with path.open("wb") as program:
                    shutil.copyfileobj(source, program)
                path.chmod(0o755)
    return target / "agent" / "bin"


def _archive(artifact: Artifact, cache: Path) -> Path:
    algorithm, _, encoded = artifact.integrity.partition("-")
    digest = base64.b64decode(encoded)
    path = cache / digest.hex() / artifact.filename
    if not path.is_file():
        partial = path.with_suffix(".test-partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(artifact, partial)
        with partial.open("rb") as file:
            assert hashlib.file_digest(file, algorithm).digest() == digest, (
                f"{artifact.filename} is not the pinned file"
            )
        partial.replace(path)
    return path


def _download(artifact: Artifact, path: Path) -> None:
    registry = os.environ.get("npm_config_registry") or "https://registry.npmjs.org"
    url = f"{registry.rstrip('/')}/{quote(artifact.package, safe='@/')}/-/{artifact.filename}"
    with requests.get(url, stream=True, timeout=60) as answer, path.open("wb") as file:
        answer.raise_for_status()
        for chunk in answer.iter_content(1 << 20):
            file.write(chunk)
