"""A bottle's networks: `inside` has no way out and no host on it; only sidecars that must leave are on `outside`."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from bottlegen.errors import RuntimeFailure
from runtime.base import LaunchSpec
from runtime.docker import naming
from runtime.docker.engine import Api, Engine, translated

INSIDE, CHAIN, OUTSIDE = "inside", "chain", "outside"
OUTWARD = ("outside", "chain", "bottle")
"""Networks as the manifest names them, from the internet to the agent."""

_ISOLATED_SINCE = (28, 0)
_POLL_SECONDS = 0.01


def names(spec: LaunchSpec) -> dict[str, str]:
    """The engine's names of the networks that the bundle wants; the outside one is the host's choice if it has one."""
    wanted = {network for service in spec.bundle.manifest.services.values() for network in service.networks}
    found: dict[str, str] = {
        network: naming.network(spec.bottle, spec.session, own)
        for network, own in (("bottle", INSIDE), ("chain", CHAIN), ("outside", OUTSIDE))
        if network in wanted
    }
    return found | ({"outside": spec.outside_network} if spec.outside_network else {})


def joined(spec: LaunchSpec, service: str) -> list[str]:
    """The names of the networks that a service is on, from the internet to the agent."""
    its, made = spec.bundle.manifest.services[service].networks, names(spec)
    return [made[network] for network in OUTWARD if network in its]


def create(engine: Engine, spec: LaunchSpec) -> None:
    """Make the networks that are not there already."""
    wanted = names(spec)
    with translated(f"make the networks of bottle '{spec.bottle}'"), ThreadPoolExecutor(max_workers=3) as pool:
        jobs = [
            pool.submit(engine.api.create_network, **request(engine, spec, name, internal=network != "outside"))
            for network, name in wanted.items()
            if name != spec.outside_network
        ]
        for job in jobs:
            job.result()


def request(engine: Engine, spec: LaunchSpec, name: str, *, internal: bool) -> dict[str, Any]:
    """What the engine is asked for, and what `verify` compares the network with."""
    return {
        "name": name, "driver": "bridge", "internal": internal, "options": _isolation(engine) if internal else None,
        "labels": naming.labels(spec), "enable_ipv6": False, "check_duplicate": True,
    }  # fmt: skip


def _isolation(engine: Engine) -> dict[str, str]:
    """Even an internal bridge carries an address of the host, and with it every service of the host: take it away."""
    if engine.version >= _ISOLATED_SINCE:
        return {"com.docker.network.bridge.gateway_mode_ipv4": "isolated"}
    return {"com.docker.network.bridge.inhibit_ipv4": "true"}


def address(api: Api, container: str, network: str, starting: Future[None]) -> str:
    """The IPv4 address of a starting container on a network, as soon as it has one; the start's error when it fails.

    Asked of the network: the engine answers for a container only once its start is over.
    """
    while True:
        over = starting.done()
        place = (api.inspect_network(network)["Containers"] or {}).get(container, {})
        if found := str(place.get("IPv4Address", "")).partition("/")[0]:
            return found
        if over:
            starting.result()
            raise RuntimeFailure(f"the engine gave no address on network '{network}'", fix="bottlegen up again")
        time.sleep(_POLL_SECONDS)
