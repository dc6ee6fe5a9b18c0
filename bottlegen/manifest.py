"""The shape of manifest.json: all that a runtime may know of a bottle, read strictly.

`format` counts changes of this shape; it is not bottlegen's version: an upgrade that changes no byte changes no hash.
So a bundle has the lowest format that can say what it says: 3 is 2 with a rootfs, 4 has archives that are not plain.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from bottlegen import nar
from bottlegen.plan import Layout, Network, Platform, Source

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileMode = Annotated[str, Field(pattern=r"^[0-7]{3}$")]


def _relative(path: str) -> str:
    """`path` if it stays below where it starts and has one spelling; ValueError otherwise."""
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError("not a plain relative path: an empty, '.' or '..' part")
    if not path.isprintable() or "\\" in path:
        raise ValueError("not a plain relative path: a backslash or a character that does not print")
    return path


# A function, because pydantic's regular expressions cannot look around.
RelativePath = Annotated[str, AfterValidator(_relative)]


def _sri(text: str) -> str:
    if nar.parse_sri(text) is None:
        raise ValueError("not a SHA-256 in the form 'sha256-…'")
    return text


SlotName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ArtifactSpec(_Strict):
    """A pinned download: `members` maps archive paths (a folder ends in `/`) to paths in the image context."""

    platform: Platform
    source: Source
    package: str
    version: str
    filename: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$")]
    integrity: Annotated[str, Field(pattern=r"^(sha(256|512)-|h1:)[A-Za-z0-9+/]+=*$")]
    members: dict[str, RelativePath]
    layout: Layout = "plain"

    @model_serializer(mode="wrap")
    def _as_it_is_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A plain one as format 2 has it."""
        document: dict[str, Any] = handler(self)
        if self.layout == "plain":
            del document["layout"]
        return document


class RootfsSpec(_Strict):
    """The service's root: what the host has under `name`, when its Nix archive hash is `hash`, and nothing else."""

    kind: Literal["directory", "archive"]
    name: RelativePath
    hash: Annotated[str, AfterValidator(_sri)]


class ImageSpec(_Strict):
    """Built from the bundle's folder `context`; `base` replaces ARG BASE unless the host overrides it.

    With a `rootfs` that is the image's root, and `base` lends it tools.
    """

    context: RelativePath
    base: str
    artifacts: list[ArtifactSpec]
    rootfs: RootfsSpec | None = None

    @model_serializer(mode="wrap")
    def _as_it_is_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a rootfs as format 2 has it."""
        document: dict[str, Any] = handler(self)
        if self.rootfs is None:
            del document["rootfs"]
        return document


class Limits(_Strict):
    """`cpus` in cores, `memory` in bytes, `pids` as a count of tasks."""

    cpus: Annotated[float, Field(gt=0)]
    memory: Annotated[int, Field(gt=0)]
    pids: Annotated[int, Field(gt=0)]


class Hardening(_Strict):
    """Literal types: a manifest that asks for less is no manifest."""

    cap_drop: tuple[Literal["ALL"]] = ("ALL",)
    no_new_privileges: Literal[True] = True
    read_only_root: Literal[True] = True
    seccomp: Literal["default"] = "default"
    user: Literal["workspace-owner", "sidecar"]


class ListeningSpec(_Strict):
    """A sidecar's TCP `ports`, of which the first is open when it is ready, and what it is called beside its own name.

    It starts when its file `config` arrives; `trust`, when not empty, is where roots are joined for it. `tcp_only` when
    it cannot bind a unix socket.
    """

    ports: Annotated[list[Annotated[int, Field(ge=1, le=65535)]], Field(min_length=1)]
    config: str
    names: list[str]
    trust: str
    tcp_only: bool


class Service(_Strict):
    """One container, VM or process. `env` names variables whose values stand in `env_file`; tmpfs sizes are bytes.

    `listening` is None for the agent alone. `scratch` are folders on disk, empty at the start, that go with the bottle;
    `programs` are those of the system that a runtime without images has to find on its host.
    """

    image: ImageSpec
    command: list[str]
    env: list[str]
    env_file: RelativePath | None
    networks: list[Network]
    listening: ListeningSpec | None
    tmpfs: dict[str, int]
    scratch: list[str]
    programs: list[str]
    limits: Limits
    hardening: Hardening


class SlotSpec(_Strict):
    """A credential's place in a sidecar and the hosts that may receive it; the host's name of it is in tokens.json."""

    name: SlotName
    sidecar: str
    hosts: list[str]
    header: str
    scheme: str


class HomeFile(_Strict):
    """A file under `agent/home/` in the bundle; `keep` leaves one that exists in the home alone."""

    path: RelativePath
    mode: FileMode
    keep: bool


class AuditSpec(_Strict):
    """Whether anything goes out that cannot be written down, and whether a request's query is written down too."""

    on_failure: Literal["block", "warn"]
    queries: bool


class WorkspaceSpec(_Strict):
    """`source` is a folder below the user's workspace (`.` for all of it), `path` its mount point in the bottle.

    `read_only` paths are relative to both.
    """

    mode: Literal["bind", "none"]
    source: RelativePath | Literal["."]
    path: str
    read_only: list[RelativePath]


class Manifest(_Strict):
    """`isolation` is the least that may run it.

    `files` lists every other file of the bundle as (path, mode where it is used, sha256), sorted by path.
    """

    format: Literal[2, 3, 4]
    name: str
    provider: str
    runtime: Literal["auto", "docker", "smolmachines", "bubblewrap"]
    isolation: Literal["process", "container", "vm"]
    home: Literal["kept", "ephemeral"]
    audit: AuditSpec
    workspace: WorkspaceSpec
    services: dict[str, Service]
    slots: list[SlotSpec]
    home_files: list[HomeFile]
    files: list[tuple[RelativePath, FileMode, Sha256]]

    @model_validator(mode="after")
    def _lowest_format(self) -> Self:
        rooted = {name for name, service in self.services.items() if service.image.rootfs}
        if rooted - {"agent"}:
            raise ValueError("only the agent can have a rootfs")
        laid_out = any(
            artifact.layout != "plain" for service in self.services.values() for artifact in service.image.artifacts
        )
        if self.format == 4 and not laid_out:
            raise ValueError("format 4 is for bundles with archives that are not plain, and for these alone")
        if self.format != (4 if laid_out else 3 if rooted else 2):
            raise ValueError("format 3 is for bundles with a rootfs, and for these alone")
        return self

    @property
    def rootfs(self) -> RootfsSpec | None:
        """What the agent's root is, where it is not an image's."""
        agent = self.services.get("agent")
        return agent.image.rootfs if agent else None
