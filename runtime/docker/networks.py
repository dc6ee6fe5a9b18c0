"""A bottle's networks: `inside` has no way out and no host on it; only sidecars that must leave are on `outside`."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

from bottlegen.errors import RuntimeFailure
from runtime.base import LaunchSpec
from runtime.docker import naming
from runtime.docker.engine import Api, Engine, translated

INSIDE, OUTSIDE = "inside", "outside"
_ISOLATED_SINCE = (28, 0)
_POLL_SECONDS = 0.01


def create(engine: Engine, spec: LaunchSpec) -> tuple[str, str]:
    """Names of the inside and the outside network; the latter is the host's choice when there is one."""
    inside = naming.network(spec.bottle, spec.session, INSIDE)
    outside = spec.outside_network or naming.network(spec.bottle, spec.session, OUTSIDE)
    with translated(f"make the networks of bottle '{spec.bottle}'"), ThreadPoolExecutor(max_workers=2) as pool:
        jobs = [pool.submit(_create, engine, spec, inside, internal=True)]
        if not spec.outside_network:
            jobs.append(pool.submit(_create, engine, spec, outside, internal=False))
        for job in jobs:
            job.result()
    return inside, outside


def _create(engine: Engine, spec: LaunchSpec, name: str, *, internal: bool) -> None:
    engine.api.create_network(
        name, driver="bridge", internal=internal, options=_isolation(engine) if internal else None,
        labels=naming.labels(spec), enable_ipv6=False, check_duplicate=True,
    )  # fmt: skip


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
