"""Profile to bundle: a function of the profile's text, the pins and this code, and of nothing else."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from bottlegen.agent_env import bottle_env
from bottlegen.bundle import MANIFEST, Bundle, assemble
from bottlegen.errors import LockError, PlanError, Problem
from bottlegen.pins import Pins
from bottlegen.plan import (
    MATERIAL,
    WORKSPACE,
    AgentFile,
    Artifact,
    GitRemote,
    Image,
    ProvisionPlan,
    RenderedFile,
    Resources,
    Route,
    SidecarPlan,
)
from bottlegen.profile import Inspection, Profile, load
from bottlegen.providers import PROVIDERS
from bottlegen.render import canonical_json
from bottlegen.routes import RouteSet, compile_routes
from bottlegen.sidecars import SIDECARS
from bottlegen.smolfile import render as render_smolfile
from bottlegen.source import read_file

ENV_FILE = "agent/env.json"
ROUTES_FILE = "routes.json"
TOKENS_FILE = "tokens.json"
HOME_FOLDER = "agent/home"

MANIFEST_FORMAT, FORMAT_WITH_ROOTFS, FORMAT_WITH_LAYOUTS = 2, 3, 4
"""Count changes of the manifest's shape; bottlegen/manifest.py reads it, strictly."""

_Document = dict[str, object]

_MIB = 1024 * 1024
_AGENT_TMPFS = (("/tmp", 1024 * _MIB), ("/var/tmp", 256 * _MIB), (MATERIAL, 8 * _MIB))  # noqa: S108 - in the bottle


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A bundle and the values that it is rendered from, so that who asks about these need not wait for its files.

    `provided` are the routes that the provider adds to the profile's; `hidden` the names of env that people are not
    shown; `inspection` is what pipelock is told, None without it; `unrouted` is the bundle without what is rendered of
    routes.
    """

    routes: RouteSet
    whole_env: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]
    provided: tuple[Route, ...]
    remotes: tuple[GitRemote, ...]
    inspection: Inspection | None
    unrouted: Bundle
    _plans: tuple[SidecarPlan, ...]
    _document: Mapping[str, object]

    @cached_property
    def bundle(self) -> Bundle:
        unrouted = (file for path, file in self.unrouted.files.items() if path != MANIFEST)
        return assemble(self._document, (*unrouted, *(file for plan in self._plans for file in plan.routed())))

    @property
    def sidecars(self) -> tuple[str, ...]:
        return tuple(plan.name for plan in self._plans)

    @property
    def env(self) -> tuple[tuple[str, str], ...]:
        """What people are shown of it."""
        return tuple((name, value) for name, value in self.whole_env if name not in self.hidden)


def load_profile(path: str, read: Callable[[str], bytes] = read_file) -> Profile:
    """The profile at `path`, checked against the providers there are; ProfileError lists every mistake."""
    return load(path, read, provider_fields={name: provider.fields for name, provider in PROVIDERS.items()})


def build(profile: Profile, pins: Pins) -> Bundle:
    """The bundle of a profile; PlanError or ProfileError lists everything that cannot be combined."""
    return preview(profile, pins).bundle


def preview(profile: Profile, pins: Pins) -> Preview:
    """The bundle together with the values it is rendered from."""
    try:
        return _preview(profile, pins)
    except LockError as e:
        raise _placed(e, profile) from e
    except PlanError as e:
        raise profile.with_lines(e) from e


def _placed(error: LockError, profile: Profile) -> LockError:
    """`error`, told at the line that asks for a version where one does."""
    if not error.lacks[1] or error.lacks[1] != profile.agent.version:
        return error
    return LockError(
        (replace(problem, where=profile.where("agent_provider", "version")) for problem in error.problems),
        lacks=error.lacks,
    )


def _preview(profile: Profile, pins: Pins) -> Preview:
    plan = PROVIDERS[profile.agent.template].provision(profile.agent, pins)
    _refuse_reserved(profile)
    routes = compile_routes((*plan.egress_routes, *profile.routes), profile.tokens)
    sidecars = tuple(made for sidecar in SIDECARS if (made := sidecar.prepare(profile, routes, pins)))
    env = _agent_env(profile, plan, sidecars)
    home = _home_files(plan, sidecars)
    document = _manifest(profile, plan, home, env, sidecars)
    return Preview(
        routes=routes,
        whole_env=tuple(sorted(env.items())),
        hidden=tuple(sorted(plan.hidden_env_names)),
        provided=plan.egress_routes,
        remotes=tuple(sorted(profile.remotes, key=lambda remote: remote.name)),
        inspection=profile.inspection,
        unrouted=assemble(document, [*_files(profile, plan, home, env, sidecars), _smolfile(profile, plan, env)]),
        _plans=sidecars,
        _document=document,
    )


def _refuse_reserved(profile: Profile) -> None:
    """What a provider takes from the host's login goes to the hosts that the provider names, and to no other."""
    reserved = frozenset[str]().union(*(provider.token_refs for provider in PROVIDERS.values()))
    named = [(route.origin, route.auth.token_ref) for route in profile.routes if route.auth]
    named += [(token.origin, token.token_ref) for token in profile.tokens]
    problems = [
        Problem(
            what=f"plan conflict: {origin} uses token_ref '{token_ref}', which belongs to a provider",
            fix='name a secret of your own: token_ref = "…"',
        )
        for origin, token_ref in named
        if token_ref in reserved
    ]
    if problems:
        raise PlanError(problems)


def _agent_env(profile: Profile, plan: ProvisionPlan, sidecars: tuple[SidecarPlan, ...]) -> dict[str, str]:
    """The agent's whole environment: the profile may add to what provider and sidecars set, not replace it."""
    provided = {name: value for sidecar in sidecars for name, value in sidecar.agent.env} | dict(plan.env)
    taken = [name for name, value in profile.env if provided.get(name, value) != value]
    if taken:
        raise PlanError(
            Problem(
                what=f"plan conflict: env '{name}' is set by the provider or a sidecar",
                where=profile.where("env", name),
                fix=f"remove env.{name} from the profile",
            )
            for name in taken
        )
    return {**dict(profile.env), **provided, **_git_env(sidecars), **dict(bottle_env())}


def _git_env(sidecars: tuple[SidecarPlan, ...]) -> dict[str, str]:
    """Settings of git as its own variables (git-config(1)): whatever files the agent writes, these are read last."""
    settings = [setting for sidecar in sidecars for setting in sidecar.agent.git]
    env = {"GIT_CONFIG_COUNT": str(len(settings))} if settings else {}
    for index, (key, value) in enumerate(settings):
        env |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    return env


def _home_files(plan: ProvisionPlan, sidecars: tuple[SidecarPlan, ...]) -> tuple[AgentFile, ...]:
    files = (*plan.files, *(file for sidecar in sidecars for file in sidecar.agent.files), *_orders(plan, sidecars))
    paths = [file.path for file in files]
    if twice := sorted({path for path in paths if paths.count(path) > 1}):
        raise PlanError(
            Problem(
                what=f"plan conflict: '{path}' of the agent's home comes from two sides",
                fix="this is bottlegen's own mistake: report it with the profile",
            )
            for path in twice
        )
    return files


def _orders(plan: ProvisionPlan, sidecars: tuple[SidecarPlan, ...]) -> tuple[AgentFile, ...]:
    """What leads the agent to its notes; a seed, since the file of a kept home is the user's and the agent's."""
    notes = [sidecar.agent.read for sidecar in sidecars if sidecar.agent.read]
    if not notes or not plan.instructions:
        return ()
    lines = (f"Read ~/{path} before you use git: it says what you may fetch and push here.\n" for path in notes)
    return (AgentFile(path=plan.instructions, content="".join(lines), mode=0o644, keep=True),)


def _format(profile: Profile, plan: ProvisionPlan) -> int:
    """The lowest that can say it; bottlegen.manifest holds every bundle to that."""
    if any(artifact.layout != "plain" for artifact in plan.image.artifacts):
        return FORMAT_WITH_LAYOUTS
    return FORMAT_WITH_ROOTFS if profile.rootfs else MANIFEST_FORMAT


def _manifest(
    profile: Profile,
    plan: ProvisionPlan,
    home: tuple[AgentFile, ...],
    env: Mapping[str, str],
    sidecars: tuple[SidecarPlan, ...],
) -> _Document:
    # Plain data: the models that read a manifest cost more to make than all the rest of a build.
    return {
        "format": _format(profile, plan),
        "name": profile.name,
        "provider": profile.agent.template,
        "runtime": profile.runtime,
        "isolation": profile.isolation or "process",
        "home": profile.home,
        "audit": {"on_failure": profile.on_audit_failure, "queries": profile.audit_queries},
        "workspace": _workspace(profile),
        "services": {
            "agent": _agent_service(plan, env, profile),
            **{sidecar.name: _sidecar_service(sidecar) for sidecar in sidecars},
        },
        "slots": [
            {
                "name": slot.name,
                "sidecar": sidecar.name,
                "hosts": slot.hosts,
                "header": slot.header,
                "scheme": slot.scheme,
            }
            for sidecar in sidecars
            for slot in sidecar.slots
        ],
        "home_files": [{"path": file.path, "mode": f"{file.mode:03o}", "keep": file.keep} for file in home],
    }


def _files(
    profile: Profile,
    plan: ProvisionPlan,
    home: tuple[AgentFile, ...],
    env: Mapping[str, str],
    sidecars: tuple[SidecarPlan, ...],
) -> Iterable[RenderedFile]:
    yield RenderedFile(path=ENV_FILE, data=canonical_json(env))
    yield RenderedFile(
        path=TOKENS_FILE,
        data=canonical_json({slot.name: slot.token_ref for sidecar in sidecars for slot in sidecar.slots}),
    )
    yield from map(_home_file, home)
    yield from _context("agent", "rootfs" if profile.rootfs else "agent")
    yield from plan.image_files
    for sidecar in sidecars:
        yield from _context(sidecar.name, sidecar.name)
        yield from sidecar.files
        if sidecar.env:
            yield RenderedFile(path=_env_file(sidecar), data=canonical_json(dict(sidecar.env)))


def _smolfile(profile: Profile, plan: ProvisionPlan, env: Mapping[str, str]) -> RenderedFile:
    source = profile.workspace.path if profile.workspace.mode == "bind" else ""
    return render_smolfile(plan.command, env, source, profile.resources)


def _home_file(file: AgentFile) -> RenderedFile:
    return RenderedFile(path=f"{HOME_FOLDER}/{file.path}", data=file.content.encode(), mode=file.mode)


@cache
def _context(name: str, source: str) -> tuple[RenderedFile, ...]:
    """The image context `bottlegen/images/<source>` as the bundle's `images/<name>`; all sidecars have `images/sidecar`
    besides. Part of this code."""
    images = Path(__file__).parent / "images"
    folders = (images / source,) if name == "agent" else (images / source, images / "sidecar")
    return tuple(
        RenderedFile(path=f"images/{name}/{path.name}", data=path.read_bytes(), mode=_static_mode(path))
        for path in sorted(path for folder in folders for path in folder.iterdir() if path.is_file())
    )


def _static_mode(path: Path) -> int:
    """By shebang, not by the file's own bits, which a zip, a checkout or a umask may have changed."""
    return 0o755 if path.read_bytes().startswith(b"#!") else 0o644


def _workspace(profile: Profile) -> _Document:
    given = profile.workspace
    return {
        "mode": given.mode,
        "source": given.path,
        "path": WORKSPACE,
        "read_only": sorted(given.read_only),
    }


def _agent_service(plan: ProvisionPlan, env: Mapping[str, str], profile: Profile) -> _Document:
    return {
        "image": _image(plan.image) | ({"rootfs": asdict(profile.rootfs)} if profile.rootfs else {}),
        "command": plan.command,
        "env": sorted(env),
        "env_file": ENV_FILE,
        "networks": ["bottle"],
        "listening": None,
        "tmpfs": dict(_AGENT_TMPFS),
        "scratch": [],
        "programs": [],
        "limits": _limits(profile.resources),
        "hardening": _hardening("workspace-owner"),
    }


def _sidecar_service(sidecar: SidecarPlan) -> _Document:
    return {
        "image": _image(sidecar.image),
        "command": sidecar.command,
        "env": sorted(dict(sidecar.env)),
        "env_file": _env_file(sidecar) if sidecar.env else None,
        "networks": sidecar.networks,
        "listening": asdict(sidecar.listening),
        "tmpfs": dict(sidecar.tmpfs),
        "scratch": sidecar.scratch,
        "programs": sidecar.programs,
        "limits": _limits(sidecar.resources),
        "hardening": _hardening("sidecar"),
    }


def _env_file(sidecar: SidecarPlan) -> str:
    return f"sidecars/{sidecar.name}/env.json"


def _hardening(user: str) -> _Document:
    """Said in every bundle, so that a reviewer sees it and a runtime that would do less is no reader of it."""
    return {
        "cap_drop": ["ALL"],
        "no_new_privileges": True,
        "read_only_root": True,
        "seccomp": "default",
        "user": user,
    }


def _image(image: Image) -> _Document:
    artifacts = [_artifact(artifact) for artifact in image.artifacts]
    return {"context": image.context, "base": image.base, "artifacts": artifacts}


def _artifact(artifact: Artifact) -> _Document:
    """Without the layout that most have, so that their bundles are the ones they were."""
    document = asdict(artifact) | {"members": dict(artifact.members)}
    if artifact.layout == "plain":
        del document["layout"]
    return document


def _limits(resources: Resources) -> _Document:
    return {"cpus": float(resources.cpus), "memory": resources.memory, "pids": resources.pids}
