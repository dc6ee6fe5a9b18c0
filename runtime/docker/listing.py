"""What `ps` shows, read from labels alone: also bottles that another process made, or left half-made."""

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from bottlegen.plan import PROXY_HOST
from runtime.base import BottleStatus
from runtime.docker import naming
from runtime.docker.engine import Engine, translated


def bottles(engine: Engine) -> tuple[BottleStatus, ...]:
    """Sorted by name; a bottle of which only networks are left counts as well."""
    with translated("list bottles"):
        containers = engine.api.containers(all=True, filters=naming.selects())
        networks = engine.api.networks(filters=naming.selects())
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for part in (*containers, *networks):
        found[part["Labels"][naming.BOTTLE]].append(part)
    return tuple(_status(bottle, parts) for bottle, parts in sorted(found.items()))


def _status(bottle: str, parts: list[dict[str, Any]]) -> BottleStatus:
    services = {part["Labels"][naming.SERVICE]: part for part in parts if naming.SERVICE in part["Labels"]}
    labels = parts[0]["Labels"]
    # The least that a bottle has, should its containers be of a version that did not label them so.
    expected = (labels.get(naming.SERVICES) or f"{naming.AGENT},{PROXY_HOST}").split(",")
    states = tuple(
        (name, str(services[name]["State"]) if name in services else "missing")
        for name in sorted({*services, *expected})
    )
    return BottleStatus(
        bottle=bottle,
        profile=labels.get(naming.PREFIX + "profile", ""),
        hash=labels.get(naming.PREFIX + "hash", ""),
        session=labels.get(naming.SESSION, ""),
        runtime=naming.RUNTIME,
        state=_state(dict(states)),
        created=_created(services),
        services=states,
    )


def _state(states: dict[str, str]) -> str:
    agent = states.pop(naming.AGENT)
    if agent == "exited":
        return "stopped"
    whole = agent == "running" and all(state == "running" for state in states.values())
    return "running" if whole else "broken"


def _created(services: dict[str, dict[str, Any]]) -> str:
    """When the first container was made, RFC 3339 in UTC; empty when there is none."""
    if not services:
        return ""
    first = min(int(part["Created"]) for part in services.values())
    return datetime.fromtimestamp(first, UTC).isoformat().replace("+00:00", "Z")
