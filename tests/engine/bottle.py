"""A bottle on the real engine as the tests see it."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bottlegen.bundle import Bundle
from runtime.base import LaunchSpec
from runtime.docker import DockerRuntime, naming
from runtime.host import Host, HostConfig
from runtime.progress import make_progress
from runtime.start import start

PROFILES = Path(__file__).parents[2] / "profiles"
ENV = dict(os.environ)
# Read before the fixtures hide it: a download of this size is made once per machine, not per run.
CACHE = Path(ENV.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bottlegen"
OWNER = 1234
LOCAL_BASE = "debian:bookworm-slim"
"""What this engine has under that tag, as [images] base of host.toml would say: tests need no registry for it."""


@dataclass
class Bottle:
    """A running bottle of the shell profile."""

    name: str
    spec: LaunchSpec
    runtime: DockerRuntime
    api: Any

    def container(self, service: str = "agent") -> str:
        return naming.container(self.name, service)

    def inspect(self, service: str = "agent") -> dict[str, Any]:
        found: dict[str, Any] = self.api.inspect_container(self.container(service))
        return found

    def run(self, *argv: str, service: str = "agent", user: str = "") -> tuple[int, str]:
        """Exit status and output of a command in a service."""
        made = self.api.exec_create(self.container(service), list(argv), user=user)
        output = self.api.exec_start(made["Id"]).decode()
        return self.api.exec_inspect(made["Id"])["ExitCode"], output

    def address(self, service: str = "agent") -> str:
        networks = self.inspect(service)["NetworkSettings"]["Networks"]
        return next(str(network["IPAddress"]) for name, network in networks.items() if name.endswith("-inside"))


STATE = tempfile.TemporaryDirectory(prefix="bottlegen-engine-")
"""Where bottles of this process say which workspace they use; another process's are known by the engine alone."""

SpecMaker = Callable[..., LaunchSpec]
BottleMaker = Callable[..., Bottle]


@contextmanager
def make_runtime() -> Iterator[DockerRuntime]:
    runtime = DockerRuntime(ENV, CACHE, state=Path(STATE.name))
    try:
        yield runtime
    finally:
        runtime.close()


def launch(spec: LaunchSpec, runtime: DockerRuntime) -> None:
    host = Host(env={}, home=Path("/nonexistent"), config=HostConfig())
    start(spec, runtime, host, make_progress())


def launch_in(folder: Path, bundle: Bundle, api: Any, runtime: DockerRuntime) -> Bottle:
    """A running bottle on a folder, for fixtures that outlive a test; who asks removes it."""
    spec = LaunchSpec(
        bottle=f"test-{os.getpid()}-{folder.parent.name}".replace("_", "-"), session="s", bundle=bundle,
        command=("sleep", "600"), tty=False, interactive=False, workspace=folder, home=None, base_image=LOCAL_BASE,
        outside_network="", terminal_env=(),
    )  # fmt: skip
    launch(spec, runtime)
    runtime.release_agent(spec.bottle)
    return Bottle(name=spec.bottle, spec=spec, runtime=runtime, api=api)


def make_folder(path: Path) -> Path:
    """A new folder that an agent can work in: of a user who is not root, and below folders that this user may enter."""
    path.mkdir()
    if os.getuid() == 0:
        os.chown(path, OWNER, OWNER)
        top = Path(tempfile.gettempdir())
        for parent in path.parents:
            if parent != top and parent.is_relative_to(top):
                parent.chmod(0o755)
    return path


def make_repository(folder: Path) -> None:
    """A repository in `folder`, with a submodule `lib`."""
    library = make_folder(folder.parent / "library")
    git(library, "init", "-q", "-b", "main")
    git(library, "commit", "-q", "--allow-empty", "-m", "one")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib")
    git(folder, "commit", "-q", "-m", "one")


def left(api: Any, bottle: str) -> list[str]:
    """Everything in the engine that carries the bottle's label."""
    selects = naming.selects(bottle)
    containers = [part["Names"][0] for part in api.containers(all=True, filters=selects)]
    networks = [part["Name"] for part in api.networks(filters=selects)]
    volumes = [part["Name"] for part in api.volumes(filters=selects)["Volumes"] or []]
    return containers + networks + volumes


def assert_nothing_left(api: Any, bottles: Sequence[str]) -> None:
    assert {name: parts for name in bottles if (parts := left(api, name))} == {}


def git(folder: Path, *argv: str) -> str:
    """git as the owner of the folder, with no settings of whoever runs the tests."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    user = {"user": OWNER, "group": OWNER, "extra_groups": []} if os.getuid() == 0 else {}
    done = subprocess.run(  # type: ignore[call-overload]
        ["git", *identity, *argv], cwd=folder, env=env, capture_output=True, text=True, check=False, **user
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)
