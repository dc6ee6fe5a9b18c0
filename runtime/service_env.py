"""The environment of a service and the names it is called by, as the bundle holds them: the same in every runtime."""

import json
from collections.abc import Iterator

from bottlegen.bundle import Bundle
from bottlegen.errors import BundleError


def env_of(bundle: Bundle, service: str) -> dict[str, str]:
    """The variables of a service as the bundle holds them; BundleError when its file is not what the manifest lists."""
    declared = bundle.manifest.services[service]
    env = json.loads(bundle.data(declared.env_file)) if declared.env_file else {}
    if not isinstance(env, dict) or sorted(env) != sorted(declared.env):
        raise BundleError(f"'{declared.env_file}' holds other variables than the manifest lists", fix="bottlegen build")
    return {str(name): str(value) for name, value in env.items()}


def sidecar_names(bundle: Bundle) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each sidecar that the agent may speak to, with every name that leads to it."""
    for name, service in bundle.manifest.services.items():
        if service.listening and "bottle" in service.networks:
            yield name, (name, *service.listening.names)


def agent_ports(bundle: Bundle) -> dict[int, str]:
    """The ports that are open to the agent, each with its sidecar."""
    services = bundle.manifest.services
    return {
        port: name
        for name, _ in sidecar_names(bundle)
        if (listening := services[name].listening)
        for port in listening.ports
    }


def first_port(bundle: Bundle, sidecar: str) -> int:
    """The port that is open when the sidecar is ready."""
    listening = bundle.manifest.services[sidecar].listening
    assert listening is not None  # a sidecar's has one
    return listening.ports[0]
