"""Pinned downloads: bytes reach a build only after their hash is the one in the manifest; the cache is named by it."""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin

import requests

from bottlegen.errors import RuntimeFailure
from bottlegen.plan import Source
from runtime.base import Progress, Step
from runtime.https import TIMEOUT, reason, remedy, session
from runtime.locking import locked

if TYPE_CHECKING:
    from bottlegen.manifest import ArtifactSpec

CHUNK = 1024 * 1024
_ATTEMPTS = 4
_AT_ONCE = 8
_GO_PROXY = "https://proxy.golang.org"
SETTINGS: Mapping[Source, str] = {
    "npm": "npm_config_registry",
    "pypi": "PIP_INDEX_URL or UV_INDEX_URL",
    "go": "GOPROXY",
    "gomod": "GOPROXY",
}
"""What a user sets to have another registry."""

_SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"  # PEP 691


class ArtifactStore:
    """Downloads through the registries that `env` names into `folder`; `ca_file` is trusted besides the usual roots."""

    def __init__(self, folder: Path, env: Mapping[str, str], ca_file: Path | None = None) -> None:
        self._folder = folder
        self._env = env
        self._ca_file = ca_file

    def path(self, spec: ArtifactSpec) -> Path:
        """Where the verified archive lies, or will."""
        return self._folder / _digest(spec).hex() / spec.filename

    def fetch_all(self, specs: Sequence[ArtifactSpec], progress: Progress) -> dict[str, Path]:
        """The verified archives by their hashes; wheels, which are many and small, several at a time as one step."""
        wheels = [spec for spec in specs if spec.layout == "wheel"]
        found: dict[str, Path] = {}
        for spec in specs:
            if spec.layout != "wheel":
                with progress.step(f"download {spec.filename}") as step:
                    found[spec.integrity] = self.fetch(spec, step)
        if wheels:
            with progress.step(f"download {len(wheels)} Python packages") as step:
                found |= self._fetch_many(wheels, step)
        return found

    def _fetch_many(self, specs: Sequence[ArtifactSpec], step: Step) -> dict[str, Path]:
        found: dict[str, Path] = {}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            asked = {pool.submit(self.fetch, spec, _Unseen()): spec for spec in specs}
            try:
                for future in as_completed(asked):
                    spec = asked[future]
                    found[spec.integrity] = future.result()
                    step.note(spec.filename)
                    step.advance(len(found), len(specs))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return found

    def fetch(self, spec: ArtifactSpec, step: Step) -> Path:
        """The verified archive, downloaded when it is not in the cache; RuntimeFailure leaves nothing false behind."""
        path = self.path(spec)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.parent):
                if spec.source == "go":
                    from runtime import go_program  # few bottles need it

                    return go_program.have(spec, path.parent, self._env, step)
                # What lies there was whole once; a disk, or somebody, may have changed it since.
                if not path.is_file() or _sum(spec, path) != _digest(spec):
                    self._fetch(spec, path, step)
        except requests.RequestException as e:
            raise _unreachable(spec, e) from e
        except OSError as e:
            raise RuntimeFailure(
                f"cannot store '{spec.filename}' in '{path.parent}': {e.strerror or e}",
                fix="check space and permissions",
            ) from e
        return path

    def _fetch(self, spec: ArtifactSpec, path: Path, step: Step) -> None:
        partial = path.with_name(f"{path.name}.partial")
        with session(self._env, self._ca_file) as opened:
            self._download(opened, spec, partial, step)
        _verify(spec, partial)
        partial.replace(path)

    def _download(self, session: requests.Session, spec: ArtifactSpec, partial: Path, step: Step) -> None:
        """Up to four attempts, each going on where the last one stopped."""
        url = self._url(session, spec)
        for attempt in range(_ATTEMPTS):
            try:
                _stream(session, url, partial, step)
                return
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout):
                if attempt == _ATTEMPTS - 1:
                    raise
                step.note(f"{spec.filename}: interrupted, going on")

    def _url(self, session: requests.Session, spec: ArtifactSpec) -> str:
        if spec.source == "npm":
            return f"{npm_registry(self._env)}/{quote(spec.package, safe='@/')}/-/{quote(spec.filename)}"
        if spec.source == "gomod":
            return f"{go_proxy(self._env)}/{escaped_module(spec.package)}/@v/{quote(spec.filename)}.zip"
        index = simple_index(self._env)
        page, files = listed_files(session, index, spec.package)
        for file in files:
            if file.get("filename") == spec.filename:
                return urljoin(page, str(file["url"]))
        raise RuntimeFailure(
            f"the index '{index}' has no file '{spec.filename}' of '{spec.package}'",
            fix="use an index that mirrors PyPI: PIP_INDEX_URL=https://pypi.org/simple",
        )


class _Unseen:
    """The step of one download among several that are shown as one."""

    def note(self, text: str) -> None: ...

    def advance(self, done: int, total: int) -> None: ...


def npm_registry(env: Mapping[str, str]) -> str:
    return (env.get("npm_config_registry") or "https://registry.npmjs.org").rstrip("/")


def simple_index(env: Mapping[str, str]) -> str:
    return (env.get("PIP_INDEX_URL") or env.get("UV_INDEX_URL") or "https://pypi.org/simple").rstrip("/")


def go_proxy(env: Mapping[str, str]) -> str:
    """The first module proxy that GOPROXY names; `direct` and `off` are none."""
    proxies = (env.get("GOPROXY") or _GO_PROXY).replace("|", ",").split(",")
    return next((proxy for proxy in proxies if "://" in proxy), _GO_PROXY).rstrip("/")


def escaped_module(module: str) -> str:
    """A module's path as proxies spell it: https://go.dev/ref/mod#goproxy-protocol"""
    return re.sub(r"[A-Z]", lambda letter: f"!{letter[0].lower()}", module)


def listed_files(session: requests.Session, index: str, package: str) -> tuple[str, list[dict[str, object]]]:
    """The address of a package's page in an index, and its files as that lists them (PEP 691)."""
    page = f"{index}/{quote(package)}/"
    answer = session.get(page, headers={"Accept": _SIMPLE_JSON}, timeout=TIMEOUT)
    answer.raise_for_status()
    try:
        return answer.url, [dict(file) for file in answer.json()["files"]]
    except (ValueError, KeyError, TypeError) as e:
        raise RuntimeFailure(
            f"the index at '{page}' does not speak the JSON form of the simple API (PEP 691)",
            fix="use an index that does: PIP_INDEX_URL=https://pypi.org/simple",
        ) from e


def _stream(session: requests.Session, url: str, partial: Path, step: Step) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # all of it is here; the hash will tell
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:
            have = 0
        total = have + int(answer.headers.get("Content-Length") or 0)
        with partial.open("ab" if have else "wb") as file:
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                have += len(chunk)
                step.advance(have, max(total, have))
    if have < total:
        raise requests.ConnectionError("the connection ended early")


def _digest(spec: ArtifactSpec) -> bytes:
    return base64.b64decode(spec.integrity.replace("h1:", "sha256-").partition("-")[2])


def _sum(spec: ArtifactSpec, path: Path) -> bytes:
    if spec.source == "gomod":
        return _module_sum(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, spec.integrity.partition("-")[0]).digest()


def _module_sum(path: Path) -> bytes:
    """Go's hash of a module: that of the list of its files' hashes (golang.org/x/mod/sumdb/dirhash, Hash1)."""
    lines = []
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
                lines.append((info.filename.encode(), f"{digest}  {info.filename}\n".encode()))
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError):
        return b""
    return hashlib.sha256(b"".join(line for _, line in sorted(lines))).digest()


def _verify(spec: ArtifactSpec, partial: Path) -> None:
    found = _sum(spec, partial)
    if found == _digest(spec):
        return
    partial.unlink()
    algorithm = spec.integrity.partition("-")[0]
    raise RuntimeFailure(
        f"'{spec.filename}' is not the pinned file: integrity {algorithm}-{base64.b64encode(found).decode()}, "
        f"pinned {spec.integrity}",
        fix="try again; if it stays, the registry serves another file than the one that was reviewed",
    )


def _unreachable(spec: ArtifactSpec, error: requests.RequestException) -> RuntimeFailure:
    what = f"cannot download '{spec.filename}': {reason(error)}"
    return RuntimeFailure(what, fix=remedy(error, SETTINGS[spec.source]))
