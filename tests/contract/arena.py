"""A host with a login, a workspace and a pretend internet: everything but the engine and the agents is made here."""

import base64
import functools
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from bottlegen import bundle
from runtime.base import LaunchSpec
from runtime.progress import make_progress
from tests import outside
from tests.contract import traces
from tests.contract.bottle import make_runtime
from tests.engine.bottle import LOCAL_BASE
from tests.pretend import HOSTS, Pretence, PretendProvider
from tests.pretend.authority import TestAuthority
from tests.pretend.login import CodexLogin

ROOT = Path(__file__).parents[2]
AGENT_UID = 1000
_HOSTS = tuple(host for host in HOSTS if not host.startswith(("*", "localhost", "127.")))


class Arena:
    """`bottlegen` runs the real command; `provider` stands on the outside network of its bottles."""

    def __init__(
        self, folder: Path, runtime: str, engine: docker.DockerClient | None, network: str, provider: PretendProvider
    ) -> None:
        self.folder = folder
        self.runtime = runtime
        self.engine = engine
        self.provider = provider
        self.reply = "hello from the pretend provider"
        self.began = time.time()
        self.canary = uuid.uuid4().hex
        self.claude_token = f"claude-{self.canary}"
        self.secret_env: dict[str, str] = {}
        self.names: set[str] = set()
        self.workspace = self._folder("workspace", AGENT_UID)
        self.state = self._folder("state")
        self.codex_home = self._folder("codex-home")
        (folder / "ca.pem").write_text(provider.authority.pem)
        address, port = provider.address
        hosts = "".join(f'"{name}" = "{address}:{port}"\n' for name in _HOSTS)
        (folder / "host.toml").write_text(
            f'[upstream]\nca_file = "{folder}/ca.pem"\n[upstream.hosts]\n{hosts}'
            f'[docker]\noutside_network = "{network}"\n[images]\nbase = "{LOCAL_BASE}"\n'
        )
        self.log_in(86400)

    def _folder(self, name: str, owner: int | None = None) -> Path:
        path = self.folder / name
        path.mkdir()
        if owner is not None and os.geteuid() == 0:
            os.chown(path, owner, owner)
        return path

    def log_in(self, expires_in: int | None) -> None:
        """Leave a Codex login that lasts so many seconds, or none."""
        self.login = CodexLogin(
            account="acct-pretend", expires=int(time.time()) + (expires_in or 0), canary=self.canary
        )
        path = self.codex_home / "auth.json"
        path.unlink(missing_ok=True)
        if expires_in is not None:
            path.write_text(self.login.auth_json())

    def pretend(self, *, websocket: bool = True, command: str = "", expected: Mapping[str, str] | None = None) -> None:
        """Set how the provider behaves; it insists on the real credentials, so an agent without them gets no answer."""
        self.provider.pretence = Pretence(
            account=self.login.account,
            reply=self.reply,
            websocket=websocket,
            command=command,
            expected=expected or {"chatgpt.com": f"Bearer {self.login.access_token}"},
        )

    @property
    def env(self) -> dict[str, str]:
        names = (
            "PATH",
            "HOME",
            "XDG_CACHE_HOME",
            "DOCKER_HOST",
            "SSL_CERT_FILE",
            "npm_config_registry",
            "PIP_INDEX_URL",
        )
        return {
            **{name: os.environ[name] for name in names if name in os.environ},
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(self.state),
            "BOTTLEGEN_HOST_CONFIG": str(self.folder / "host.toml"),
            "CODEX_HOME": str(self.codex_home),
            "BOT_BOTTLE_CLAUDE_OAUTH_TOKEN": self.claude_token,
            **self.secret_env,
        }

    def make_repository(self) -> None:
        """An empty repository in the workspace, of the same owner."""
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
        subprocess.run(["git", "init", "-q"], cwd=self.workspace, env=env, check=True)
        if os.geteuid() == 0:
            for path in self.workspace.rglob("*"):
                os.chown(path, AGENT_UID, AGENT_UID)

    def bottle(self, name: str) -> str:
        """`name` as no other test and no user of this engine has it."""
        return f"{name}-{self.canary[:8]}"

    def command(self, *argv: str) -> list[str]:
        """The command line of a task; `up` gets this arena's workspace, and each name becomes this arena's own."""
        words = list(argv)
        if words[0] == "up":
            words[1:1] = ["--workspace", str(self.workspace), "--runtime", self.runtime]
            if "--name" not in argv:
                words[1:1] = ["--name", argv[argv.index("--profile") + 1]]
        if "--name" in words:
            place = words.index("--name") + 1
            words[place] = self.bottle(words[place])
            self.names.add(words[place])
        return [sys.executable, "-m", "runtime.cli", *words]

    def bottlegen(self, *argv: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        if self.engine and argv[:2] == ("up", "--profile") and (shipped := ROOT / "bundles" / argv[2]).is_dir():
            have_images(self.runtime, shipped)
        return subprocess.run(
            self.command(*argv), cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def secrets(self, name: str) -> list[bytes]:
        """What must be found nowhere while the bottle `name` runs."""
        texts = {"codex": self.login.secrets, "claude": (self.claude_token,)}[name]
        return [text.encode() for text in texts]

    def places(self) -> list[Path]:
        """Host folders that belong to bottles; the host's own login and settings are not among them."""
        return [self.state, self.workspace, ROOT / "bundles"]

    def claims(self, token: str) -> dict[str, Any]:
        part = token.split(".")[1]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return claims

    def authorization_of(self, request: tuple[str, ...]) -> str | None:
        """Run a command that makes a request; the Authorization that the provider saw with it."""
        assert self.bottlegen(*request).returncode == 0
        return self.provider.seen[-1].header("authorization")

    def until(self, condition: Callable[[], object], seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not come about"
            time.sleep(0.1)

    def down(self) -> None:
        """Remove every bottle of this arena, and what is kept of it."""
        for name in sorted(self.names):
            command = [sys.executable, "-m", "runtime.cli", "down", "--purge", "--name", name]
            done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")

    def found_in_bottle(self, name: str, needles: Sequence[bytes]) -> list[str]:
        """Every place that the agent can look at, and all that is said of the bottle outside, which holds a needle."""
        bottle = self.bottle(name)
        if self.engine:
            return traces.found_in_container(self.engine, bottle, needles, self.began)
        own_python = str(Path(sys.base_prefix).resolve())
        search = traces.search(needles, self.began, ("/usr", "/nix/store", own_python))
        done = self.bottlegen("exec", "--name", name, "--", *search)
        assert done.returncode == 0, done.stderr
        found = [f"agent: {line}" for line in done.stdout.splitlines()]
        return found + traces.said_on_host(needles)

    def found_on_host(self, needles: Sequence[bytes]) -> list[str]:
        return traces.found_on_host(self.engine, self.places(), needles, self.began)

    def leftovers(self) -> list[str]:
        """Everything that carries the name of a bottle of this arena."""
        if not self.engine:
            groups = [path for path in Path("/sys/fs/cgroup").glob("*/bottlegen/*") if self.canary[:8] in path.name]
            folder = self.state / "bottlegen" / "bubblewrap"
            return [str(path) for path in (*groups, *folder.glob("*"), *folder.glob(".*"))]
        api, labelled = self.engine.api, {"label": "bottlegen.bottle"}
        containers = [name.lstrip("/") for item in api.containers(all=True, filters=labelled) for name in item["Names"]]
        networks = [item["Name"] for item in api.networks(filters=labelled)]
        volumes = [item["Name"] for item in api.volumes(filters=labelled)["Volumes"] or ()]
        return [name for name in (*containers, *networks, *volumes) if self.canary[:8] in name]


@functools.cache
def _authority() -> TestAuthority:
    """One for all: an engine's layers are shared by builds that trust alike."""
    return TestAuthority()


@functools.cache
def have_images(kind: str, bundle_of: Path) -> tuple[str, ...]:
    """Build what a bottle needs as the engine's own tests do, without this host's extra trust: all share the layers.
    Their tags; other runtimes have programs in their place."""
    spec = LaunchSpec(
        bottle="none", session="none", bundle=bundle.read(bundle_of), command=(), tty=False, interactive=False,
        workspace=None, home=None, base_image=LOCAL_BASE, outside_network="", terminal_env=(), protected=(),
    )  # fmt: skip
    with make_runtime(kind, Path("/nonexistent")) as runtime:
        runtime.prepare(spec, make_progress())
        return tuple(runtime.image(name) for name in spec.bundle.manifest.services) if kind == "docker" else ()


@pytest.fixture(
    params=[
        pytest.param("docker", marks=pytest.mark.engine),
        pytest.param("bubblewrap", marks=pytest.mark.namespaces),
    ]
)
def arena(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Arena]:
    """An arena for each runtime: everything but the runtime is the same."""
    if request.param == "docker":
        with _docker_arena(tmp_path) as made:
            yield made
        return
    with PretendProvider(bind=("127.0.0.1", 0), authority=_authority()) as provider:
        alone = Arena(tmp_path, "bubblewrap", None, "", provider)
        try:
            yield alone
        finally:
            alone.down()


@contextmanager
def _docker_arena(folder: Path) -> Iterator[Arena]:
    """With an outside network of its own, on whose gateway the pretend provider listens."""
    with (
        closing(docker.from_env()) as engine,
        outside.network() as (network, gateway),
        PretendProvider(bind=(gateway, 0), authority=_authority()) as provider,
    ):
        made = Arena(folder, "docker", engine, network, provider)
        try:
            yield made
        finally:
            made.down()
