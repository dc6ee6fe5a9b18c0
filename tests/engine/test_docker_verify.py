"""`verify` on docker: a fresh bottle is green in every row, and each thing broken on purpose turns its own row red.

What a running container cannot be made to have is given to one that is made for it and never started: the engine's own
words about it are compared.
"""

import copy
import ipaddress
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bottlegen.bundle import Bundle
from bottlegen.errors import RuntimeFailure
from runtime import probes, run_record
from runtime.base import Finding, LaunchSpec, MaterialFile, Run
from runtime.docker import DockerRuntime, comparing, inspection, naming
from runtime.host import Host, HostConfig
from runtime.progress import make_progress
from runtime.start import start
from tests.addresses import here, need_root
from tests.engine.bottle import LOCAL_BASE, assert_nothing_left, make_folder, make_repository, make_runtime

PLANTED = "planted-in-the-environment"
HOST = Host(env={}, home=Path("/nonexistent"), config=HostConfig())


@pytest.fixture(scope="module")
def runtime() -> Iterator[DockerRuntime]:
    with make_runtime() as made:
        yield made


@pytest.fixture(scope="module")
def spec(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> LaunchSpec:
    folder = make_folder(tmp_path_factory.mktemp("verify") / "work")
    make_repository(folder)
    return LaunchSpec(
        bottle=f"verify-{os.getpid()}", session="s", bundle=bundle, command=("sleep", "600"), tty=False,
        interactive=False, workspace=folder, home=None, base_image=LOCAL_BASE, outside_network="",
        terminal_env=(("TERM", "dumb"),),
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(spec: LaunchSpec, runtime: DockerRuntime, api: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One bottle for all: whatever is broken is mended again. As a later process knows it: read from its record."""
    try:
        began, _ = start(spec, runtime, HOST, make_progress())
        runtime.release_agent(spec.bottle)
        path = tmp_path_factory.mktemp("record") / "run.json"
        run_record.save(began, path)
        assert path.stat().st_mode & 0o777 == 0o600
        yield run_record.load(path, spec.bundle)
    finally:
        runtime.remove(spec.bottle)
    assert_nothing_left(api, [spec.bottle])


def red(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(each.part, each.check) for each in findings if each.state != "equal"}


def test_a_fresh_bottle_is_green(run: Run, runtime: DockerRuntime) -> None:
    findings = [*runtime.compare(run)]
    assert red(findings) == set()
    assert {each.part for each in findings} == {"agent", "egress", "network bottle", "network outside", "bottle"}
    assert len(findings) > 30


# --- a container that is made with one thing otherwise


def _host(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda request: request["HostConfig"].__setitem__(name, value)


def _config(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda request: request.__setitem__(name, value)


def _with_env(*more: str) -> Callable[[dict[str, Any]], None]:
    def change(request: dict[str, Any]) -> None:
        names = {line.partition("=")[0] for line in more}
        kept = [line for line in request["Env"] if line.partition("=")[0] not in names]
        request["Env"] = kept + [line for line in more if "=" in line]

    return change


def _with_mount(**mount: Any) -> Callable[[dict[str, Any]], None]:
    return lambda request: request["HostConfig"]["Mounts"].append({"Type": "bind", **mount})


def _all_writable(request: dict[str, Any]) -> None:
    for mount in request["HostConfig"]["Mounts"]:
        mount["ReadOnly"] = False


def _label(name: str, value: str) -> Callable[[dict[str, Any]], None]:
    return lambda request: request["Labels"].__setitem__(name, value)


_NO_RIGHTS = "no-new-privileges:true"
BROKEN = [
    ("capabilities", _host("CapAdd", ["NET_ADMIN"])),
    ("capabilities", _host("CapDrop", [])),
    ("no-new-privileges", _host("SecurityOpt", [])),
    ("seccomp", _host("SecurityOpt", [_NO_RIGHTS, "seccomp=unconfined"])),
    ("read-only root", _host("ReadonlyRootfs", False)),
    ("user", _config("User", "0:0")),
    ("user", _host("GroupAdd", ["0"])),
    ("env", _with_env(f"GITHUB_TOKEN={PLANTED}")),
    ("env", _with_env("HTTPS_PROXY=http://192.0.2.9:3128")),
    ("env", _with_env("SSL_CERT_FILE")),
    ("mounts", _with_mount(Source="/etc", Target="/mnt", ReadOnly=True)),
    ("mounts", _all_writable),
    ("mounts", _host("Binds", ["/usr:/mnt:ro"])),
    ("mounts", _host("Tmpfs", {"/tmp": "exec,suid"})),
    ("limits", _host("Memory", 1 << 30)),
    ("limits", _host("PidsLimit", 0)),
    ("limits", _host("NanoCpus", 10**9)),
    ("limits", _host("Ulimits", [])),
    ("networks", _host("Dns", ["192.0.2.53"])),
    ("networks", _host("ExtraHosts", ["egress:192.0.2.9"])),
    ("networks", _host("PortBindings", {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}]})),
    ("isolation", _host("PidMode", "host")),
    ("isolation", _host("IpcMode", "host")),
    (
        "isolation",
        _host("Devices", [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}]),
    ),
    ("isolation", _host("Sysctls", {"net.ipv4.ip_forward": "1"})),
    ("labels", _label(naming.PREFIX + "hash", "sha256-other")),
    ("labels", _label("another", "label")),
    ("command", _config("Cmd", ["sleep", "601"])),
    ("command", _config("Entrypoint", ["/bin/sh", "-c"])),
    ("command", _config("WorkingDir", "/")),
]


@pytest.fixture(scope="module")
def made_otherwise(run: Run, runtime: DockerRuntime, api: Any) -> list[list[Finding]]:
    """The findings of each case: made at once, for the engine takes its time with each."""

    def broken(change: Callable[[dict[str, Any]], None]) -> list[Finding]:
        request, expected = _agent(run, runtime, api)
        change(request)
        with _made(api, request) as told:
            return [*inspection.container(expected, told)]

    with ThreadPoolExecutor(max_workers=6) as pool:
        return [*pool.map(broken, [change for _, change in BROKEN])]


@pytest.mark.parametrize("at", [pytest.param(at, id=f"{each[0]}-{at}") for at, each in enumerate(BROKEN)])
def test_a_container_made_otherwise(at: int, made_otherwise: list[list[Finding]]) -> None:
    # It was not started, which is the control of every case: that row is red, and beside it the one that was broken.
    assert red(made_otherwise[at]) == {("agent", "running"), ("agent", BROKEN[at][0])}
    assert PLANTED not in str(made_otherwise[at])


def _agent(run: Run, runtime: DockerRuntime, api: Any) -> tuple[dict[str, Any], inspection.Expected]:
    from runtime.docker.build import Images

    plans = Images(runtime.engine, runtime._store, {}, None).planned(run.spec)
    request = runtime.requests(run, plans)[naming.AGENT]
    image, base = api.inspect_image(plans[naming.AGENT].tag), api.inspect_image(plans[naming.AGENT].base)
    return copy.deepcopy(dict(request)), comparing.expected(runtime.engine, run, naming.AGENT, request, image, base)


@contextmanager
def _made(api: Any, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    created = api.create_container_from_config(request, name=f"verify-broken-{uuid.uuid4().hex}")["Id"]
    try:
        yield api.inspect_container(created)
    finally:
        api.remove_container(created, force=True)


def test_another_image_behind_the_same_settings(run: Run, runtime: DockerRuntime, api: Any) -> None:
    request, expected = _agent(run, runtime, api)
    with _made(api, copy.deepcopy(request)) as told:
        other = api.commit(told["Id"], repository=f"verify-test-{os.getpid()}")["Id"]
    try:
        with _made(api, request | {"Image": other}) as told:
            assert red([*inspection.container(expected, told)]) == {("agent", "running"), ("agent", "image")}
    finally:
        api.remove_image(other)


def test_an_image_that_does_not_stand_on_its_base(run: Run, runtime: DockerRuntime, api: Any) -> None:
    _, expected = _agent(run, runtime, api)
    told = api.inspect_container(naming.container(run.spec.bottle, naming.AGENT))
    assert red([*inspection.container(expected, told)]) == set()
    other = replace(expected, base_layers=("sha256:another", *expected.base_layers))
    assert red([*inspection.container(other, told)]) == {("agent", "image")}


# --- the running bottle, broken and mended


@contextmanager
def _network(api: Any) -> Iterator[str]:
    name = f"verify-extra-{os.getpid()}"
    api.create_network(name, internal=True)
    try:
        yield name
    finally:
        api.remove_network(name)


def test_one_more_network(run: Run, runtime: DockerRuntime, api: Any) -> None:
    agent = naming.container(run.spec.bottle, naming.AGENT)
    with _network(api) as name:
        api.connect_container_to_network(agent, name)
        try:
            assert red([*runtime.compare(run)]) == {("agent", "networks")}
        finally:
            api.disconnect_container_from_network(agent, name)
    assert red([*runtime.compare(run)]) == set()


def test_a_stranger_on_the_agents_network(run: Run, runtime: DockerRuntime, api: Any) -> None:
    inside = naming.network(run.spec.bottle, run.spec.session, "inside")
    host = api.create_host_config(network_mode=inside)
    stranger = api.create_container(LOCAL_BASE, ["sleep", "60"], host_config=host)["Id"]
    try:
        api.start(stranger)
        assert red([*runtime.compare(run)]) == {("network bottle", "attached")}
    finally:
        api.remove_container(stranger, force=True)


def test_a_limit_that_was_lifted(run: Run, runtime: DockerRuntime, api: Any) -> None:
    agent = naming.container(run.spec.bottle, naming.AGENT)
    had = api.inspect_container(agent)["HostConfig"]["Memory"]
    for bytes_ in (had * 2, had):
        api.update_container(agent, mem_limit=bytes_, memswap_limit=bytes_)
        assert red([*runtime.compare(run)]) == ({("agent", "limits")} if bytes_ != had else set())


def test_another_config_in_the_sidecar(run: Run, runtime: DockerRuntime) -> None:
    config = run.settings["egress"][-1]
    other = MaterialFile(path=config.path, mode=config.mode, data=config.data.replace(b"403", b"200"))
    assert other.data != config.data
    for file, rows in ((other, {("egress", "config")}), (config, set())):
        runtime.place(run.spec.bottle, "egress", [file])
        assert red([*runtime.compare(run)]) == rows


def test_a_sidecar_that_stands_still(run: Run, runtime: DockerRuntime, api: Any) -> None:
    egress = naming.container(run.spec.bottle, "egress")
    api.pause(egress)
    try:
        # Nothing can be asked of it either.
        assert red([*runtime.compare(run)]) == {("egress", "running"), ("egress", "config")}
    finally:
        api.unpause(egress)


def test_a_container_under_the_bottles_label(run: Run, runtime: DockerRuntime, api: Any) -> None:
    made = api.create_container(LOCAL_BASE, ["true"], labels={naming.BOTTLE: run.spec.bottle})["Id"]
    try:
        assert red([*runtime.compare(run)]) == {("bottle", "parts")}
    finally:
        api.remove_container(made)


@pytest.mark.parametrize(
    ("flag", "value"),
    [("internal", False), ("options", {}), ("enable_ipv6", True), ("driver", "macvlan"), ("labels", {})],
)
def test_a_network_that_is_made_otherwise(flag: str, value: Any, run: Run, runtime: DockerRuntime, api: Any) -> None:
    """Beside what the engine says of the true one: networks cannot be changed."""
    from runtime.docker import networks

    request = networks.request(runtime.engine, run.spec, networks.names(run.spec)["bottle"], internal=True)
    told = api.inspect_network(request["name"])
    on_it = [naming.container(run.spec.bottle, service) for service in ("agent", "egress")]
    assert red([*inspection.network("n", request, on_it, told)]) == set()
    changed = [*inspection.network("n", request | {flag: value}, on_it, told)]
    assert red(changed) == {("n", "labels" if flag == "labels" else "flags")}


def test_up_undoes_a_bottle_that_is_not_what_it_should_be(
    spec: LaunchSpec, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine, or whoever else uses it, that adds a network while the bottle comes up."""
    mine = replace(spec, bottle=f"{spec.bottle}-up", workspace=None)
    with _network(api) as name, make_runtime() as runtime:
        create_agent = runtime.create_agent

        def and_more(*args: Any) -> None:
            create_agent(*args)
            api.connect_container_to_network(naming.container(mine.bottle, naming.AGENT), name)

        monkeypatch.setattr(runtime, "create_agent", and_more)
        with pytest.raises(RuntimeFailure, match=f"agent, networks: is on '{name}' too"):
            start(mine, runtime, HOST, make_progress())
    assert_nothing_left(api, [mine.bottle])


# --- probes


@pytest.fixture
def elsewhere_is_here() -> Iterator[None]:
    """Every address that a probe names is this host's own for the test, so that nothing leaves it even where a wall
    has fallen."""
    need_root()
    with here(*probes.OUTSIDE, probes.METADATA[0]):
        yield


def test_probes_of_a_shut_bottle_and_of_one_with_the_host_in_it(
    run: Run, runtime: DockerRuntime, api: Any, elsewhere_is_here: None
) -> None:
    """The broken wall is the bridge's: the engine does not know that it has got an address of this host. Nor does it
    know that git replaced a protected file on the host, with which the kernel takes the mount away. Not mended."""
    addresses = ("172.17.0.1", *probes.METADATA[:1])
    inside = api.inspect_network(naming.network(run.spec.bottle, run.spec.session, "inside"))
    gateway = inside["IPAM"]["Config"][0]["Gateway"]
    prefix = ipaddress.ip_network(inside["IPAM"]["Config"][0]["Subnet"]).prefixlen
    shut = probes.probe(run, runtime, addresses=addresses)
    assert red(shut) == set(), shut
    assert run.spec.workspace
    config = run.spec.workspace / ".git" / "config"
    new = config.with_name("config.new")
    shutil.copy(config, new)
    new.replace(config)
    link = f"br-{inside['Id'][:12]}"
    subprocess.run(["ip", "address", "add", f"{gateway}/{prefix}", "dev", link], check=True)
    try:
        assert red([*runtime.compare(run)]) == set()  # which is why there are probes
        opened = probes.probe(run, runtime, addresses=addresses)
    finally:
        subprocess.run(["ip", "address", "del", f"{gateway}/{prefix}", "dev", link], check=True)
    rows = {"tcp outside", "udp outside", "icmp outside", "dns", "metadata", "host", "read-only"}
    # Bottles of other tests, if there are any now, lie behind the same host.
    assert {row for _, row in red(opened)} - {"other bottles"} == rows, opened
