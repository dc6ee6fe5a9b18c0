"""Removing a bottle by its labels: whatever is left, in whatever state, and twice is fine."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from bottlegen.errors import RuntimeFailure
from runtime.audit.runs import SOURCES
from runtime.docker import naming
from runtime.docker.engine import Api, Engine, translated
from runtime.workspace import guards, remove_guards

_SETTLED = 1.5
"""Seconds without news after which nothing more comes from a start that was killed: the engine finishes the request it
has, and a network takes it half a second when it is busy."""

_ENDING = 2.0
"""Seconds in which a sidecar ends: it takes a twentieth of one."""

_PATIENCE = 60.0
_PAUSE = 0.1

Parts = dict[str, list[dict[str, Any]]]


def remove(engine: Engine, bottle: str, session: str = "") -> bool:
    """Remove all of the bottle, or of one of its sessions; False if there was nothing."""
    selects = naming.selects(bottle, session)
    last_seen = begun = time.monotonic()
    found = False
    while time.monotonic() < begun + _PATIENCE:
        with translated(f"remove bottle '{bottle}'"):
            parts, markers = _scan(engine.api, selects)
            found = found or bool(markers)
            if any(parts.values()):
                found, last_seen = True, time.monotonic()
                _remove(engine, parts)
            elif not markers:
                return found
            elif time.monotonic() > last_seen + _SETTLED:
                _remove(engine, {"containers": [], "networks": [], "volumes": markers})
            else:
                time.sleep(_PAUSE)
    raise RuntimeFailure(
        f"parts of bottle '{bottle}' cannot be removed", fix=f"docker ps -a --filter label={naming.BOTTLE}={bottle}"
    )


def _scan(api: Api, selects: dict[str, list[str]]) -> tuple[Parts, list[dict[str, Any]]]:
    """What there is, and apart from it the markers of starts that did not come to their end."""
    volumes = api.volumes(filters=selects)["Volumes"] or []
    marks = [volume for volume in volumes if naming.is_marker(volume["Name"])]
    parts = {
        "containers": api.containers(all=True, filters=selects),
        "networks": api.networks(filters=selects),
        "volumes": [volume for volume in volumes if volume not in marks],
    }
    return parts, marks


def _remove(engine: Engine, parts: Parts) -> None:
    api = engine.api
    containers = parts["containers"]
    left = _guards(api, containers, parts["volumes"]) if engine.local else []
    _settle(api, containers)
    remove_guards(left)  # before the containers: should this be killed here, their mounts tell the next one of it
    _parallel(lambda part: _gone(api.remove_container, part["Id"], force=True, v=True), containers)
    _parallel(lambda part: _remove_network(api, part["Id"]), parts["networks"])
    _parallel(lambda part: _gone(api.remove_volume, part["Name"], force=True), parts["volumes"])


def _settle(api: Api, containers: list[dict[str, Any]]) -> None:
    """End the agent, then let its sidecars end by themselves: what they have decided and not yet said is audit."""
    from docker.errors import APIError

    running = [part for part in containers if part["State"] == "running"]
    by_service = {part["Labels"].get(naming.SERVICE, ""): part["Id"] for part in running}
    if agent := by_service.get(naming.AGENT):
        with suppress(APIError):  # it has just ended
            api.kill(agent)
    said = [by_service[name] for name in SOURCES if name in by_service and name != naming.AGENT]
    _parallel(lambda part: _end(api, part["Id"]), [{"Id": container} for container in said])


def _end(api: Api, container: str) -> None:
    from docker.errors import APIError
    from requests.exceptions import RequestException

    with suppress(APIError, RequestException):  # what does not end by itself is removed all the same
        api.kill(container, signal="SIGTERM")
        api.wait(container, timeout=_ENDING)


def _guards(api: Api, containers: list[dict[str, Any]], volumes: list[dict[str, Any]]) -> list[Path]:
    """Guard files mounted only by these containers, or not yet by any when a start was killed, as its marker among the
    volumes tells: another bottle on the same workspace still needs its own."""
    mine = {part["Id"] for part in containers}
    others = [part for part in api.containers(all=True, filters=naming.selects()) if part["Id"] not in mine]
    kept = {mount["Source"] for part in others for mount in part.get("Mounts", ())}
    sources = {mount.get("Source", "") for part in containers for mount in part.get("Mounts", ())}
    for volume in volumes:
        if place := (volume.get("Labels") or {}).get(naming.WORKSPACE):
            sources |= {str(path) for path in guards(Path(place))}
    return [Path(source) for source in sorted(sources - kept) if source.endswith("/commondir")]


def _parallel(work: Callable[[dict[str, Any]], None], parts: Iterable[dict[str, Any]]) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(work, parts))


def _remove_network(api: Api, network: str) -> None:
    """A network that some other container was put on by hand loses it first."""
    from docker.errors import APIError, NotFound

    try:
        _gone(api.remove_network, network)
    except APIError:
        with suppress(NotFound, APIError):
            for container in api.inspect_network(network)["Containers"]:
                api.disconnect_container_from_network(container, network, force=True)
        with suppress(APIError):
            _gone(api.remove_network, network)


def _gone(call: Callable[..., None], *args: str, **kwargs: bool) -> None:
    """Call, content when the target is gone already or another removal is at it; the next scan sees what stayed."""
    from docker.errors import APIError, NotFound

    try:
        call(*args, **kwargs)
    except NotFound:
        return
    except APIError as e:
        if "already in progress" not in str(e.explanation):
            raise
