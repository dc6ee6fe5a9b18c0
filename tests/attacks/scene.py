"""Where attempts are made: one bottle of a profile of its own, and round it an internet that judges what arrives."""

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bottlegen.bundle import Bundle, assemble
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from bottlegen.plan import RenderedFile
from runtime.base import LaunchSpec
from runtime.ca import Authority
from runtime.host import Host, HostConfig
from runtime.progress import make_progress
from runtime.start import start
from tests.addresses import here
from tests.attacks.names import NameServer, table
from tests.attacks.upstream import IMPOSTOR, POLICY, TOKEN_A, TOKEN_B, Request, Taker, judge
from tests.contract.bottle import Bottle, make_runtime
from tests.dataplane.sidecar import authority
from tests.dataplane.upstream import Upstream, closed_port
from tests.engine.bottle import LOCAL_BASE, make_folder, make_repository
from tests.outside import network

CONFIG = "sidecars/egress/envoy.json"
PROFILE = """\
[agent_provider]
template = "shell"
[resources]
cpus = 2
memory = "256MiB"
pids = 120
[[egress.routes]]
host = "open.test"
[[egress.routes]]
host = "token.test"
auth = { token_ref = "TOKEN_A" }
[[egress.routes]]
host = "key.test"
auth = { token_ref = "TOKEN_B", header = "x-api-key", scheme = "" }
[[egress.routes]]
host = "api.test"
methods = ["GET"]
paths = ["/open/**"]
auth = { token_ref = "TOKEN_A" }
[[egress.routes]]
host = "*.wild.test"
[[egress.routes]]
host = "exact.wild.test"
paths = ["/only"]
[[egress.routes]]
host = "port.test"
port = 8443
[[egress.routes]]
host = "impostor.test"
auth = { token_ref = "TOKEN_A" }
[[egress.routes]]
host = "down.test"
auth = { token_ref = "TOKEN_A" }
[[egress.routes]]
host = "*.names.test"
port = NAMES_PORT
"""
INTERNET = f"198.51.100.{100 + os.getpid() % 150}"
"""Stands for a public address (RFC 5737); by process, so that two runs on one host do not take it from each other."""

Edit = Callable[[dict[str, Any]], None]
"""Changes an egress's config."""

Change = Callable[[LaunchSpec], LaunchSpec]


@dataclass
class Internet:
    """What lies outside of bottles: an upstream that judges, one that has no right to its name, a name server."""

    gateway: str
    upstream: Upstream
    impostor: Upstream
    names: NameServer
    trusted: Authority
    seen: list[Request]
    network: str = ""

    def forget(self) -> None:
        """What came before is of another bottle."""
        self.seen.clear()
        self.names.forget()

    def hosts(self) -> dict[str, str]:
        """Fixed addresses of the names that no name server is asked for."""
        static = dict.fromkeys(POLICY, f"{self.gateway}:{self.upstream.port}")
        return static | {
            IMPOSTOR: f"{self.gateway}:{self.impostor.port}",
            "down.test": f"{self.gateway}:{closed_port()}",
        }


@contextlib.contextmanager
def internet(gateway: str, network: str = "") -> Iterator[Internet]:
    """On every address of this host, since bottles of each runtime find it at another."""
    trusted = authority((*POLICY, "down.test", "*.names.test"))
    seen: list[Request] = []
    taker = functools.partial(Taker, seen=seen, judge=functools.partial(judge, internet=INTERNET))
    to_impostor = functools.partial(Taker, seen=seen, judge=lambda *_: ("it came to an impostor",))
    with _public_address():
        upstream = Upstream(trusted.leaves, handler=taker, address="0.0.0.0")
        impostor = Upstream(authority((IMPOSTOR,)).leaves, handler=to_impostor, address="0.0.0.0")
        names = NameServer(table(internet=INTERNET, upstream=gateway))
        try:
            yield Internet(
                gateway=gateway, upstream=upstream, impostor=impostor, names=names, trusted=trusted, seen=seen,
                network=network,
            )  # fmt: skip
        finally:
            for server in (upstream, impostor, names):
                server.close()


@contextlib.contextmanager
def _public_address() -> Iterator[None]:
    if os.geteuid() != 0:  # nobody else may add one; then the control of names fails, and says so
        yield
        return
    with here(INTERNET):
        yield


@contextlib.contextmanager
def outside(kind: str) -> Iterator[Internet]:
    """The internet as bottles of this runtime see it."""
    on = network() if kind == "docker" else contextlib.nullcontext(("", "127.0.0.1"))
    with on as (name, gateway), internet(gateway, name) as made:
        yield made


Internets = Callable[[str], Internet]


@contextlib.contextmanager
def internets() -> Iterator[Internets]:
    """The internet of each runtime, made when it is first asked for."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda kind: stack.enter_context(outside(kind)))


def bundle(folder: Path, net: Internet, edit: Edit = lambda config: None) -> Bundle:
    """The profile's bundle, whose egress asks the name server of the tests and takes `INTERNET` for public."""
    path = folder / "attacks.toml"
    path.write_text(PROFILE.replace("NAMES_PORT", str(net.upstream.port)))
    built = build(load_profile(str(path)), load_pins())
    config = json.loads(built.data(CONFIG))
    asked = {"socket_address": {"protocol": "UDP", "address": net.gateway, "port_value": net.names.port}}
    for cache in dns_caches(config):
        cache["typed_dns_resolver_config"]["typed_config"]["resolvers"] = [asked]
        cache["dns_min_refresh_rate"] = "1s"
        ranges = cache["resolved_address_filter"]["ranges"]
        ranges[:] = [entry for entry in ranges if entry["address_prefix"] != "198.51.100.0"]
    edit(config)
    return with_file(built, CONFIG, json.dumps(config).encode())


def dns_caches(config: Any) -> Iterator[dict[str, Any]]:
    """Every resolver of an egress config: in its filters and in its clusters."""
    for key, value in config.items() if isinstance(config, dict) else enumerate(config):
        if key == "dns_cache_config":
            yield value
        elif isinstance(value, dict | list):
            yield from dns_caches(value)


def with_file(whole: Bundle, path: str, data: bytes) -> Bundle:
    files = [file for name, file in whole.files.items() if name != "manifest.json"]
    changed = [RenderedFile(path=path, data=data, mode=file.mode) if file.path == path else file for file in files]
    return assemble(whole.manifest.model_dump(mode="json"), changed)


@dataclass
class Scene:
    """A running bottle with its internet, without which nothing can arrive anywhere."""

    bottle: Bottle
    net: Internet | None
    kind: str
    folder: Path
    work: Path
    before: Mapping[str, str]


@contextlib.contextmanager
def scene(
    kind: str, folder: Path, net: Internet, edit: Edit = lambda config: None, change: Change = lambda spec: spec
) -> Iterator[Scene]:
    """A bottle on a repository, with the credentials of its routes, removed afterwards."""
    folder.mkdir(exist_ok=True)
    work = make_folder(folder / "work")
    make_repository(work)
    furnish(work)
    spec = LaunchSpec(
        bottle=f"attacks-{os.getpid()}", session="attacks", bundle=bundle(folder, net, edit),
        command=("sleep", "600"), tty=False, interactive=False, workspace=work, home=None, base_image=LOCAL_BASE,
        outside_network=net.network, terminal_env=(), protected=(work / "profiles", work / "bundles"),
        static_hosts=tuple(sorted(net.hosts().items())),
    )  # fmt: skip
    spec = change(spec)
    with make_runtime(kind, folder / "state") as runtime:
        try:
            start(spec, runtime, host(folder, net), make_progress())
            runtime.release_agent(spec.bottle)
            made = Bottle(spec=spec, runtime=runtime)
            yield Scene(bottle=made, net=net, kind=kind, folder=folder, work=work, before=fingerprint(work))
        finally:
            runtime.remove(spec.bottle)


def fingerprint(work: Path) -> dict[str, str]:
    """What git on this host would run or read, and what was reviewed, by path."""
    tops = [work / part for part in ("profiles", "bundles")]
    tops += [
        git / part for git in (work / ".git", work / ".git/modules/lib") for part in ("hooks", "config", "commondir")
    ]
    files = [path for top in tops for path in (top, *top.rglob("*")) if path.is_symlink() or path.is_file()]
    return {
        str(path.relative_to(work)): str(path.readlink())
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def furnish(work: Path) -> None:
    """What a project has that an agent must not change, of the same owner as the rest."""
    for name in ("profiles/dev.toml", "bundles/dev/routes.json"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("as it was\n")
    info = work.stat()
    if os.geteuid() == 0:
        for path in (each for top in ("profiles", "bundles") for each in (work / top, *(work / top).rglob("*"))):
            os.chown(path, info.st_uid, info.st_gid)


def host(folder: Path, net: Internet) -> Host:
    (folder / "ca.pem").write_bytes(net.trusted.certificate)
    upstream = {"ca_file": str(folder / "ca.pem"), "hosts": net.hosts()}
    env = {"TOKEN_A": TOKEN_A, "TOKEN_B": TOKEN_B, "XDG_CACHE_HOME": str(folder / "cache"), "PATH": os.environ["PATH"]}
    return Host(env=env, home=folder, config=HostConfig.model_validate({"upstream": upstream}))
