"""What a runtime owes: the steps that differ between docker, microVM and namespaces, and nothing else.

The order of the steps lives in runtime/start.py, once. A runtime never sees a profile, and holds no secret of its own:
material passes through `place` into memory of the service that needs it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from bottlegen.bundle import Bundle
from runtime.workspace import Bind


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialFile:
    """A file that exists only in a service's memory-backed directories. `repr` never shows the bytes."""

    path: str
    mode: int
    data: bytes

    def __repr__(self) -> str:
        return f"MaterialFile(path={self.path!r}, mode={self.mode:o}, data=…)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Where the audit of this run is written, by whoever holds its sidecars: `folder` is for this user alone, `commit`
    is that of the profile when it is known, `limit` bounds each sidecar's lines in bytes."""

    folder: Path
    commit: str
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """One start of one bottle: the verified bundle and what this host adds, secrets excepted.

    `command` overrides the agent's own when not empty. `workspace` is the host's folder or None. `home` is the host
    folder that becomes the agent's home, or None for one that vanishes with the bottle. `base_image` overrides the
    `base` of every image when not empty, `image_mirror` is asked instead of Docker Hub. `terminal_env` is TERM and its
    like, the only host variables that pass. `protected` are paths below `workspace` that the agent may read and not
    change. `static_hosts` are fixed addresses of names, for sidecars that resolve names themselves. `rootfs_at` are
    the places where the rootfs of the bundle may lie on this host; `rootfs` is the verified tree once the start has
    one, and a runtime takes no other. `oci_runtime` is what an engine runs the agent with, its default when
    empty. `program_images` name images by digest that programs are taken out of, instead of building them from source.
    `binds` are the mounts of the workspace, once the start has them: what is to be protected in it is seen only then.
    """

    bottle: str
    session: str
    bundle: Bundle
    command: tuple[str, ...]
    tty: bool
    interactive: bool
    workspace: Path | None
    home: Path | None
    base_image: str
    outside_network: str
    terminal_env: tuple[tuple[str, str], ...]
    protected: tuple[Path, ...] = ()
    static_hosts: tuple[tuple[str, str], ...] = ()
    rootfs_at: tuple[Path, ...] = ()
    rootfs: Path | None = None
    image_mirror: str = ""
    program_images: tuple[tuple[str, str], ...] = ()
    oci_runtime: str = ""
    binds: tuple[Bind, ...] = ()
    recording: Recording | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where each sidecar is, by its name: in `addresses` as others of the bottle reach it, a numeric address or an
    absolute folder of unix sockets named by port; in `listens` as it must bind its first port, `address:port`."""

    addresses: Mapping[str, str]
    listens: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BottleStatus:
    """One line of `ps`. `state` is `running`, `stopped` (the agent ended) or `broken` (a service does not run).

    `services` has the state of each that the bottle should have, in its runtime's words, or `missing`.
    """

    bottle: str
    profile: str
    hash: str
    session: str
    runtime: str
    state: str
    created: str
    services: tuple[tuple[str, str], ...]

    @property
    def amiss(self) -> str:
        """What makes a broken bottle one, as in `egress dead; agent, git-gate missing`; empty for any other."""
        names: dict[str, list[str]] = {}
        for name, state in self.services if self.state == "broken" else ():
            names.setdefault(state, []).append(name)
        return "; ".join(f"{', '.join(names[state])} {state}" for state in sorted(names) if state != "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One start as it came to be, without a secret: what tells another process what the bottle must be like.

    `names` are the hosts that lead to the egress sidecar, `settings` by sidecar the files that it must hold unchanged.
    """

    spec: LaunchSpec
    endpoints: Endpoints
    names: tuple[str, ...]
    settings: Mapping[str, tuple[MaterialFile, ...]]
    static_hosts: Mapping[str, str]
    extra_trust: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row of `verify`: `check` of `part` is as the bundle says, is not, or could not be seen.

    `found` says in words what was found, or why nothing could be; never a value of the environment. `stops` is whether
    a start is undone unless the row is equal; where it is not, the start says so and goes on.
    """

    part: str
    check: str
    state: Literal["equal", "differs", "unknown"]
    found: str = ""
    stops: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a bottle's agent must not reach, and beside it what it must: (address, port) each.

    `pythons` are command lines of a Python there, the likeliest first. `neighbours` are addresses of its own networks
    where nobody may be, `others` those of other bottles' services, `hidden` services of its own bottle that are not for
    it. `refused` is whether the wall of this runtime answers connections with a refusal, rather than let none begin.
    """

    doors: tuple[tuple[str, int], ...]
    pythons: tuple[tuple[str, ...], ...] = (("python3",),)
    neighbours: tuple[str, ...] = ()
    others: tuple[tuple[str, int], ...] = ()
    hidden: tuple[tuple[str, int], ...] = ()
    refused: bool = False


class Progress(Protocol):
    """Says what is going on; a step is shown while its block runs and its `note` lines replace each other."""

    def step(self, title: str) -> AbstractContextManager["Step"]: ...


class Step(Protocol):
    def note(self, text: str) -> None: ...

    def advance(self, done: int, total: int) -> None:
        """Bytes or parts done of a total, for a bar."""


class Runtime(Protocol):
    """Every method raises RuntimeFailure (or another BottlegenError) with a fix, never a library's exception."""

    name: str

    def check(self, spec: LaunchSpec) -> None:
        """Refuse, before anything is made, what cannot run here or cannot be enforced here, naming the field."""

    def prepare(self, spec: LaunchSpec, progress: Progress) -> None:
        """Make what outlives the bottle and holds no secret: images, caches. Idempotent."""

    def create(self, spec: LaunchSpec) -> Endpoints:
        """Make networks and sidecars, which wait for their material. RuntimeFailure if the bottle's name is taken."""

    def place(self, bottle: str, service: str, files: Sequence[MaterialFile]) -> None:
        """Put files into the memory of a service, each replaced atomically. On a waiting sidecar this starts it;
        on a running one it rotates."""

    def wait_ready(self, bottle: str, service: str, seconds: float) -> None:
        """Return when the sidecar accepts connections; RuntimeFailure with its last log lines otherwise."""

    def create_agent(self, spec: LaunchSpec, names: Sequence[str]) -> None:
        """Start the agent's container, held at its gate. `names` are hosts that lead to the egress sidecar;
        sidecars have names of their own."""

    def release_agent(self, bottle: str) -> None:
        """Open the gate: the agent's command runs as the main process."""

    def attach(self, bottle: str, *, release: bool) -> int | None:
        """Join the running agent's terminal (or its plain streams); its exit status, or None when it was left running.

        With `release` the gate opens once the streams are joined, so that nothing the agent prints is missed.
        """

    def exec(self, bottle: str, argv: Sequence[str], *, tty: bool, env: Mapping[str, str]) -> int:
        """Run one more command beside the agent, as the same user with the same env; its exit status."""

    def capture(self, bottle: str, argv: Sequence[str]) -> tuple[int, bytes]:
        """As `exec` without a terminal and without input; the exit status and what it printed, 1 MiB of it at most."""

    def compare(self, run: Run) -> Sequence[Finding]:
        """What of the bottle is as `run` says and what is not. It changes nothing and asks the agent nothing."""

    def surroundings(self, run: Run) -> Surroundings:
        """Where probes from inside of the agent have to lead, and where they must not."""

    def logs(self, bottle: str, service: str, *, follow: bool) -> Iterator[bytes]:
        """Output of a service, in chunks as it comes."""

    def read(self, bottle: str, service: str, path: str) -> bytes:
        """The present bytes of a file in a sidecar's memory; RuntimeFailure when sidecar or file are not there."""

    def list(self) -> tuple[BottleStatus, ...]:
        """All bottles of this runtime on this host, also half-made and orphaned ones."""

    def remove(self, bottle: str, *, session: str = "") -> bool:
        """Remove everything labelled with the bottle (and the session, when given), in any state, also half-made;
        False if there was nothing."""
