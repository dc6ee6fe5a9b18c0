"""Removing a bottle by its labels: whatever is left, in whatever state, and twice is fine."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from bottlegen.errors import RuntimeFailure
from runtime.audit.runs import SOURCES
from runtime.docker import naming
from runtime.docker.engine import Api, Engine, translated
from runtime.workspace_users import WorkspaceUsers, of_workspace

_SETTLED = 1.5
"""Seconds without news after which nothing more comes from a start that was killed: the engine finishes the request it
has, and a network takes it half a second when it is busy."""

_ENDING = 2.0
"""Seconds in which a sidecar ends: it takes a twentieth of one."""

_PATIENCE = 60.0
_PAUSE = 0.1

Parts = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gone:
    """Whose parts are removed: of a bottle, or of one of its sessions."""

    engine: Engine
    users: WorkspaceUsers
    bottle: str
    session: str

    def is_its(self, labels: dict[str, str] | None) -> bool:
        has = labels or {}
        return has.get(naming.BOTTLE) == self.bottle and self.session in ("", has.get(naming.SESSION))


def remove(engine: Engine, users: WorkspaceUsers, bottle: str, session: str = "") -> bool:
    """Remove all of the bottle, or of one of its sessions; False if there was nothing."""
    selects = naming.selects(bottle, session)
    gone = _Gone(engine=engine, users=users, bottle=bottle, session=session)
    last_seen = begun = time.monotonic()
    found = False
    while time.monotonic() < begun + _PATIENCE:
        with translated(f"remove bottle '{bottle}'"):
            parts, markers = _scan(engine.api, selects)
            found = found or bool(markers)
            if any(parts.values()):
                found, last_seen = True, time.monotonic()
                _remove(gone, parts)
            elif not markers:
                _forget(gone, selects)
                return found
            elif time.monotonic() > last_seen + _SETTLED:
                _remove(gone, {"containers": [], "networks": [], "volumes": markers})
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


def _remove(gone: _Gone, parts: Parts) -> None:
    api, containers = gone.engine.api, parts["containers"]
    _settle(api, containers)
    if gone.engine.local:  # before the containers: should this be killed here, their mounts tell the next one of it
        gone.users.end(
            naming.RUNTIME, gone.bottle, gone.session,
            made=partial(_guards, containers, parts["volumes"]), others=partial(_guards_of_others, gone),
        )  # fmt: skip
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


def _forget(gone: _Gone, selects: dict[str, list[str]]) -> None:
    """What somebody removed by hand is nobody's user of a workspace any more."""
    if gone.engine.local:
        gone.users.forget(
            naming.RUNTIME, gone.bottle, gone.session,
            there=lambda: any(_every(gone.engine.api, selects)), others=partial(_guards_of_others, gone),
        )  # fmt: skip


def _guards(containers: list[dict[str, Any]], volumes: list[dict[str, Any]]) -> set[str]:
    """Guard files mounted by these containers, or not yet by any when a start was killed, as its marker among the
    volumes tells."""
    sources = {str(mount.get("Source", "")) for part in containers for mount in part.get("Mounts", ())}
    for volume in volumes:
        sources |= of_workspace((volume.get("Labels") or {}).get(naming.WORKSPACE, ""))
    return {source for source in sources if source.endswith("/commondir")}


def _guards_of_others(gone: _Gone) -> set[str]:
    """Those of every other bottle in the engine, of whichever user and state directory, also of one that begins."""
    containers, volumes = _every(gone.engine.api, naming.selects())
    return _guards(
        [part for part in containers if not gone.is_its(part["Labels"])],
        [volume for volume in volumes if not gone.is_its(volume["Labels"])],
    )


def _every(api: Api, selects: dict[str, list[str]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return api.containers(all=True, filters=selects), api.volumes(filters=selects)["Volumes"] or []


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
