"""A profile as a value: whatever file form and inheritance it came from, equal content is an equal Profile."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from bottlegen import diagnosis, inheritance
from bottlegen.errors import PlanError, Problem, ProfileError, Where
from bottlegen.plan import AgentProvider, Auth, GitRemote, Resources, Rootfs, Route, Token
from bottlegen.profile_schema import (
    GitRemoteTable,
    InspectionTable,
    ProfileTable,
    RootfsTable,
    RouteTable,
    TokenTable,
)
from bottlegen.source import Source, read_file
from bottlegen.wording import Keys, dotted, shown

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_MAX_PROBLEMS = 50
ROUTES, REMOTES = ("egress", "routes"), ("git", "remotes")
"""Where the lists of tables stand that several files add up to."""

ProviderFields = Mapping[str, frozenset[str]]
"""For each template the fields of `agent_provider` that only some templates take, such as `auth_token`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """`path` is relative to where the bottle is started, `read_only` to `path`."""

    mode: Literal["bind", "none"] = "bind"
    path: str = "."
    read_only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What pipelock is told: `patterns` are (name, regular expression), sizes are bytes."""

    mode: Literal["strict", "balanced", "audit"] = "strict"
    action: Literal["block", "warn"] = "block"
    patterns: tuple[tuple[str, str], ...] = ()
    max_body: int = 32 * 2**20
    max_response: int = 128 * 2**20
    requests_per_minute: int = 6000


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """`env` is sorted by name. The sources serve messages alone and take no part in equality."""

    name: str
    agent: AgentProvider
    resources: Resources
    routes: tuple[Route, ...] = ()
    remotes: tuple[GitRemote, ...] = ()
    tokens: tuple[Token, ...] = ()
    rootfs: Rootfs | None = None
    env: tuple[tuple[str, str], ...] = ()
    inspection: Inspection | None = None
    workspace: Workspace = Workspace()
    runtime: Literal["auto", "docker", "smolmachines", "bubblewrap"] = "auto"
    isolation: Literal["vm", "container", "process"] | None = None
    home: Literal["kept", "ephemeral"] = "kept"
    on_audit_failure: Literal["block", "warn"] = "block"
    audit_queries: bool = False
    sources: tuple[Source, ...] = field(default=(), compare=False, repr=False)

    def where(self, *keys: str | int) -> Where:
        """The place of `keys`, such as ("egress", "routes", 3, "host") of the merged profile, in the file it is from"""
        return _where(self.sources, keys)

    def with_lines(self, error: PlanError) -> PlanError:
        """`error` with the lines of this profile's routes: their `origin` has none, since finding one costs a scan."""
        return PlanError(self._with_lines(problem) for problem in error.problems)

    def _with_lines(self, problem: Problem) -> Problem:
        what, first = problem.what, problem.where
        named: list[tuple[Keys, str]] = [((*ROUTES, index), route.origin) for index, route in enumerate(self.routes)]
        named += [(("tokens", index), token.origin) for index, token in enumerate(self.tokens)]
        named += [((*REMOTES, index), remote.origin) for index, remote in enumerate(self.remotes)]
        for keys, origin in named:
            if origin and origin in what:
                where = self.where(*keys)
                what = what.replace(origin, f"{where.file}:{where.line} {where.field}")
                first = first or where
        return Problem(what=what, where=first, fix=problem.fix)


def load(
    path: str | PurePath,
    read: Callable[[str], bytes] = read_file,
    *,
    provider_fields: ProviderFields,
) -> Profile:
    """The profile in the file `path`, merged with what it extends; ProfileError lists everything that is wrong.

    `read` gets the path of every file, `..` worked out, and raises OSError for a missing one.
    """
    path = PurePath(path).as_posix()
    sources, problems = inheritance.read_all(path, read)
    tables = []
    for source in sources:
        table, mistakes = diagnosis.read(source)
        tables.append(table)
        problems += mistakes
    name = inheritance.stem(path)
    if not _NAME.match(name):
        what = f"{shown(name)} is no name for a profile"
        problems.append(
            Problem(what=what, where=Where(file=path), fix="name the file with a-z, 0-9 and '-', at most 63 characters")
        )
    if sources:
        complete = inheritance.complete(path, sources)
        problems += _provider_problems(sources, provider_fields, complete=complete)
        problems += _rootfs_problems(sources, complete=complete)
    if problems:
        raise ProfileError(_first(problems))
    table = tables[0] if len(tables) == 1 else ProfileTable.model_validate(inheritance.merged(sources))
    assert table is not None  # a file without problems has a table
    return _profile(name, table, sources)


def _first(problems: Sequence[Problem]) -> Iterator[Problem]:
    yield from problems[:_MAX_PROBLEMS]
    if len(problems) > _MAX_PROBLEMS:
        yield Problem(what=f"too many problems: only the first {_MAX_PROBLEMS} are shown", fix="mend these first")


def _provider_problems(
    sources: Sequence[Source], provider_fields: ProviderFields, *, complete: bool
) -> Iterator[Problem]:
    """What can only be judged on the merged profile: the template and the fields it takes."""
    provider = inheritance.merged(sources).get("agent_provider", {})
    if not isinstance(provider, dict):
        return
    template = provider.get("template")
    if template is None and complete:
        yield Problem(
            what="missing field 'template': it says which agent the bottle serves",
            where=sources[-1].where(("agent_provider", "template")),
            fix=f"add template to agent_provider: one of {', '.join(sorted(provider_fields))}",
        )
    elif isinstance(template, str) and template not in provider_fields:
        what, fix = diagnosis.unknown((template,), provider_fields, noun="template")
        yield Problem(what=what, where=_where(sources, ("agent_provider", "template")), fix=fix)
    elif isinstance(template, str):
        special = frozenset[str]().union(*provider_fields.values())
        for name in sorted((special & provider.keys()) - provider_fields[template]):
            takers = ", ".join(sorted(other for other, names in provider_fields.items() if name in names))
            yield Problem(
                what=f"'{name}' is a field of another provider: '{template}' does not take it",
                where=_where(sources, ("agent_provider", name)),
                fix=f"remove it, or use one of the templates that take it: {takers}",
            )


def _rootfs_problems(sources: Sequence[Source], *, complete: bool) -> Iterator[Problem]:
    """A rootfs is one thing with one hash, whichever files of `extends` say which part of it."""
    rootfs = inheritance.merged(sources).get("rootfs")
    if not isinstance(rootfs, dict):
        return
    kinds = sorted({"directory", "archive"} & rootfs.keys())
    if len(kinds) > 1:
        first, second = (_where(sources, ("rootfs", kind)) for kind in kinds)
        what = f"the rootfs is both an archive ({first.file}:{first.line}) and a directory"
        yield Problem(what=what, where=second, fix="remove one of the two")
    elif not kinds and complete:
        what = "missing field 'directory' or 'archive': it says what the agent's root is"
        yield Problem(
            what=what, where=_where(sources, ("rootfs",)), fix='add directory = "…" or archive = "…" to rootfs'
        )
    if "hash" not in rootfs and complete:
        path = shown(str(rootfs[kinds[0]])) if kinds else "PATH"
        fix = f'add hash = "sha256-…" to rootfs, which is printed by:\nbottlegen hash --path {path}'
        what = "missing field 'hash': no rootfs starts that is not the one meant"
        yield Problem(what=what, where=_where(sources, ("rootfs",)), fix=fix)


def _where(sources: Sequence[Source], keys: Keys) -> Where:
    for added in inheritance.ADDED_UP:
        if keys[: len(added)] == added and len(keys) > len(added) and isinstance(at := keys[len(added)], int):
            source, index = inheritance.owners(sources, added)[at]
            return source.where((*added, index, *keys[len(added) + 1 :]))
    holders = (source for source in reversed(sources) if source.holds(keys))
    return next(holders, sources[-1]).where(keys)


def _profile(name: str, table: ProfileTable, sources: tuple[Source, ...]) -> Profile:
    provider, workspace, resources = table.agent_provider, table.workspace, table.resources
    assert provider.template is not None  # checked on the merged data
    owners = inheritance.owners(sources, ROUTES)
    return Profile(
        name=name,
        agent=AgentProvider(
            template=provider.template,
            auth_token=provider.auth_token or "",
            api_key=provider.api_key or "",
            forward_host_credentials=provider.forward_host_credentials or False,
            model=provider.model or "",
            version=provider.version or "",
            command=tuple(provider.command or ()),
        ),
        routes=tuple(
            _route(route, f"{source.name} {dotted((*ROUTES, index))}")
            for route, (source, index) in zip(table.egress.routes, owners, strict=True)
        ),
        remotes=tuple(
            _remote(remote, f"{source.name} {dotted((*REMOTES, index))}")
            for remote, (source, index) in zip(table.git.remotes, inheritance.owners(sources, REMOTES), strict=True)
        ),
        tokens=tuple(
            _token(token, f"{source.name} {dotted(('tokens', index))}")
            for token, (source, index) in zip(table.tokens, inheritance.owners(sources, ("tokens",)), strict=True)
        ),
        rootfs=_rootfs(table.rootfs),
        env=tuple(sorted(table.env.items())),
        inspection=_inspection(table.pipelock) if table.pipelock else None,
        workspace=Workspace(
            mode=workspace.mode, path=workspace.path, read_only=tuple(dict.fromkeys(workspace.read_only))
        ),
        resources=Resources(cpus=resources.cpus, memory=resources.memory, pids=resources.pids),
        runtime=table.runtime,
        isolation=table.isolation,
        home=table.home,
        on_audit_failure=table.on_audit_failure,
        audit_queries=table.audit_queries,
        sources=sources,
    )


def _token(table: TokenTable, origin: str) -> Token:
    return Token(
        kind=table.kind,
        token_ref=table.token_ref,
        url=table.url or "",
        tls_passthrough=table.pipelock.tls_passthrough,
        origin=origin,
    )


def _inspection(table: InspectionTable) -> Inspection:
    return Inspection(
        mode=table.mode,
        action=table.action,
        patterns=tuple(dict.fromkeys((pattern.name, pattern.regex) for pattern in table.patterns)),
        max_body=table.max_body,
        max_response=table.max_response,
        requests_per_minute=table.requests_per_minute,
    )


def _rootfs(table: RootfsTable) -> Rootfs | None:
    if table.hash is None:
        return None
    if table.directory is not None:
        return Rootfs(kind="directory", name=table.directory, hash=table.hash)
    return Rootfs(kind="archive", name=table.archive or "", hash=table.hash)


def _route(table: RouteTable, origin: str) -> Route:
    auth = table.auth
    return Route(
        host=table.host,
        port=table.port,
        methods=tuple(table.methods or ()),
        paths=tuple(table.paths or ()),
        auth=Auth(token_ref=auth.token_ref, scheme=auth.scheme, header=auth.header) if auth else None,
        tls_passthrough=table.pipelock.tls_passthrough,
        origin=origin,
    )


def _remote(table: GitRemoteTable, origin: str) -> GitRemote:
    """Sorted and each once, so that the order in which patterns are written cannot be seen."""
    return GitRemote(
        name=table.name,
        url=table.url,
        credential=table.ssh_key_ref or table.token_ref or "",
        username=table.username if table.token_ref else "",
        known_hosts=_set(table.known_hosts),
        fetch=_set(table.fetch),
        push=_set(table.push),
        tags=_set(table.tags),
        force=table.force,
        delete=table.delete,
        max_size=table.max_size,
        secret_scan=table.secret_scan,
        origin=origin,
    )


def _set(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))
