"""The egress config as a function of the route set, and its specialisation at start."""

import json
from typing import Any

import pytest

from bottlegen.plan import Auth, Route
from bottlegen.routes import compile_routes
from bottlegen.secret import Secret
from bottlegen.sidecars.egress import render, routes_json
from bottlegen.sidecars.material import leaf_parts, token_file
from runtime.sidecars.egress_config import leaf_files, leaf_names, sds_files, specialise

AUTH = Auth(token_ref="HOST_SECRET_NAME")
ROUTES = compile_routes(
    [
        Route(host="api.test", auth=AUTH, paths=("/v1/**",), methods=("POST",)),
        Route(host="*.wild.test"),
        Route(host="b.wild.test", methods=("GET",)),
        Route(host="port.test", port=8443),
    ]
)


def _find(node: Any, key: str) -> list[Any]:
    """Every value of `key`, at any depth."""
    if isinstance(node, list):
        return [found for item in node for found in _find(item, key)]
    if isinstance(node, dict):
        here = [node[key]] if key in node else []
        return here + [found for item in node.values() for found in _find(item, key)]
    return []


def _actions(chain: Any) -> list[Any]:
    """What the routes of a chain do, answers of the sidecar's own excepted."""
    return [route["route"] for routes in _find(chain, "routes") for route in routes if "route" in route]


def _config(**keywords: Any) -> Any:
    static = keywords.pop("static_hosts", {})
    return json.loads(specialise(render("p", ROUTES), address="10.1.2.3", static_hosts=static, **keywords))


def _chains(config: Any, port: int = 443) -> dict[str, Any]:
    listener = next(x for x in config["static_resources"]["listeners"] if x["name"] == f"inner_{port}")
    return {chain["filter_chain_match"]["server_names"][0]: chain for chain in listener["filter_chains"]}


def _clusters(config: Any) -> dict[str, Any]:
    return {cluster["name"]: cluster for cluster in config["static_resources"]["clusters"]}


def test_same_routes_same_bytes() -> None:
    routes = [Route(host="b.test"), Route(host="a.test", auth=AUTH)]
    assert render("p", compile_routes(routes)) == render("p", compile_routes(routes[::-1]))


def test_config_names_no_host_secret() -> None:
    assert b"HOST_SECRET_NAME" not in render("p", ROUTES) + routes_json(ROUTES)


def test_nothing_ends_a_stream() -> None:
    config = _config()
    actions = [action for chain in _chains(config).values() for action in _actions(chain)]
    assert {action["timeout"] for action in actions} == {"0s"}
    managers = len(_find(config, "stream_idle_timeout"))
    assert _find(config, "stream_idle_timeout") == ["0s"] * managers
    assert managers == 1 + len(ROUTES.hosts)


def test_slow_clients_are_bounded() -> None:
    config = _config()
    assert set(_find(config, "request_headers_timeout")) == {"10s"}
    assert set(_find(config, "transport_socket_connect_timeout")) == {"10s"}
    assert set(_find(config, "listener_filters_timeout")) == {"10s"}


def test_every_way_out_verifies_tls() -> None:
    config = _config(static_hosts={"api.test": "192.168.1.1"})
    outside = [c for name, c in _clusters(config).items() if not name.startswith("inner_")]
    assert len(outside) == 4
    for cluster in outside:
        tls = cluster["transport_socket"]["typed_config"]["common_tls_context"]
        assert tls["validation_context"] == {"trusted_ca": {"filename": "/run/egress/upstream-ca.pem"}}
        assert _find(cluster, "upstream_http_protocol_options") == [{"auto_sni": True, "auto_san_validation": True}]


def test_no_admin_interface() -> None:
    assert "admin" not in _config()


def test_profile_name_cannot_be_a_format() -> None:
    assert b"%%START_TIME%%" in render("%START_TIME%", ROUTES)


def test_listeners_are_bound_to_the_bottle() -> None:
    listeners = _config()["static_resources"]["listeners"]
    sockets = [listener["address"]["socket_address"] for listener in listeners if "address" in listener]
    assert sockets == [{"address": "10.1.2.3", "port_value": port} for port in (3128, 443)]


@pytest.mark.parametrize("address", ["egress", "", "0.0.0.0/0"])
def test_listening_address_is_numeric(address: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        specialise(render("p", ROUTES), address=address, static_hosts={})


def test_material_moves_together() -> None:
    assert b"/run/egress" not in specialise(
        render("p", ROUTES), address="127.0.0.1", static_hosts={}, base_dir="/elsewhere/"
    )
    assert _find(_config(base_dir="/elsewhere/"), "trusted_ca")[0] == {"filename": "/elsewhere/upstream-ca.pem"}


def test_unknown_static_names_are_ignored() -> None:
    assert _config(static_hosts={"no.test": "127.0.0.1", "wild.test": "127.0.0.1"}) == _config()


def test_static_name_of_an_exact_host() -> None:
    config = _config(static_hosts={"port.test": "192.168.1.1", "api.test": "[2001:db8::1]:9"})
    clusters = _clusters(config)
    where = [clusters[name]["load_assignment"]["endpoints"] for name in ("up/port.test:8443", "up_h1/api.test:443")]
    assert _find(where, "socket_address") == [
        {"address": "192.168.1.1", "port_value": 8443},
        {"address": "2001:db8::1", "port_value": 9},
    ]
    led = {action["cluster"] for action in _actions(_chains(config)["api.test"])}
    assert led == {"up/api.test:443"}  # POST alone, so there is no route for websockets


def test_static_name_below_a_wildcard_gets_a_chain() -> None:
    chains = _chains(_config(static_hosts={"a.wild.test": "192.168.1.1"}))
    clone, wildcard = chains["a.wild.test"], chains["*.wild.test"]
    assert {action["cluster"] for action in _actions(clone)} == {"up/a.wild.test:443", "up_h1/a.wild.test:443"}
    assert {action["cluster"] for action in _actions(wildcard)} == {"up", "up_h1"}
    assert _find(clone, "domains")[0] == ["a.wild.test", "a.wild.test:443"]
    assert "a.wild.test" in _find(wildcard, "domains")[1]
    assert _find(clone, "tls_certificate_sds_secret_configs") == _find(wildcard, "tls_certificate_sds_secret_configs")


def test_static_name_takes_its_most_specific_entry() -> None:
    chains = _chains(_config(static_hosts={"b.wild.test": "192.168.1.1"}))
    assert set(chains) == {"*.wild.test", "api.test", "b.wild.test"}
    assert "GET" in str(chains["b.wild.test"])


def test_wildcard_gives_way_to_its_exact_names() -> None:
    assert _find(_chains(_config())["*.wild.test"], "domains") == [
        ["*.wild.test", "*.wild.test:443"],
        ["*", "b.wild.test", "b.wild.test:443"],
    ]


def test_fifty_hosts_share_a_leaf() -> None:
    """Also across ports: a host has one leaf, and the order of routes has no part in it."""
    hosts = [f"h{number:03}.test" for number in range(120)]
    parts = leaf_parts([*reversed(hosts), *hosts])
    assert [parts[host] for host in hosts] == [0] * 50 + [1] * 50 + [2] * 20


def test_files_that_say_which_leaf_is_in_use() -> None:
    files = leaf_files(2, 3, base_dir="/m")
    assert set(files) == {"/m/tls/0.json", "/m/tls/1.json"}
    shown = _find(json.loads(files["/m/tls/1.json"]), "filename")
    assert shown == ["/m/tls/1-3.pem", "/m/tls/1-3.key"]
    named = {secret["name"] for secrets in _find(_config(), "tls_certificate_sds_secret_configs") for secret in secrets}
    assert named == {"leaf-0"}


def test_routes_json() -> None:
    assert json.loads(routes_json(ROUTES))["routes"][1] == {
        "name": "api.test:443/0",
        "host": "api.test",
        "port": 443,
        "methods": ["POST"],
        "paths": ["/v1/**"],
        "upstream": "https://api.test",
        "auth": {"scheme": "Bearer", "header": "authorization", "slot": "EGRESS_TOKEN_0"},
        "tls_passthrough": False,
    }
    assert leaf_names(routes_json(ROUTES)) == ("*.wild.test", "api.test", "b.wild.test", "port.test")


def test_secrets_files() -> None:
    values = {"ONE": Secret("plain"), "TWO": Secret("user:pass"), "THREE": Secret("")}
    files = sds_files(values, {"ONE": "Bearer", "TWO": "Basic", "THREE": "Basic"}, base_dir="/m")
    assert set(files) == {"/m/sds/ONE.json", "/m/sds/TWO.json", "/m/sds/THREE.json"}
    shown = {path: _find(json.loads(data), "inline_string") for path, data in files.items()}
    assert shown == {"/m/sds/ONE.json": ["plain"], "/m/sds/TWO.json": ["dXNlcjpwYXNz"], "/m/sds/THREE.json": [""]}
    assert [len(json.loads(data)["resources"]) for data in files.values()] == [1, 1, 1]


def test_config_waits_for_the_files_of_its_slots() -> None:
    files = {source["path"] for source in _find(_config(), "path_config_source")}
    assert files == {token_file("EGRESS_TOKEN_0"), "/run/egress/tls/0.json"}


def test_doors_in_a_folder_are_sockets_named_by_port():
    config = json.loads(specialise(render("p", ROUTES), address="/run/doors", static_hosts={}))
    doors = [listener["address"] for listener in config["static_resources"]["listeners"] if "address" in listener]
    assert [door["pipe"] for door in doors] == [
        {"path": "/run/doors/3128", "mode": 0o666},
        {"path": "/run/doors/443", "mode": 0o666},
    ]


@pytest.mark.parametrize("address", ["", "run/doors", "/run/../doors", "/run//doors", "/", "egress"])
def test_what_is_neither_an_address_nor_a_folder_is_refused(address):
    with pytest.raises(ValueError, match="does not appear"):
        specialise(render("p", ROUTES), address=address, static_hosts={})
