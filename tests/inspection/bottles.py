"""A host with logins and an internet at port 443, and bottles on it whose profile has [pipelock], on any runtime."""

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bottlegen.bundle import Bundle
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime.base import LaunchSpec
from runtime.host import Docker, Host, HostConfig, Upstream
from runtime.progress import make_progress
from runtime.start import start
from tests import outside
from tests.contract.bottle import CACHE, Bottle
from tests.engine.bottle import LOCAL_BASE
from tests.gitgate.gate import HOST as GIT_HOST
from tests.inspection import programs
from tests.pretend import HOSTS, Pretence, PretendProvider
from tests.pretend.git_host import GitHost
from tests.pretend.login import CodexLogin

OWN_HOSTS = ("api.test", "open.test", "passed.test")
_ROUTES = """
[pipelock]

[[egress.routes]]
host = "api.test"
auth = { token_ref = "API_TOKEN" }

[[egress.routes]]
host = "open.test"

[[egress.routes]]
host = "passed.test"
pipelock = { tls_passthrough = true }
"""
_GIT = """
[[git.remotes]]
name = "site"
url = "https://git.example.com:PORT/acme/site.git"
token_ref = "SITE_TOKEN"
push = ["**"]
"""
PROFILES = {
    "codex": '[agent_provider]\ntemplate = "codex"\nforward_host_credentials = true\n' + _ROUTES,
    "claude": '[agent_provider]\ntemplate = "claude"\nauth_token = "CLAUDE_TOKEN"\n' + _ROUTES,
    "shell": '[agent_provider]\ntemplate = "shell"\n' + _ROUTES + _GIT,
}


@dataclass
class Site:
    """`provider` is the internet at `address`, with `git` beside it; `real` when the bottles have the real pipelock."""

    kind: str
    runtime: Any
    engine: Any
    state: Path
    address: str
    provider: PretendProvider
    git: GitHost
    login: CodexLogin
    host: Host
    real: bool
    began: float

    def spec(self, profile: str, workspace: Path | None = None) -> LaunchSpec:
        return LaunchSpec(
            bottle=f"inspected-{uuid.uuid4().hex[:8]}", session="s", bundle=self._bundle(profile),
            command=("sleep", "600"), tty=False, interactive=False, workspace=workspace, home=None,
            base_image=LOCAL_BASE,
            outside_network=self.host.config.docker.outside_network, terminal_env=(),
            static_hosts=tuple(sorted(self.host.config.upstream.hosts.items())),
        )  # fmt: skip

    def _bundle(self, profile: str) -> Bundle:
        """The stand-in is a script: its image has Python too, and so another tag than any image of a user's."""
        text = PROFILES[profile].replace("PORT", str(self.git.address[1])).encode()
        bundle = build(load_profile(f"{profile}.toml", lambda _: text), load_pins())
        if self.real:
            return bundle
        files = dict(bundle.files)
        for path in {"images/pipelock/Dockerfile", "images/git-gate/Dockerfile"} & files.keys():
            data = files[path].data.replace(
                b"packages.sh ca-certificates\n", b"packages.sh ca-certificates openssl python3\n"
            )
            assert b"python3" in data
            data += b"# %s\n" % hashlib.sha256(programs.STAND_IN.read_bytes()).hexdigest().encode()
            files[path] = replace(files[path], data=data)
        return replace(bundle, files=files)

    @contextmanager
    def bottle(self, profile: str, workspace: Path | None = None) -> Iterator[Bottle]:
        spec = self.spec(profile, workspace)
        try:
            start(spec, self.runtime, self.host, make_progress())
            self.runtime.release_agent(spec.bottle)
            yield Bottle(spec=spec, runtime=self.runtime)
        finally:
            self.runtime.remove(spec.bottle)


@contextmanager
def site(kind: str, folder: Path) -> Iterator[Site]:
    """Every trace of it goes with the end."""
    real = not programs.why_not_real()
    made = folder / "bin"
    made.mkdir()
    (programs.real if real else programs.stand_in)(made)
    env = {**os.environ, "PATH": f"{made}:{os.environ['PATH']}"}
    cache = CACHE if real else _cache_without_pipelock(folder / "cache")
    with contextlib.ExitStack() as stack:
        network, address = stack.enter_context(_outside(kind))
        login = CodexLogin(account="acct-pretend", expires=int(time.time()) + 86400, canary=uuid.uuid4().hex)
        provider = stack.enter_context(PretendProvider(bind=(address, 443), hosts=(*HOSTS, *OWN_HOSTS)))
        provider.pretence = Pretence(
            account=login.account, expected={"chatgpt.com": f"Bearer {login.access_token}"}, websocket=False
        )
        git = GitHost(
            folder / "repositories", token=f"git-{login.canary}", hosts=(GIT_HOST,), authority=provider.authority,
            bind=(address, 0),
        )  # fmt: skip
        stack.enter_context(git)
        git.make("acme/site.git")
        host = _host(folder, login, provider, address, network)
        state = folder / "state"
        runtime, engine = stack.enter_context(_runtime(kind, env, cache, state))
        yield Site(
            kind=kind, runtime=runtime, engine=engine, state=state, address=address, provider=provider, git=git,
            login=login, host=host, real=real, began=time.time() - 1,
        )  # fmt: skip


def _cache_without_pipelock(folder: Path) -> Path:
    """What was downloaded before; the stand-in must not come to lie where the real one would."""
    (folder / "artifacts").mkdir(parents=True)
    of_pipelock = programs.place().name
    for entry in (CACHE / "artifacts").iterdir() if (CACHE / "artifacts").is_dir() else ():
        if entry.name != of_pipelock:
            (folder / "artifacts" / entry.name).symlink_to(entry)
    return folder


def _host(folder: Path, login: CodexLogin, provider: PretendProvider, address: str, network: str) -> Host:
    (folder / "ca.pem").write_text(provider.authority.pem)
    (folder / "codex").mkdir()
    (folder / "codex" / "auth.json").write_text(login.auth_json())
    names = ("chatgpt.com", "api.anthropic.com", *OWN_HOSTS, GIT_HOST)
    return Host(
        env={
            "CODEX_HOME": str(folder / "codex"),
            "CLAUDE_TOKEN": f"claude-{login.canary}",
            "API_TOKEN": f"api-token-{login.canary}",
            "SITE_TOKEN": f"git-{login.canary}",
        },
        home=folder,
        config=HostConfig(
            upstream=Upstream(ca_file=str(folder / "ca.pem"), hosts=dict.fromkeys(names, address)),
            docker=Docker(outside_network=network),
        ),
    )


def _outside(kind: str) -> contextlib.AbstractContextManager[tuple[str, str]]:
    """The network of what is outside, and an address there whose port 443 nobody has."""
    low, high = os.getpid() % 250 + 1, os.getpid() // 250 % 250 + 1
    return outside.network() if kind == "docker" else contextlib.nullcontext(("", f"127.78.{high}.{low}"))


@contextmanager
def _runtime(kind: str, env: Mapping[str, str], cache: Path, state: Path) -> Iterator[tuple[Any, Any]]:
    """Builds get no authority of the test's own: with another one each time the engine would cache no layer."""
    if kind == "bubblewrap":
        from runtime.bubblewrap.runtime import BubblewrapRuntime

        yield BubblewrapRuntime(env, cache, state), None
        return
    import docker

    from runtime.docker import DockerRuntime

    engine, runtime = docker.from_env(), DockerRuntime(env, cache, state=state)
    try:
        yield runtime, engine
    finally:
        runtime.close()
        engine.close()
