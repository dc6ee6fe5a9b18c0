"""What a bundle permits, read from the bundle's own files, in a form that does not show how it was written.

Two bundles compare without their profiles: what may be reached as sets of requests, all else as facts with names.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bottlegen.bundle import Bundle
from bottlegen.errors import BundleError, Problem
from bottlegen.facts import AREAS, Area, Fact, of_inspection, short, shown_whole, size
from bottlegen.manifest import Manifest, Service
from bottlegen.paths import PathPattern, refusal
from bottlegen.pipeline import Preview
from bottlegen.plan import GitRemote, Slot
from bottlegen.routes import HostRules, RouteSet, Rule
from bottlegen.sidecars import cred_proxy, git_gate, pipelock
from bottlegen.sidecars.egress import render, routes_json
from bottlegen.tokens import TokenRoute
from bottlegen.wording import shown

_STRENGTH = ("process", "container", "vm")
_RUNTIME_STRENGTH = {"auto": "process", "bubblewrap": "process", "docker": "container", "smolmachines": "vm"}
_REFERENCE = re.compile(r"[a-z0-9][a-zA-Z0-9._:/-]{0,127}@sha256:[0-9a-f]{64}")
_CONFIG = "sidecars/egress/envoy.json"
_DERIVED = frozenset({
    "routes.json", "tokens.json", "agent/env.json", "Smolfile", _CONFIG, cred_proxy.FILE, pipelock.FILE, git_gate.RULES,
    f"agent/home/{git_gate.NOTES}",
})  # fmt: skip
"""Files whose content is judged by its meaning, or made of such content."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Credential:
    """What is added to a request: the host's name of the secret, and the header that it becomes."""

    token_ref: str
    header: str
    scheme: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Requests that one host allows. Empty `methods` or `paths` allow any."""

    methods: tuple[str, ...]
    paths: tuple[PathPattern, ...]
    credential: Credential | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostGrants:
    """All grants of a host (exact or `*.suffix`) and port, in one order; `inspected` when pipelock reads it."""

    host: str
    port: int
    grants: tuple[Grant, ...]
    inspected: bool

    @property
    def judges_paths(self) -> bool:
        """Whether any grant depends on the path; where none does, also ambiguous spellings pass."""
        return any(grant.paths for grant in self.grants)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """The folder of the host that the agent sees, and paths of it that it cannot write; both below the workspace."""

    source: str
    read_only: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """`hosts` sorted by (host, port), `remotes` by name, `facts` by area and name; `mount` None where the agent sees no
    folder."""

    name: str
    services: tuple[str, ...]
    hosts: tuple[HostGrants, ...]
    mount: Mount | None
    facts: tuple[Fact, ...]
    remotes: tuple[GitRemote, ...] = ()

    def value(self, area: Area, name: str) -> str:
        """The value of one fact that every bottle has."""
        return next(fact.value for fact in self.facts if (fact.area, fact.name) == (area, name))


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Auth(_Strict):
    scheme: str
    header: str
    slot: str


class _Route(_Strict):
    name: str
    host: str
    port: int
    methods: list[str]
    paths: list[str]
    upstream: str
    auth: _Auth | None
    tls_passthrough: bool


class _TokenRoute(_Strict):
    path: str
    upstream: str
    auth: _Auth
    tls_passthrough: bool


class _TokenRoutes(_Strict):
    format: Annotated[Literal[1], Field()]
    routes: list[_TokenRoute]


class _Routes(_Strict):
    format: Annotated[Literal[1], Field()]
    routes: list[_Route]


_GIT_SETTINGS = "GIT_CONFIG_"
"""Variables that lead git to the gate, made of its rules."""

_TOKENS = TypeAdapter(dict[str, str])


def authority(bundle: Bundle) -> Authority:
    """What `bundle` permits; BundleError when its files cannot be understood."""
    manifest = bundle.manifest
    try:
        routes = _Routes.model_validate_json(bundle.data("routes.json"))
        tokens = _TOKENS.validate_json(bundle.data("tokens.json"), strict=True)
        env = _TOKENS.validate_json(bundle.data("agent/env.json"), strict=True)
        by_path = [_as_route(route) for route in _by_path(bundle)]
        chained = pipelock.NAME in manifest.services
        hosts = tuple(_hosts([*routes.routes, *by_path], tokens, chained=chained))
        remotes = git_gate.read(bundle.data(git_gate.RULES), tokens) if git_gate.RULES in bundle.files else ()
        inspection = pipelock.settings(bundle.data(pipelock.FILE)) if chained else None
    except (KeyError, TypeError, ValueError, ValidationError) as e:
        what = (
            f"the bundle of {shown(manifest.name)} cannot be compared: routes, tokens or env are not as they are made"
        )
        raise BundleError(Problem(what=what, fix="bottlegen build, then compare again")) from e
    return _authority(manifest, hosts, remotes, [*_facts(manifest, env), *of_inspection(inspection)])


def authority_of(view: Preview) -> Authority:
    """The same of a bundle that is not rendered: it takes a fraction of the time where there are many routes."""
    credentials = {
        slot.name: Credential(token_ref=slot.token_ref, header=slot.header, scheme=slot.scheme)
        for slot in view.routes.slots
    }
    found: dict[tuple[str, int], tuple[set[Grant], set[bool]]] = {}
    for rules in view.routes.hosts:
        grants, passed = found.setdefault((rules.host, rules.port), (set(), set()))
        passed.add(rules.tls_passthrough)
        grants |= {
            Grant(methods=rule.methods, paths=tuple(sorted(rule.paths)), credential=credentials.get(rule.slot))
            for rule in rules.rules
        }
    for token in view.routes.tokens:
        grants, passed = found.setdefault((token.host, token.port), (set(), set()))
        passed.add(token.tls_passthrough)
        grants.add(Grant(methods=(), paths=_paths_below(token), credential=credentials[token.slot]))
    chained = view.inspection is not None
    hosts = (
        HostGrants(
            host=host, port=port, grants=tuple(sorted(grants, key=_order)), inspected=chained and True not in passed
        )
        for (host, port), (grants, passed) in sorted(found.items())
    )
    facts = [*_facts(view.unrouted.manifest, dict(view.whole_env)), *of_inspection(view.inspection)]
    return _authority(view.unrouted.manifest, tuple(hosts), view.remotes, facts)


def _paths_below(token: TokenRoute) -> tuple[PathPattern, ...]:
    return () if token.upstream_path == "/" else (PathPattern.parse(f"{token.upstream_path}**"),)


def _authority(
    manifest: Manifest, hosts: tuple[HostGrants, ...], remotes: tuple[GitRemote, ...], facts: list[Fact]
) -> Authority:
    workspace = manifest.workspace
    return Authority(
        name=manifest.name,
        services=tuple(sorted(manifest.services)),
        hosts=hosts,
        remotes=remotes,
        mount=Mount(source=workspace.source, read_only=tuple(workspace.read_only))
        if workspace.mode == "bind"
        else None,
        facts=tuple(sorted(facts, key=lambda fact: (AREAS.index(fact.area), fact.name))),
    )


def enforces_its_routes(bundle: Bundle) -> bool:
    """Whether the sidecar's config is what this bottlegen makes of the routes: else these say nothing of it."""
    routes = _Routes.model_validate_json(bundle.data("routes.json")).routes
    hosts: dict[tuple[str, int], list[_Route]] = {}
    for route in routes:
        hosts.setdefault((route.host, route.port), []).append(route)
    route_set = RouteSet(
        hosts=tuple(_host_rules(host, port, group) for (host, port), group in hosts.items()),
        slots=tuple(
            Slot(name=slot.name, token_ref="", scheme=slot.scheme, header=slot.header, hosts=tuple(slot.hosts))
            for slot in bundle.manifest.slots
            if slot.sidecar == "egress"
        ),
        tokens=tuple(map(_token_route, _by_path(bundle))),
    )
    chained = pipelock.NAME in bundle.manifest.services
    made = {
        "routes.json": routes_json(route_set),
        _CONFIG: render(bundle.manifest.name, route_set, chained=chained, queries=bundle.manifest.audit.queries),
    }
    if route_set.tokens:
        made[cred_proxy.FILE] = cred_proxy.routes_file(route_set).data
    if git_gate.RULES in bundle.files:
        made[git_gate.RULES] = git_gate.again(bundle.manifest.name, bundle.data(git_gate.RULES))
    told = all(bundle.files[path].data == data for path, data in made.items())
    if not told or not chained:
        return told
    slots = {slot.name: slot.name for slot in bundle.manifest.slots}
    remotes = git_gate.read(bundle.data(git_gate.RULES), slots) if git_gate.RULES in bundle.files else ()
    return pipelock.enforces(bundle.manifest.name, bundle.data(pipelock.FILE), route_set, remotes)


def _by_path(bundle: Bundle) -> list[_TokenRoute]:
    """The paths of cred-proxy, none without one."""
    if cred_proxy.FILE not in bundle.files:
        return []
    return _TokenRoutes.model_validate_json(bundle.data(cred_proxy.FILE)).routes


def _as_route(route: _TokenRoute) -> _Route:
    """What a path of cred-proxy gives the agent, said as for any other way to the host."""
    made = _token_route(route)
    return _Route(
        name=route.path,
        host=made.host,
        port=made.port,
        methods=[],
        paths=list(map(str, _paths_below(made))),
        upstream=route.upstream,
        auth=route.auth,
        tls_passthrough=route.tls_passthrough,
    )


def _token_route(route: _TokenRoute) -> TokenRoute:
    parts = urlsplit(route.upstream)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("not an upstream")
    return TokenRoute(
        path=route.path,
        host=parts.hostname,
        port=parts.port or 443,
        upstream_path=f"{parts.path}/",
        slot=route.auth.slot,
        tls_passthrough=route.tls_passthrough,
    )


def _host_rules(host: str, port: int, group: list[_Route]) -> HostRules:
    rules = (
        Rule(
            name=route.name,
            methods=tuple(route.methods),
            paths=tuple(map(PathPattern.parse, route.paths)),
            slot=route.auth.slot if route.auth else "",
        )
        for route in group
    )
    return HostRules(host=host, port=port, rules=tuple(rules), tls_passthrough=group[0].tls_passthrough)


def _hosts(routes: Iterable[_Route], tokens: dict[str, str], *, chained: bool) -> Iterator[HostGrants]:
    by_host: dict[tuple[str, int], list[_Route]] = {}
    for route in routes:
        by_host.setdefault((route.host, route.port), []).append(route)
    for (host, port), group in sorted(by_host.items()):
        grants = {_grant(route, tokens) for route in group}
        yield HostGrants(
            host=host,
            port=port,
            grants=tuple(sorted(grants, key=_order)),
            inspected=chained and not any(route.tls_passthrough for route in group),
        )


def _grant(route: _Route, tokens: dict[str, str]) -> Grant:
    if any(refusal(path) for path in route.paths):
        raise ValueError("not a path pattern")
    auth = route.auth
    return Grant(
        methods=tuple(sorted(set(route.methods))),
        paths=tuple(sorted({PathPattern.parse(path) for path in route.paths})),
        credential=Credential(token_ref=tokens[auth.slot], header=auth.header, scheme=auth.scheme) if auth else None,
    )


def _order(grant: Grant) -> tuple[object, ...]:
    credential = grant.credential
    key = (credential.token_ref, credential.header, credential.scheme) if credential else ("", "", "")
    return grant.methods, grant.paths, key


def _facts(manifest: Manifest, env: Mapping[str, str]) -> Iterator[Fact]:
    floor = max((manifest.isolation, _RUNTIME_STRENGTH[manifest.runtime]), key=_STRENGTH.index)
    yield Fact(area="isolation", name="weakest isolation", value=floor, rank=-_STRENGTH.index(floor))
    yield Fact(area="isolation", name="runtime", value=manifest.runtime)
    yield Fact(area="agent", name="home", value=manifest.home, rank=float(manifest.home == "kept"))
    yield Fact(area="agent", name="provider", value=manifest.provider)
    goes_on = manifest.audit.on_failure == "warn"
    what = "the agent goes on unwatched" if goes_on else "nothing goes out"
    yield Fact(area="audit", name="when it cannot be written", value=what, rank=float(goes_on))
    yield Fact(area="audit", name="queries", value="written" if manifest.audit.queries else "not written")
    for name, value in env.items():
        if name.startswith(_GIT_SETTINGS):
            continue
        yield Fact(area="agent", name=f"env {name}", value=shown_whole(value))
    for name, service in manifest.services.items():
        yield from _service_facts(name, service)
    yield from _file_facts(manifest)


def _service_facts(name: str, service: Service) -> Iterator[Fact]:
    limits, hardening = service.limits, service.hardening
    yield Fact(area="hardening", name=f"service {name}", value="present", guarded=True)
    yield Fact(area="hardening", name=f"{name} networks", value=", ".join(sorted(service.networks)), guarded=True)
    walls = json.dumps(hardening.model_dump(mode="json"), sort_keys=True)
    yield Fact(area="hardening", name=f"{name} walls", value=walls, guarded=True)
    yield Fact(area="resources", name=f"{name} cpus", value=f"{limits.cpus:g}", rank=limits.cpus)
    yield Fact(area="resources", name=f"{name} memory", value=size(limits.memory), rank=limits.memory)
    yield Fact(area="resources", name=f"{name} tasks", value=str(limits.pids), rank=limits.pids)
    for path, room in service.tmpfs.items():
        yield Fact(area="resources", name=f"{name} tmpfs {shown_whole(path)}", value=size(room), rank=room)
    command = " ".join(map(shown_whole, service.command))
    yield Fact(area="agent" if name == "agent" else "images", name=f"{name} command", value=command)
    yield Fact(area="images", name=f"{name} base image", value=_image_name(service.image.base))
    if rootfs := service.image.rootfs:
        value = f"{rootfs.kind} {shown_whole(rootfs.name)} {rootfs.hash}"
        yield Fact(area="images", name=f"{name} rootfs", value=value)
    for artifact in service.image.artifacts:
        pinned = f"{artifact.version} {short(artifact.model_dump_json())}"
        yield Fact(area="images", name=f"{name} {artifact.package} for {artifact.platform}", value=pinned)


def _image_name(text: str) -> str:
    """A reference whole, with all of its digest, which is what a reviewer compares."""
    return f"'{text}'" if _REFERENCE.fullmatch(text) else shown_whole(text)


def _file_facts(manifest: Manifest) -> Iterator[Fact]:
    """Files whose meaning is not read here: scripts of images, files of the agent's home."""
    kept = {f"agent/home/{file.path}": file.keep for file in manifest.home_files}
    for path, mode, digest in manifest.files:
        if path not in _DERIVED:
            seed = " seed" if kept.get(path) else ""
            yield Fact(area="files", name=shown_whole(path), value=f"{digest[:12]} {mode}{seed}")
