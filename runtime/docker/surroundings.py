"""Where a docker bottle's agent is on its network, and who is near it: what the probes of `verify` are told."""

import ipaddress
from collections.abc import Iterator
from typing import Any

from runtime.base import Run, Surroundings
from runtime.docker import naming, networks
from runtime.docker.engine import Api
from runtime.service_env import agent_ports, first_port

_ANY_PORT = 1
"""Nobody listens there: a host that is reached answers with a refusal, and a wall does not answer."""


def of(api: Api, run: Run) -> Surroundings:
    """As the engine tells it now: addresses are of this start alone."""
    spec, addresses = run.spec, run.endpoints.addresses
    ports = agent_ports(spec.bundle)
    services = spec.bundle.manifest.services
    return Surroundings(
        doors=tuple((addresses[name], port) for port, name in sorted(ports.items())),
        neighbours=tuple(_gateways(api.inspect_network(networks.names(spec)["bottle"]))),
        others=tuple(sorted(_others(api, spec.bottle))),
        hidden=tuple(
            (addresses[name], first_port(spec.bundle, name))
            for name in sorted(addresses)
            if "bottle" not in services[name].networks
        ),
    )


def _gateways(network: dict[str, Any]) -> Iterator[str]:
    """The address that a bridge has of this host's on its network, unless it is taken away from it."""
    for config in network["IPAM"]["Config"] or ():
        subnet = ipaddress.ip_network(config["Subnet"])
        yield str(config.get("Gateway") or next(subnet.hosts())).partition("/")[0]


def _others(api: Api, bottle: str) -> Iterator[tuple[str, int]]:
    """Every address of every service of every other bottle of this engine."""
    for each in api.containers(filters=naming.selects()):
        if each["Labels"].get(naming.BOTTLE) != bottle:
            for network in (each.get("NetworkSettings") or {}).get("Networks", {}).values():
                if network.get("IPAddress"):
                    yield network["IPAddress"], _ANY_PORT
