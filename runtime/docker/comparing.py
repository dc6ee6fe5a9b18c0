"""A running bottle beside the requests that made it: asks the engine for all of it at once, and changes nothing."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from runtime.base import Finding, Run
from runtime.docker import inspection, naming, networks, streams
from runtime.docker.engine import Api, Engine, translated
from runtime.docker.inspection import Expected
from runtime.images import ImagePlan

Told = dict[str, Any]


def compare(
    engine: Engine, run: Run, plans: Mapping[str, ImagePlan], requests: Mapping[str, Mapping[str, Any]]
) -> list[Finding]:
    """Rows of every service and network. `plans` and `requests` are by service, as a start would have them now."""
    api, spec = engine.api, run.spec
    selects = naming.selects(spec.bottle)
    with translated(f"look at bottle '{spec.bottle}'"), ThreadPoolExecutor(max_workers=8) as pool:
        held = {name: pool.submit(digests, api, run, name) for name in run.settings}  # the slowest first
        listed = pool.submit(lambda: (*api.containers(all=True, filters=selects), *api.networks(filters=selects)))
        found = {
            name: pool.submit(_or_none, api.inspect_container, naming.container(spec.bottle, name)) for name in requests
        }
        joined = {
            name: pool.submit(_or_none, api.inspect_network, own)
            for name, own in networks.names(spec).items()
            if own != spec.outside_network
        }
        images = {
            tag: pool.submit(_or_none, api.inspect_image, tag)
            for plan in plans.values()
            for tag in (plan.tag, plan.rootfs or plan.base)
        }
        return [
            *_services(engine, run, plans, requests, found, images),
            *_networks(engine, run, joined),
            *(inspection.settings(name, run.settings[name], told.result()) for name, told in held.items()),
            inspection.finding("bottle", "parts", inspection.parts(_names(run), listed.result())),
        ]


def _or_none(inspect: Any, name: str) -> Told | None:
    from docker.errors import NotFound

    try:
        return dict(inspect(name))
    except NotFound:
        return None


def _services(
    engine: Engine,
    run: Run,
    plans: Mapping[str, ImagePlan],
    requests: Mapping[str, Mapping[str, Any]],
    found: Mapping[str, Future[Told | None]],
    images: Mapping[str, Future[Told | None]],
) -> Iterator[Finding]:
    for name, request in requests.items():
        told = found[name].result()
        if told is None:
            yield Finding(part=name, check="running", state="differs", found="it has no container")
            continue
        base = images[plans[name].rootfs or plans[name].base].result() or {}
        image = images[plans[name].tag].result() or {}
        yield from inspection.container(expected(engine, run, name, request, image, base), told)


def expected(engine: Engine, run: Run, service: str, request: Mapping[str, Any], image: Told, base: Told) -> Expected:
    """What one container must be like; `image` and `base` as the engine tells them, empty when it has none."""
    return Expected(
        service=service,
        request=request,
        image=image,
        base_layers=tuple((base.get("RootFS") or {}).get("Layers") or ()),
        networks=frozenset(networks.joined(run.spec, service)),
        address=_address(run, service),
        default_runtime=engine.default_runtime,
    )


def _address(run: Run, service: str) -> tuple[str, str] | None:
    """The network on which others reach a sidecar, and its address there."""
    address = run.endpoints.addresses.get(service)
    return (networks.joined(run.spec, service)[-1], address) if address else None


def _networks(engine: Engine, run: Run, found: Mapping[str, Future[Told | None]]) -> Iterator[Finding]:
    services = run.spec.bundle.manifest.services
    for network, name in networks.names(run.spec).items():
        if network not in found:
            continue  # the host's own: others may be on it
        part = f"network {network}"
        told = found[network].result()
        if told is None:
            yield Finding(part=part, check="flags", state="differs", found="it is not there")
            continue
        request = networks.request(engine, run.spec, name, internal=network != "outside")
        on_it = [naming.container(run.spec.bottle, each) for each in services if network in services[each].networks]
        yield from inspection.network(part, request, on_it, told)


def _names(run: Run) -> list[str]:
    spec = run.spec
    own = [name for name in networks.names(spec).values() if name != spec.outside_network]
    return [*(naming.container(spec.bottle, service) for service in spec.bundle.manifest.services), *own]


def digests(api: Api, run: Run, service: str) -> str:
    """What the sidecar's own sha256sum says of the files that hold no secret; nothing of their content leaves it."""
    argv = ["sha256sum", "--", *(file.path for file in run.settings[service])]
    status, output = capture(api, naming.container(run.spec.bottle, service), argv)
    return output.decode(errors="replace") if status in (0, 1) else ""


def capture(api: Api, container: str, argv: Sequence[str], most: int = 1 << 20) -> tuple[int, bytes]:
    """Exit status and output of one more command beside the main one, cut off after so many bytes."""
    from docker.errors import APIError

    try:
        created = api.exec_create(container, list(argv))
    except APIError:  # not there, or not running: a row of its own says so
        return 126, b""
    stream = streams.start_exec(api, created["Id"], tty=False)
    output = b""
    for kind, data in stream.output():
        output += data if kind == streams.STDOUT else b""
        if len(output) > most:
            break
    stream.close()
    status = api.exec_inspect(created["Id"])["ExitCode"]
    return (126 if status is None else int(status)), output[:most]
