"""What the agent cannot reach, each probe beside a control that reaches it: same script, same image, ordinary network.

The listeners are on this host, also on addresses that are added to its loopback for the test: a cloud's metadata
address, and documentation addresses (RFC 5737) that stand for the internet. A packet that left would be answered here.
"""

import contextlib
import ipaddress
import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.addresses import here, need_root
from tests.engine.bottle import Bottle, BottleMaker
from tests.engine.listeners import ANSWER, PROBES, ports

METADATA = "169.254.169.254"
INTERNET = ("198.51.100.53", "203.0.113.9")
ADDED = (METADATA, *INTERNET)
Probe = tuple[str, str, str]


@dataclass
class Listeners:
    """TCP and UDP on every address of this host, and a name server on port 53 of the stand-ins."""

    tcp: str
    udp: str
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def listeners() -> Iterator[Listeners]:
    need_root()
    with here(*ADDED), ports() as (tcp, udp), contextlib.ExitStack() as stack:
        found = Listeners(tcp=tcp, udp=udp)
        for address in INTERNET:
            server = stack.enter_context(_bound(address))
            threading.Thread(target=_resolve, args=(server, found.asked), daemon=True).start()
        yield found


def _bound(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 53))
    return sock


def _resolve(server: socket.socket, asked: list[str]) -> None:
    """Answers every A query with 192.0.2.77 and remembers the names."""
    while True:
        try:
            query, peer = server.recvfrom(512)
        except OSError:
            return
        end = query.index(b"\0", 12)
        labels, at = [], 12
        while at < end:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        asked.append(".".join(labels).lower())
        question = query[12 : end + 5]
        is_a = question[-4:-2] == b"\0\1"
        record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton("192.0.2.77") if is_a else b""
        server.sendto(query[:2] + struct.pack("!5H", 0x8180, 1, int(is_a), 0, 0) + question + record, peer)


@dataclass
class Control:
    """A container of the agent's image with the agent's restrictions, on an ordinary network of its own."""

    container: str
    gateway: str
    gateway6: str
    api: Any

    def probe(self, probes: list[Probe]) -> dict[str, str]:
        return _probe(self.api, self.container, probes)


@pytest.fixture(scope="module")
def control(api: Any, agent_image: str) -> Iterator[Control]:
    from docker.types import IPAMConfig, IPAMPool

    name = f"test-{os.getpid()}-control"
    prefix = f"fd00:{os.getpid() & 0xFFFF:x}:b0::"
    pools = IPAMConfig(pool_configs=[IPAMPool(subnet=f"{prefix}/64", gateway=f"{prefix}1")])
    api.create_network(name, enable_ipv6=True, ipam=pools)
    host = api.create_host_config(
        network_mode=name, cap_drop=["ALL"], security_opt=["no-new-privileges"], dns=[INTERNET[0]], read_only=True
    )
    container = api.create_container(
        agent_image, ["sleep", "600"], name=name, user="1234:1234", entrypoint=[""], host_config=host
    )["Id"]
    try:
        api.start(container)
        network = api.inspect_container(container)["NetworkSettings"]["Networks"][name]
        yield Control(container=container, gateway=network["Gateway"], gateway6=network["IPv6Gateway"], api=api)
    finally:
        api.remove_container(container, force=True)
        api.remove_network(name)


@pytest.fixture(scope="module")
def agent_image(api: Any, bundle: Any) -> str:
    """The tag of the agent's image, which the first bottle has built."""
    from runtime.base import LaunchSpec
    from runtime.progress import make_progress
    from tests.engine.bottle import LOCAL_BASE, make_runtime

    spec = LaunchSpec(
        bottle="none", session="none", bundle=bundle, command=(), tty=False, interactive=False, workspace=None,
        home=None, base_image=LOCAL_BASE, outside_network="", terminal_env=(),
    )  # fmt: skip
    with make_runtime() as runtime:
        runtime.prepare(spec, make_progress())
        return runtime.image("agent")


def _probe(api: Any, container: str, probes: list[Probe]) -> dict[str, str]:
    made = api.exec_create(container, ["python3", "-c", PROBES, json.dumps(probes)])
    output = api.exec_start(made["Id"]).decode()
    results: dict[str, str] = json.loads(output.splitlines()[-1])
    assert len(results) == len(probes)
    return results


def _from(bottle: Bottle, probes: list[Probe]) -> dict[str, str]:
    return _probe(bottle.api, bottle.container(), probes)


def _reached(results: dict[str, str]) -> set[str]:
    return {probe for probe, result in results.items() if result == ANSWER}


def _host_addresses() -> list[str]:
    """Every IPv4 address of this host, its docker bridges among them, loopback left out."""
    listed = json.loads(subprocess.run(["ip", "-json", "-4", "address"], check=True, capture_output=True).stdout)
    found = [info["local"] for link in listed for info in link.get("addr_info", ())]
    return sorted({address for address in found if not ipaddress.ip_address(address).is_loopback})


def _gateways(bottle: Bottle) -> list[str]:
    networks = bottle.inspect()["NetworkSettings"]["Networks"].values()
    subnets = [ipaddress.ip_interface(f"{net['IPAddress']}/{net['IPPrefixLen']}").network for net in networks]
    return [str(next(subnet.hosts())) for subnet in subnets]


def test_no_address_of_the_host_is_reached(bottle: Bottle, control: Control, listeners: Listeners) -> None:
    """eth0, docker0, the gateways of other networks, metadata and stand-ins for the internet; TCP, UDP and ICMP."""
    addresses = _host_addresses()
    assert METADATA in addresses
    assert control.gateway in addresses
    probes = [
        probe
        for address in addresses
        for probe in (("tcp", address, listeners.tcp), ("udp", address, listeners.udp), ("icmp", address, ""))
    ]
    from_control = _reached(control.probe(probes))
    # Other tests' bridges come and go; what the control must reach are the fixed ones.
    for address in (control.gateway, *ADDED):
        assert {f"tcp {address} {listeners.tcp}", f"udp {address} {listeners.udp}", f"icmp {address} "} <= from_control
    assert _reached(_from(bottle, probes)) == set()


def test_nobody_is_at_the_gateway_of_the_inside_network(
    bottle: Bottle, control: Control, listeners: Listeners, api: Any, agent_image: str
) -> None:
    gateways = _gateways(bottle)
    assert gateways
    probes = [("tcp", gateway, listeners.tcp) for gateway in gateways] + [("icmp", gateway, "") for gateway in gateways]
    assert _reached(_from(bottle, probes)) == set()
    # The control: an internal network without the option, where the host does answer. That is why the option is there.
    name = f"test-{os.getpid()}-plain-internal"
    api.create_network(name, internal=True)
    host = api.create_host_config(network_mode=name, cap_drop=["ALL"])
    container = api.create_container(agent_image, ["sleep", "60"], entrypoint=[""], user="1234", host_config=host)["Id"]
    try:
        api.start(container)
        gateway = api.inspect_network(name)["IPAM"]["Config"][0]["Gateway"]
        assert _reached(_probe(api, container, [("tcp", gateway, listeners.tcp)])) == {f"tcp {gateway} {listeners.tcp}"}
    finally:
        api.remove_container(container, force=True)
        api.remove_network(name)


def test_no_ipv6(bottle: Bottle, control: Control, listeners: Listeners) -> None:
    probes: list[Probe] = [("tcp", control.gateway6, listeners.tcp), ("udp", control.gateway6, listeners.udp)]
    assert len(_reached(control.probe(probes))) == 2
    assert _reached(_from(bottle, probes)) == set()
    # No address at all, so none to the bridge's link-local one either.
    for service in ("agent", "egress"):
        _, table = bottle.run("cat", "/proc/net/if_inet6", service=service)
        assert [line for line in table.splitlines() if not line.endswith(" lo")] == []
    _, table = _exec(control, "cat", "/proc/net/if_inet6")
    assert "eth0" in table


def _exec(control: Control, *argv: str) -> tuple[int, str]:
    made = control.api.exec_create(control.container, list(argv))
    return 0, control.api.exec_start(made["Id"]).decode()


def test_no_name_leaves_the_bottle(bottle: Bottle, control: Control, listeners: Listeners) -> None:
    """Neither through the engine's resolver, which forwarded before CVE-2024-29018, nor past it."""
    inside = f"agent-{os.getpid()}.probe.test"
    outside = f"control-{os.getpid()}.probe.test"
    probes = [("name", inside, ""), *(("dns", server, inside) for server in (*INTERNET, "127.0.0.11"))]
    assert _reached(_from(bottle, probes)) == set()
    wanted = [(kind, *(part.replace("agent-", "control-") for part in rest)) for kind, *rest in probes]
    assert len(_reached(control.probe(wanted))) == len(probes)  # type: ignore[arg-type]
    assert outside in listeners.asked
    assert inside not in listeners.asked


def test_a_dead_name_fails_soon(bottle: Bottle) -> None:
    _, output = bottle.run("sh", "-c", "date +%s%N; getent hosts nowhere.test; date +%s%N")
    begun, ended = map(int, output.split())
    assert ended - begun < 4_000_000_000


def test_routes_resolve_to_the_egress_and_its_listeners_answer(bottle: Bottle) -> None:
    egress = bottle.address("egress")
    assert bottle.run("getent", "hosts", "egress")[1].split()[0] == egress
    assert bottle.run("getent", "hosts", "api.github.com")[1].split()[0] == egress
    for port in ("3128", "443"):
        probe = f"import socket; socket.create_connection(('{egress}', {port}), 3); print('open')"
        assert bottle.run("python3", "-c", probe) == (0, "open\n")


def test_only_the_listeners_of_the_egress_are_open_to_the_agent(bottle: Bottle) -> None:
    scan = (
        "import socket,sys\n"
        "for port in (*range(1, 1024), 3128, 8080, 9901, 10000, 15000):\n"
        "    s = socket.socket(); s.settimeout(0.5)\n"
        "    if s.connect_ex(('egress', port)) == 0: print(port)\n"
        "    s.close()\n"
    )
    assert bottle.run("python3", "-c", scan)[1].split() == ["443", "3128"]


def test_another_bottle_is_not_reached(make_bottle: BottleMaker) -> None:
    """Neither its agent nor its egress; the control is a process of that bottle itself."""
    first, second = make_bottle(), make_bottle()
    serve = (
        "import socket; s = socket.create_server(('0.0.0.0', 7000))\n"
        f"while True: c, _ = s.accept(); c.sendall(b'{ANSWER}'); c.close()"
    )
    made = second.api.exec_create(second.container(), ["python3", "-c", serve])
    second.api.exec_start(made["Id"], detach=True)
    agent, egress = second.address(), second.address("egress")
    check = f"import socket; print(socket.create_connection(('{egress}', 3128), 3).fileno() > 0)"
    assert second.run("python3", "-c", check) == (0, "True\n")
    outside = next(
        net["IPAddress"]
        for name, net in second.inspect("egress")["NetworkSettings"]["Networks"].items()
        if "-outside" in name
    )
    probes: list[Probe] = [("tcp", agent, "7000"), ("icmp", agent, ""), ("icmp", egress, ""), ("icmp", outside, "")]
    assert {"tcp " + agent + " 7000", f"icmp {agent} ", f"icmp {egress} "} <= _reached(_from(second, probes))
    assert _reached(_from(first, probes)) == set()
    assert first.run("python3", "-c", check)[0] != 0


def test_the_egress_does_not_forward(bottle: Bottle, control: Control, listeners: Listeners) -> None:
    """Packets sent through it as a router go nowhere; it is no router for who could set a route."""
    assert bottle.run("cat", "/proc/sys/net/ipv4/ip_forward", service="egress") == (0, "0\n")
    status, output = bottle.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward", service="egress")
    assert status != 0
    assert "Read-only" in output or "denied" in output
    probes: list[Probe] = [("tcp", address, listeners.tcp) for address in INTERNET]
    # The control for its own way out: the sidecar can leave, the agent cannot.
    reach = f"exec 3<>/dev/tcp/{INTERNET[0]}/{listeners.tcp}; head -c 12 <&3"
    assert bottle.run("bash", "-c", reach, service="egress") == (0, ANSWER)
    assert len(_reached(control.probe(probes))) == 2
    assert _reached(_from(bottle, probes)) == set()


def test_no_socket_of_the_engine(bottle: Bottle) -> None:
    _, found = bottle.run("sh", "-c", "find / -type s -not -path '/proc/*' 2> /dev/null")
    assert found == ""
    make = "import socket; socket.socket(socket.AF_UNIX).bind('/tmp/s')"  # the control
    assert bottle.run("python3", "-c", make) == (0, "")
    assert bottle.run("sh", "-c", "find / -type s -not -path '/proc/*' 2> /dev/null")[1] == "/tmp/s\n"
    assert bottle.run("test", "-e", "/var/run/docker.sock")[0] == 1
