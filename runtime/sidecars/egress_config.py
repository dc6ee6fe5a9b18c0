"""The last step of the egress config, where this host's addresses and this start's credentials join it.

`specialise` only narrows what the bundle says: one address to listen on, one place for files, fixed addresses of names
that the routes already allow. TLS verification towards a fixed address stays as it is for any other.
"""

import base64
import copy
import ipaddress
import json
from collections.abc import Mapping
from typing import Any

from bottlegen.render import canonical_json
from bottlegen.secret import Secret
from bottlegen.sidecars.cred_proxy import NAME as CRED_PROXY
from bottlegen.sidecars.envoy_front import ANY_ADDRESS
from bottlegen.sidecars.envoy_types import RESOLVER
from bottlegen.sidecars.envoy_upstream import PIPELOCK, UP, UP_H1
from bottlegen.sidecars.material import BASE, leaf_chain, leaf_file, leaf_key, leaf_secret, token_file
from runtime.host import split_address

Json = dict[str, Any]


def specialise(
    config: bytes, *, address: str, static_hosts: Mapping[str, str], base_dir: str = BASE, pipelock: str = ""
) -> bytes:
    """The config for one start: bound to `address`, reading its material below `base_dir`.

    `address` is numeric, or an absolute folder in which each port becomes a unix socket of that name.

    Each name in `static_hosts` that a route covers goes to its `address` or `address:port` (default: the route's port),
    exempt from the refusal of private addresses; other names are ignored. With `pipelock`, the address or folder of the
    only way out, names are its business, and `static_hosts` too.
    """
    if not _is_folder(address):
        ipaddress.ip_address(address)
    tree: Json = json.loads(config)
    resources: Json = tree["static_resources"]
    for listener in resources["listeners"]:
        if "address" in listener:
            listener["address"] = _bound(listener["address"], address)
            if listener["name"] == CRED_PROXY and not pipelock:
                resources["clusters"] += _pin_paths(listener, resources["clusters"], static_hosts)
        elif not pipelock:
            resources["clusters"] += _pin(listener, resources["clusters"], static_hosts)
    if pipelock:
        _lead_to_pipelock(resources["clusters"], pipelock)
    return canonical_json(_moved(tree, base_dir))


def sds_files(
    values: Mapping[str, Secret], schemes: Mapping[str, str] | None = None, *, base_dir: str = BASE
) -> dict[str, bytes]:
    """Path and bytes of each slot's secrets file, to be replaced whole (rename): Envoy then uses the new value at once.

    An empty value revokes: the slot's routes answer 401, while a deleted file would leave the last value in use.
    `schemes` maps slots to their scheme: for `Basic` the value is `user:password` and is encoded here (RFC 7617).
    """
    return {
        _moved(token_file(slot), base_dir): _secret(slot, _encoded(value.reveal(), (schemes or {}).get(slot, "")))
        for slot, value in sorted(values.items())
    }


def leaf_files(parts: int, term: int, *, base_dir: str = BASE) -> dict[str, bytes]:
    """Path and bytes of the file for each leaf that says which term's certificate is in use; replaced whole (rename),
    it is what new connections are answered with, while those that there are go on."""
    return {
        _moved(leaf_file(part), base_dir): canonical_json(_moved(_certificate(part, term), base_dir))
        for part in range(parts)
    }


def leaf_names(routes_json: bytes) -> tuple[str, ...]:
    """The host patterns that need a certificate, from the bundle's routes.json."""
    return tuple(sorted({route["host"] for route in json.loads(routes_json)["routes"]}))


def _encoded(value: str, scheme: str) -> str:
    return base64.b64encode(value.encode()).decode() if value and scheme.lower() == "basic" else value


def _secret(slot: str, value: str) -> bytes:
    return canonical_json(_resource(slot, {"generic_secret": {"secret": {"inline_string": value}}}))


def _certificate(part: int, term: int) -> Json:
    files = {"certificate_chain": leaf_chain(part, term), "private_key": leaf_key(part, term)}
    return _resource(leaf_secret(part), {"tls_certificate": {key: {"filename": path} for key, path in files.items()}})


def _resource(name: str, value: Json) -> Json:
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    return {"resources": [{"@type": kind, "name": name, **value}]}


def _is_folder(address: str) -> bool:
    return address.startswith("/") and not {"", ".", ".."} & set(address.split("/")[1:])


def _bound(listening: Json, address: str) -> Json:
    """Where a door listens in this start: a door that the bundle bound somewhere else already is left alone."""
    socket = listening["socket_address"]
    if socket["address"] != ANY_ADDRESS:
        return listening
    if _is_folder(address):
        # Whoever sees the folder may connect: the runtime shows it to the bottle's agent alone.
        return {"pipe": {"path": f"{address}/{socket['port_value']}", "mode": 0o666}}
    return {"socket_address": {**socket, "address": address}}


def _lead_to_pipelock(clusters: list[Json], address: str) -> None:
    cluster = next(cluster for cluster in clusters if cluster["name"] == PIPELOCK)
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    port = endpoint["address"]["socket_address"]["port_value"]
    pipe, socket = {"pipe": {"path": f"{address}/{port}"}}, {"socket_address": {"address": address, "port_value": port}}
    endpoint["address"] = pipe if _is_folder(address) else socket


def _pin(listener: Json, clusters: list[Json], static_hosts: Mapping[str, str]) -> list[Json]:
    """Lead the names that this listener covers to clusters of their own, which are returned."""
    port = int(listener["name"].rpartition("_")[2])
    chains = {_server_name(chain): chain for chain in listener["filter_chains"]}
    templates = [cluster for cluster in clusters if cluster["name"] in (UP, UP_H1)]
    made: list[Json] = []
    for name, target in sorted(static_hosts.items()):
        pattern = _covering(name, chains)
        if pattern is None:
            continue
        chain = chains[pattern]
        if pattern != name:
            chain = _clone(chain, pattern, name)
            listener["filter_chains"].append(chain)
            _hosts(chains[pattern])[-1]["domains"] += _hosts(chain)[0]["domains"]  # answered with 421 from now on
        _lead(chain, {template["name"]: _static_name(template, name, port) for template in templates})
        made += [_static(template, name, port, *split_address(target, port)) for template in templates]
    return made


def _pin_paths(listener: Json, clusters: list[Json], static_hosts: Mapping[str, str]) -> list[Json]:
    """The same for the paths of cred-proxy, each of which names its host: as one to ask, no longer to resolve."""
    template = next(cluster for cluster in clusters if cluster["name"] == UP)
    made: dict[str, Json] = {}
    for route in _hosts(listener["filter_chains"][0])[0]["routes"]:
        asked = route.get("typed_per_filter_config", {}).get(RESOLVER, {}).get("host_rewrite_literal", "")
        name, _, port = asked.partition(":")
        if name not in static_hosts:
            continue
        del route["typed_per_filter_config"][RESOLVER]
        cluster = _static(template, name, int(port or 443), *split_address(static_hosts[name], int(port or 443)))
        made[cluster["name"]] = cluster
        route["route"] |= {"cluster": cluster["name"], "host_rewrite_literal": asked}
    have = {cluster["name"] for cluster in clusters}
    return [cluster for name, cluster in made.items() if name not in have]


def _server_name(chain: Json) -> str:
    return str(chain["filter_chain_match"]["server_names"][0])


def _covering(name: str, patterns: Mapping[str, Json]) -> str | None:
    """The most specific pattern that covers `name`: itself, or the longest `*.suffix`."""
    if name in patterns:
        return name
    labels = name.split(".")
    suffixes = ("*." + ".".join(labels[index:]) for index in range(1, len(labels)))
    return next((suffix for suffix in suffixes if suffix in patterns), None)


def _clone(chain: Json, pattern: str, name: str) -> Json:
    """A wildcard's chain for one of its names. The certificate stays the wildcard's, which covers one label."""
    clone = copy.deepcopy(chain)
    clone["name"] = chain["name"].replace(pattern, name)
    clone["filter_chain_match"]["server_names"] = [name]
    own, others = _hosts(clone)
    own["domains"] = [domain.replace(pattern, name) for domain in own["domains"]]
    others["domains"] = ["*"]
    return clone


def _hosts(chain: Json) -> list[Json]:
    hosts: list[Json] = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    return hosts


def _lead(chain: Json, renamed: Mapping[str, str]) -> None:
    for host in _hosts(chain):
        for route in host["routes"]:
            action = route.get("route", {})
            if action.get("cluster") in renamed:
                action["cluster"] = renamed[action["cluster"]]


def _static_name(template: Json, name: str, port: int) -> str:
    return f"{template['name']}/{name}:{port}"


def _static(template: Json, name: str, port: int, address: str, target_port: int) -> Json:
    """`template` with one fixed endpoint in place of a resolver; its TLS and protocol settings are kept."""
    cluster = {key: value for key, value in template.items() if key not in ("cluster_type", "lb_policy")}
    cluster["name"] = _static_name(template, name, port)
    endpoint = {"address": {"socket_address": {"address": address, "port_value": target_port}}}
    assignment = {"cluster_name": cluster["name"], "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]}
    return {**cluster, "type": "STATIC", "load_assignment": assignment}


def _moved(value: Any, base_dir: str) -> Any:
    """Every path below BASE moved below `base_dir`. A path is a whole string, so no other text can be touched."""
    if isinstance(value, dict):
        return {key: _moved(item, base_dir) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, base_dir) for item in value]
    if isinstance(value, str) and value.startswith(f"{BASE}/"):
        return base_dir.rstrip("/") + value.removeprefix(BASE)
    return value
