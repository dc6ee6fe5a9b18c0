"""Removing a bottle by its labels: whatever is left, in whatever state, and twice is fine."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from bottlegen.errors import RuntimeFailure
from runtime.docker import naming
from runtime.docker.engine import Api, Engine, translated
from runtime.docker.workspace import remove_guards

_ROUNDS = 12
_LATE = 0.4
"""Seconds in which an engine finishes a creation whose client was killed (0.1 s measured on a busy machine)."""


def remove(engine: Engine, bottle: str, session: str = "") -> bool:
    """Remove all of the bottle, or of one of its sessions; False if there was nothing."""
    selects = naming.selects(bottle, session)
    found = False
    for round_ in range(_ROUNDS):
        with translated(f"remove bottle '{bottle}'"):
            parts = _scan(engine.api, selects)
            if not any(parts.values()):
                if _settled(found, round_):
                    return found
                time.sleep(_LATE)
                continue
            complete = _complete(parts["containers"])
            found = True
            _remove(engine, parts)
            if complete and not any(_scan(engine.api, selects).values()):
                return True
    raise RuntimeFailure(
        f"parts of bottle '{bottle}' cannot be removed", fix=f"docker ps -a --filter label={naming.BOTTLE}={bottle}"
    )


def _settled(found: bool, round_: int) -> bool:
    """A half-made bottle, or none, may have a creation under way: it is looked for once more."""
    return round_ > int(found)


def _complete(containers: list[dict[str, Any]]) -> bool:
    return any(part["Labels"].get(naming.SERVICE) == naming.AGENT and part["State"] != "created" for part in containers)


def _scan(api: Api, selects: dict[str, list[str]]) -> dict[str, list[dict[str, Any]]]:
    return {
        "containers": api.containers(all=True, filters=selects),
        "networks": api.networks(filters=selects),
        "volumes": api.volumes(filters=selects)["Volumes"] or [],
    }


def _remove(engine: Engine, parts: dict[str, list[dict[str, Any]]]) -> None:
    api = engine.api
    containers = parts["containers"]
    guards = _guards(api, containers) if engine.local else []
    _parallel(lambda part: _gone(api.remove_container, part["Id"], force=True, v=True), containers)
    remove_guards(guards)
    _parallel(lambda part: _remove_network(api, part["Id"]), parts["networks"])
    _parallel(lambda part: _gone(api.remove_volume, part["Name"], force=True), parts["volumes"])


def _guards(api: Api, containers: list[dict[str, Any]]) -> list[Path]:
    """Guard files mounted only by these containers: another bottle on the same workspace still needs its own."""
    mine = {part["Id"] for part in containers}
    others = [part for part in api.containers(all=True, filters=naming.selects()) if part["Id"] not in mine]
    kept = {mount["Source"] for part in others for mount in part.get("Mounts", ())}
    sources = {mount.get("Source", "") for part in containers for mount in part.get("Mounts", ())}
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
