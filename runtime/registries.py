"""What the registries say of a name: its newest version, the files and hashes of a version, the digest of an image."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote, urlsplit

import requests

from bottlegen.errors import LockError
from bottlegen.lock import INTEGRITY, VERSION, LockedFile, LockedVersion, newness
from bottlegen.pins import Recipe
from bottlegen.plan import Platform
from bottlegen.wheel_set import WheelSet
from bottlegen.wording import shown
from runtime import oci
from runtime.artifacts import SETTINGS, escaped_module, go_proxy, listed_files, npm_registry, simple_index
from runtime.https import TIMEOUT, reason, remedy, session
from runtime.image_reference import mirrored

_MACHINES = tuple(platform for platform in get_args(Platform) if "/" in platform)
"""What an image has to be there for: the platforms that are machines."""

_RELEASE = re.compile(r"\d+(\.\d+)*(\.post\d+)?")


class Registries:
    """One conversation. Registries are those that `env` names, with the proxies and the trust of this host."""

    def __init__(self, env: Mapping[str, str], ca_file: Path | None, mirror: str) -> None:
        self._env = env
        self._ca_file = ca_file
        self._mirror = mirror
        self._session = session(env, ca_file)
        self._pages: dict[str, list[dict[str, Any]]] = {}

    def close(self) -> None:
        self._session.close()

    def digest(self, reference: str) -> str:
        """The digest that a tag has now, for every platform there is."""
        asked = mirrored(reference, self._mirror)
        with _told(asked, "[images] mirror in host.toml"):
            return oci.digest(self._session, asked, _MACHINES)

    def newest(self, recipes: tuple[Recipe, ...]) -> str:
        """The version that the registry hands out when none is asked for; no pre-release, none that was taken back.

        Where this bottlegen can use one version alone, that one.
        """
        first = recipes[0]
        if first.version:
            return first.version
        if first.source == "npm":
            version = str(self._npm(first.package, "latest").get("version"))
            version = version.removesuffix(_spec(first).partition("{version}")[2])
        else:
            there = [{recipe.version_of(name) for name in self._names(recipe.package)} for recipe in recipes]
            versions = [version for version in set.intersection(*there) if _RELEASE.fullmatch(version)]
            version = max(versions, key=newness, default="")
        if not VERSION.fullmatch(version):
            raise LockError(
                f"the registry names no version of '{first.package}'", fix=f"check {SETTINGS[first.source]}"
            )
        return version

    def files(self, recipes: tuple[Recipe, ...], version: str, known: frozenset[str]) -> tuple[LockedFile, ...]:
        """One file a recipe; of several that would do, one that is `known`. LockError when one is missing."""
        return tuple(self._file(recipe, version, known) for recipe in recipes)

    def wheels(self, wheels: WheelSet, version: str) -> LockedVersion:
        """A Python program and all that it imports, in `version` or the newest."""
        from runtime.wheel_sets import resolved  # few names are such a program

        return resolved(wheels, version, self._env, self._ca_file)

    def _file(self, recipe: Recipe, version: str, known: frozenset[str]) -> LockedFile:
        answers = {"npm": self._npm_files, "pypi": self._pypi_files, "go": self._go_files, "gomod": self._go_files}
        found = answers[recipe.source](recipe, version)
        fitting = {name: integrity for name, integrity in found if recipe.names(name, version)}
        if not fitting:
            raise LockError(
                f"the registry has no {shown(version)} of '{recipe.package}' for {recipe.platform}",
                fix="ask for another version in the profile, or check " + SETTINGS[recipe.source],
            )
        name = min(fitting, key=lambda name: (name not in known, newness(name), name))
        if not INTEGRITY.fullmatch(fitting[name]):
            raise LockError(f"the registry gives no strong hash of '{name}'", fix=f"check {SETTINGS[recipe.source]}")
        return LockedFile(platform=recipe.platform, origin=recipe.origin, name=name, integrity=fitting[name])

    def _npm_files(self, recipe: Recipe, version: str) -> Iterator[tuple[str, str]]:
        dist = self._npm(recipe.package, _spec(recipe).replace("{version}", version)).get("dist")
        if isinstance(dist, dict):
            hashes = str(dist.get("integrity", "")).split()
            strongest = max(hashes, key=lambda text: text.startswith("sha512-"), default="")
            yield urlsplit(str(dist.get("tarball", ""))).path.rpartition("/")[2], strongest

    def _npm(self, package: str, version: str) -> dict[str, Any]:
        """What the registry says of one version of a package, or of a tag such as `latest`."""
        url = f"{npm_registry(self._env)}/{quote(package, safe='@/')}/{quote(version)}"
        with _told(package, SETTINGS["npm"]):
            answer = self._session.get(url, headers={"Accept": "application/json"}, timeout=TIMEOUT)
            answer.raise_for_status()
            document = answer.json()
        return document if isinstance(document, dict) else {}

    def _pypi_files(self, recipe: Recipe, _: str) -> Iterator[tuple[str, str]]:
        for file in self._page(recipe.package):
            hashes = file.get("hashes")
            sha256 = str(hashes.get("sha256", "")) if isinstance(hashes, dict) else ""
            if re.fullmatch(r"[0-9a-f]{64}", sha256):
                yield str(file.get("filename")), f"sha256-{base64.b64encode(bytes.fromhex(sha256)).decode()}"

    def _go_files(self, recipe: Recipe, version: str) -> Iterator[tuple[str, str]]:
        """What Go's checksum database attests, as a module proxy passes it on: https://go.dev/ref/mod#checksum-database"""
        module = recipe.package.partition("/cmd/")[0]
        wanted = recipe.filename.replace("{version}", version)
        with _told(module, SETTINGS["go"]):
            url = f"{go_proxy(self._env)}/sumdb/sum.golang.org/lookup/{escaped_module(module)}@{wanted}"
            answer = self._session.get(url, timeout=TIMEOUT)
            answer.raise_for_status()
        for line in answer.text.splitlines():
            match line.split():
                case [name, told, hashed] if (name, told) == (module, wanted):
                    yield told, hashed

    def _names(self, package: str) -> Iterator[str]:
        return (str(file.get("filename")) for file in self._page(package) if not file.get("yanked"))

    def _page(self, package: str) -> list[dict[str, Any]]:
        if package not in self._pages:
            with _told(package, SETTINGS["pypi"]):
                self._pages[package] = list(listed_files(self._session, simple_index(self._env), package)[1])
        return self._pages[package]


def _spec(recipe: Recipe) -> str:
    """The version of a platform's package on npm: what its file has between the package's name and `.tgz`."""
    return recipe.filename.removeprefix(f"{recipe.package.rpartition('/')[2]}-").removesuffix(".tgz")


@contextmanager
def _told(asked: str, settings: str) -> Iterator[None]:
    """The one place where a failed request becomes the user's to mend."""
    try:
        yield
    except (requests.RequestException, ValueError) as e:
        raise LockError(f"cannot ask for '{asked}': {reason(e)}", fix=remedy(e, settings)) from e
