"""Names and labels of all that a bottle has in the engine; a container's name is the lock on the bottle's name."""

from runtime.base import LaunchSpec

RUNTIME = "docker"
AGENT = "agent"
PREFIX = "bottlegen."
BOTTLE = PREFIX + "bottle"
SERVICE = PREFIX + "service"
SERVICES = PREFIX + "services"
"""Names of all services that the bottle should have: one whose container is gone is missed by them."""
SESSION = PREFIX + "session"
WORKSPACE = PREFIX + "workspace"
"""On the marker alone: where a start may have put guards that no container mounts yet."""

_STARTING = "-starting"


def container(bottle: str, service: str) -> str:
    return f"bottlegen-{bottle}-{service}"


def network(bottle: str, session: str, side: str) -> str:
    """Carries the session: who loses the race for the bottle's name has made only networks of its own."""
    return f"bottlegen-{bottle}-{session}-{side}"


def marker(bottle: str, session: str) -> str:
    """A volume that stands in the engine while a bottle is being made: who finds it knows that more may come."""
    return f"bottlegen-{bottle}-{session}{_STARTING}"


def is_marker(volume: str) -> bool:
    return volume.endswith(_STARTING)


def labels(spec: LaunchSpec, service: str = "") -> dict[str, str]:
    """On every container and network, so that `down` finds them whatever state they are in."""
    common = {
        BOTTLE: spec.bottle,
        PREFIX + "profile": spec.bundle.manifest.name,
        PREFIX + "hash": spec.bundle.hash,
        SERVICES: ",".join(sorted(spec.bundle.manifest.services)),
        SESSION: spec.session,
        PREFIX + "runtime": RUNTIME,
    }
    return common | ({SERVICE: service} if service else {})


def selects(bottle: str = "", session: str = "") -> dict[str, list[str]]:
    """The engine's filter for the labels of one bottle, or of all."""
    wanted = [f"{BOTTLE}={bottle}" if bottle else BOTTLE]
    return {"label": [*wanted, *([f"{SESSION}={session}"] if session else [])]}
