"""Defences, each broken on purpose in one bottle of the tests: the attempts that it holds must then be found.

A defence that nothing here misses would be none, or one that the attempts do not reach.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from runtime.base import LaunchSpec
from runtime.workspace import Bind
from tests.attacks.attempts import HOST
from tests.attacks.scene import Change, Edit, dns_caches
from tests.attacks.upstream import TOKEN_A

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """How one defence is taken away, by its egress's config, its launch spec or its runtime, and what is found then."""

    name: str
    found: tuple[str, ...]
    kind: str = "bubblewrap"
    edit: Edit = lambda config: None
    change: Change = lambda spec: spec
    patch: Patch = lambda patch: None


def managers(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What judges requests in the tunnels, one for each host."""
    for listener in config["static_resources"]["listeners"]:
        for chain in listener["filter_chains"]:
            for each in chain["filters"]:
                if each["typed_config"].get("stat_prefix") == "inner":
                    yield each["typed_config"]


def _any_host(config: dict[str, Any]) -> None:
    for manager in managers(config):
        own, others = manager["route_config"]["virtual_hosts"]
        if not own["domains"][0].startswith("*."):  # those are cloned for the names that have a fixed address
            own["domains"], others["domains"] = ["*"], ["nobody.invalid"]


def _any_address(config: dict[str, Any]) -> None:
    for cache in dns_caches(config):
        cache["resolved_address_filter"]["ranges"] = [{"address_prefix": "192.0.2.0", "prefix_len": 24}]


def _any_upstream(config: dict[str, Any]) -> None:
    for cluster in config["static_resources"]["clusters"]:
        if "transport_socket" in cluster:
            cluster["cluster_type"]["typed_config"]["allow_insecure_cluster_options"] = True
            del cluster["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"]
            (options,) = cluster["typed_extension_protocol_options"].values()
            del options["upstream_http_protocol_options"]["auto_san_validation"]


def _any_tunnel(config: dict[str, Any]) -> None:
    (chain,) = config["static_resources"]["listeners"][0]["filter_chains"]
    hosts = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    allowed = next(host for host in hosts if host["name"] == "allowed_443")
    hosts[:] = [allowed | {"domains": ["*"]}]


def _paths_as_they_come(config: dict[str, Any]) -> None:
    for manager in managers(config):
        manager["normalize_path"] = manager["merge_slashes"] = False


def _slashes_as_they_come(config: dict[str, Any]) -> None:
    for manager in managers(config):
        manager["path_with_escaped_slashes_action"] = "KEEP_UNCHANGED"
    _without_route("ambiguous-path")(config)


def _without_route(name: str) -> Edit:
    def edit(config: dict[str, Any]) -> None:
        for manager in managers(config):
            for host in manager["route_config"]["virtual_hosts"]:
                host["routes"] = [route for route in host["routes"] if route["name"] != name]

    return edit


def _without_filter(name: str) -> Edit:
    def edit(config: dict[str, Any]) -> None:
        for manager in managers(config):
            manager["http_filters"] = [each for each in manager["http_filters"] if each["name"] != name]

    return edit


def _any_spelling(config: dict[str, Any]) -> None:
    for manager in managers(config):
        manager["common_http_protocol_options"].pop("headers_with_underscores_action", None)


def _beside_the_agents_own(config: dict[str, Any]) -> None:
    for manager in managers(config):
        for each in manager["http_filters"]:
            if "overwrite" in each["typed_config"]:
                each["typed_config"]["overwrite"] = False


def _two_lengths(config: dict[str, Any]) -> None:
    for manager in managers(config):
        manager["http_protocol_options"] = {"allow_chunked_length": True}


def _large_headers(config: dict[str, Any]) -> None:
    for manager in managers(config):
        manager["max_request_headers_kb"] = 8000
        manager["common_http_protocol_options"]["max_headers_count"] = 4000


def _any_upgrade(config: dict[str, Any]) -> None:
    for manager in managers(config):
        manager["upgrade_configs"] = [{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}]
        for host in manager["route_config"]["virtual_hosts"]:
            tunnel = {"match": {"connect_matcher": {}}, "direct_response": {"status": 200}}
            host["routes"].insert(0, tunnel)


def _admin(config: dict[str, Any]) -> None:
    config["admin"] = {"address": {"socket_address": {"address": "0.0.0.0", "port_value": 9901}}}


def _told_the_agent(spec: LaunchSpec) -> LaunchSpec:
    return replace(spec, terminal_env=(("TOKEN", TOKEN_A),))


def _all_writable(patch: pytest.MonkeyPatch) -> None:
    """Nothing in the workspace is read-only."""
    from runtime import sources

    def binds(spec: LaunchSpec) -> tuple[Bind, ...]:
        assert spec.workspace
        return (Bind(source=spec.workspace, target="/workspace"),)

    patch.setattr(sources, "of", binds)


def _every_call(patch: pytest.MonkeyPatch) -> None:
    """A filter that allows whatever is asked."""
    import struct

    from runtime.bubblewrap import seccomp

    patch.setattr(seccomp, "program", lambda: struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000))


def _docker(**changes: Any) -> Patch:
    """Settings of the containers that take the place of ours; None takes one away."""

    def apply(patch: pytest.MonkeyPatch) -> None:
        from runtime.docker import containers

        ours = containers._host_config

        def theirs(*args: Any, **more: Any) -> Any:
            made = ours(*args, **more)
            for name, value in changes.items():
                made.pop(name, None) if value is None else made.update({name: value})
            return made

        patch.setattr(containers, "_host_config", theirs)

    return apply


def _docker_as_root(patch: pytest.MonkeyPatch) -> None:
    """The agent is root, with what an engine gives by default, on a root that can be written."""
    from runtime.docker.runtime import DockerRuntime

    _docker(CapDrop=None, ReadonlyRootfs=False)(patch)
    patch.setattr(DockerRuntime, "_user", lambda *_: (0, 0))


def _unread(patch: pytest.MonkeyPatch) -> None:
    """`up` takes the bundle that it finds for what the profile builds."""
    from bottlegen.bundle import read
    from runtime import up

    patch.setattr(up, "build_place", lambda place: read(place.bundle))


def _unhashed(patch: pytest.MonkeyPatch) -> None:
    from runtime import artifacts

    patch.setattr(artifacts, "_sum", lambda spec, _: artifacts._digest(spec))


BROKEN = (
    Broken(
        name="Host is not compared with the server name",
        edit=_any_host,
        found=("host-of-another-route", "h2-authority-of-another-route", "absolute-form-of-another"),
    ),
    Broken(
        name="private addresses are not filtered",
        edit=_any_address,
        found=("name-of-a-private-address", "name-of-both-kinds", "name-that-changes"),
    ),
    Broken(name="upstreams are not verified", edit=_any_upstream, found=("impostor",)),
    Broken(
        name="tunnels go anywhere",
        edit=_any_tunnel,
        found=("tunnel-to-an-address", "tunnel-to-a-number", "tunnel-without-a-route"),
    ),
    Broken(
        name="paths are judged as they come",
        edit=_paths_as_they_come,
        found=("dots", "encoded-dots", "dots-after-slashes"),
    ),
    Broken(
        name="encoded slashes and dots pass",
        edit=_slashes_as_they_come,
        found=("encoded-slash", "double-encoded-dots", "encoded-dots-with-a-parameter"),
    ),
    Broken(name="TRACE leaves", edit=_without_route("echo"), found=("trace", "trace-over-http-2")),
    Broken(
        name="no header is dropped",
        edit=_without_filter("envoy.filters.http.header_mutation"),
        found=("method-in-a-header", "path-in-a-header"),
    ),
    Broken(
        name="underscores stay in names of headers",
        edit=_any_spelling,
        found=("override-with-underscores", "own-credential-with-underscores"),
    ),
    Broken(name="the agent's own credential stays", edit=_beside_the_agents_own, found=("own-credential",)),
    Broken(name="two lengths are one", edit=_two_lengths, found=("length-and-chunks", "chunks-and-length")),
    Broken(name="headers may be of any size", edit=_large_headers, found=("large-header", "many-headers")),
    Broken(name="tunnels in tunnels", edit=_any_upgrade, found=("tunnel-in-the-tunnel",)),
    Broken(
        name="the agent is told a credential",
        change=_told_the_agent,
        found=("environment-of-every-process", "memory-of-every-process"),
    ),
    Broken(
        name="no filter of system calls",
        patch=_every_call,
        found=("keyring", "add-key", "user-namespace", "user-namespace-with-all-rights"),
    ),
    Broken(
        name="nothing of the workspace is read-only",
        patch=_all_writable,
        found=("write-a-hook", "append-to-config", "write-a-profile", "write-a-bundle", "what-git-then-finds"),
    ),
    Broken(
        name="no filter of system calls, by an engine",
        kind="docker",
        patch=_docker(SecurityOpt=["seccomp=unconfined"]),
        found=("keyring", "user-namespace"),
    ),
    Broken(
        name="no limits",
        kind="docker",
        patch=_docker(PidsLimit=None, Memory=None, MemorySwap=None, ShmSize=256 << 20, Ulimits=None),
        found=("processes-without-end", "memory-without-end", "shared-memory-without-end", "core-dumps"),
    ),
    Broken(
        name="root with an engine's own capabilities, and a root that can be written",
        kind="docker",
        patch=_docker_as_root,
        found=("give-a-file-away", "raw-packets", "change-root", "write-to-programs", "preload-a-library"),
    ),
    Broken(
        name="an admin interface",
        kind="docker",
        edit=_admin,
        found=("ports-of-an-admin-interface",),
    ),
    Broken(
        name="what runs is not what the profile builds",
        kind=HOST,
        patch=_unread,
        found=("wider-rules-that-fit", "script-that-fits", "profile-without-its-bundle"),
    ),
    Broken(name="downloads are not hashed", kind=HOST, patch=_unhashed, found=("other-bytes-in-the-cache",)),
)
