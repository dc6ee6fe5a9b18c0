"""What engines of every API version from 1.41 to 1.55 tell of a healthy bottle is green; what opens a wall is red; what
nobody here knows yet is told, and stops no start.

The answers are made as the engines make them, from api/types/container and daemon/create.go of
https://github.com/moby/moby at v20.10.24, v24.0.0, v28.5.2 and docker-v29.7.2: every field without `omitempty` at its
zero value, then the request, then what daemon/daemon_unix.go and daemon/create_unix.go fill in.
"""

import copy
from collections.abc import Mapping
from typing import Any

import docker
import pytest

from runtime.docker import inspection
from runtime.docker.inspection import Expected

_ZERO = {
    "Binds": None, "ContainerIDFile": "", "AutoRemove": False, "VolumeDriver": "", "VolumesFrom": None, "CapAdd": None,
    "ConsoleSize": [0, 0], "GroupAdd": None, "Cgroup": "", "Links": None, "OomScoreAdj": 0, "PidMode": "",
    "PortBindings": None, "Privileged": False, "PublishAllPorts": False, "UTSMode": "", "UsernsMode": "",
    "Isolation": "", "CpuShares": 0, "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": None,
    "BlkioDeviceReadBps": None, "BlkioDeviceWriteBps": None, "BlkioDeviceReadIOps": None, "BlkioDeviceWriteIOps": None,
    "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "",
    "Devices": None, "DeviceCgroupRules": None, "DeviceRequests": None, "MemoryReservation": 0,
    "MemorySwappiness": None, "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0,
}  # fmt: skip
_MASKED = [
    "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
]  # fmt: skip
_READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_NEWER_MASKED = ["/proc/interrupts", "/sys/devices/virtual/powercap", "/sys/devices/system/cpu/cpu0/thermal_throttle"]
_IMAGE_ID = "sha256:" + "5" * 64
_VERSIONS = ("1.41", "1.43", "1.51", "1.55")


def _number(version: str) -> int:
    return int(version.partition(".")[2])


def _request(version: str) -> dict[str, Any]:
    """As the agent's, from the SDK: it speaks the engine's own version, and nobody is asked."""
    api = docker.APIClient(base_url="unix:///nonexistent", version=version)
    from docker.types import LogConfig, Mount, Ulimit

    host = api.create_host_config(
        read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges:true"], init=True,
        tmpfs={"/tmp": "rw,nosuid,nodev"},
        mem_limit=1 << 30, memswap_limit=1 << 30, nano_cpus=10**9, pids_limit=512, shm_size=64 << 20,
        ulimits=[Ulimit(name="core", soft=0, hard=0)], log_config=LogConfig(type="json-file", config={"max-file": "2"}),
        restart_policy={"Name": "no"}, network_mode="inside", dns=["127.0.0.1"], dns_opt=["timeout:1"],
        dns_search=["."], extra_hosts={"egress": "192.0.2.1"}, sysctls={"net.ipv4.tcp_syn_retries": "2"},
        mounts=[
            Mount(target="/workspace", source="/srv/work", type="bind", read_only=False),
            Mount(target="/workspace/.git/config", source="/srv/work/.git/config", type="bind", read_only=True),
            Mount(target="/var/lib/scratch", source=None, type="volume", labels={"bottlegen.bottle": "dev"}),
        ],
    )  # fmt: skip
    made = api.create_container_config(
        "bottlegen/agent:1", ["sleep", "1"], hostname="dev", user="1000:1000", environment={"HOME": "/home/agent"},
        labels={"bottlegen.bottle": "dev"}, host_config=host, stdin_open=True,
    )  # fmt: skip
    return dict(made)


def _image(version: str) -> dict[str, Any]:
    """Without an entrypoint and a folder to work in: 1.52 leaves out what is not set."""
    config: dict[str, Any] = {"Env": ["PATH=/bin"], "Labels": {"bottlegen.service": "agent"}, "User": "65534:65534"}
    if _number(version) < 52:
        config |= {"Cmd": None, "Entrypoint": None, "WorkingDir": "", "OnBuild": None, "Volumes": None}
    return {"Id": _IMAGE_ID, "Config": config, "RootFS": {"Type": "layers", "Layers": ["sha256:a", "sha256:b"]}}


def _told(version: str, request: Mapping[str, Any]) -> dict[str, Any]:
    number, host = _number(version), copy.deepcopy(dict(request["HostConfig"]))
    masked = [*_MASKED, *(_NEWER_MASKED if number >= 51 else ())]
    host = _ZERO | ({"KernelMemory": 0, "KernelMemoryTCP": 0} if number < 52 else {}) | host | {
        "IpcMode": "private", "CgroupnsMode": "private" if number > 41 else "host", "Runtime": "runc",
        "OomKillDisable": None if number > 41 else False, "MaskedPaths": masked, "ReadonlyPaths": _READ_ONLY,
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "Ulimits": [{"Name": "core", "Hard": 0, "Soft": 0}],
    }  # fmt: skip
    config = {
        "Domainname": "", "AttachStdin": False, "AttachStdout": True, "AttachStderr": True, "StdinOnce": False,
        "Volumes": None, "OnBuild": None, **{name: value for name, value in request.items() if name != "HostConfig"},
        "Env": [*request["Env"], "PATH=/bin"], "Entrypoint": None, "WorkingDir": "",
        "Labels": {"bottlegen.service": "agent", **request["Labels"]},
    }  # fmt: skip
    endpoint = {"IPAddress": "192.0.2.7", "GlobalIPv6Address": "", "MacAddress": "", "DNSNames": ["dev"], "Links": None}
    ports = {"Bridge": "", "LinkLocalIPv6Address": "", "IPAddress": ""} if number < 52 else {}
    mounts = [
        {"Type": "bind", "Source": "/srv/work", "Destination": "/workspace", "Mode": "", "RW": True},
        {
            "Type": "bind", "Source": "/srv/work/.git/config", "Destination": "/workspace/.git/config", "Mode": "",
            "RW": False, "Propagation": "rprivate",
        },
        {
            "Type": "volume", "Name": "f" * 64, "Source": "/var/lib/docker/volumes/f/_data", "Driver": "local",
            "Destination": "/var/lib/scratch", "Mode": "z", "RW": True, "Propagation": "",
        },
    ]  # fmt: skip
    found = {
        "Image": _IMAGE_ID, "Config": config, "HostConfig": host, "Mounts": mounts,
        "State": {"Status": "running", "Running": True, "Paused": False, "Restarting": False},
        "NetworkSettings": {**ports, "SandboxID": "1", "Ports": {}, "Networks": {"inside": endpoint}},
    }  # fmt: skip
    if number >= 48:
        found["ImageManifestDescriptor"] = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1}
    return found


def _expected(version: str) -> Expected:
    return Expected(
        service="agent", request=_request(version), image=_image(version), base_layers=("sha256:a",),
        networks=frozenset({"inside"}), address=None, default_runtime="runc",
    )  # fmt: skip


def _red(version: str, **host: Any) -> dict[str, tuple[str, bool]]:
    expected = _expected(version)
    found = _told(version, expected.request)
    found["HostConfig"] |= host
    return {
        each.check: (each.state, each.stops) for each in inspection.container(expected, found) if each.state != "equal"
    }


@pytest.mark.parametrize("version", _VERSIONS)
def test_a_healthy_container_is_green_on_each_engine(version: str) -> None:
    assert _red(version) == {}


@pytest.mark.parametrize("version", _VERSIONS)
@pytest.mark.parametrize(
    ("row", "name", "value"),
    [
        ("isolation", "Annotations", {"org.systemd.property.DeviceAllow": "['/dev/sda rw']"}),
        ("isolation", "CgroupnsMode", "container:other"),
        ("isolation", "IpcMode", "host"),
        ("isolation", "PidMode", "host"),
        ("isolation", "UTSMode", "host"),
        ("isolation", "Runtime", "unconfined"),
        ("isolation", "CgroupParent", "/"),
        ("isolation", "StorageOpt", {"size": "1T"}),
        ("isolation", "DeviceRequests", [{"Driver": "cdi", "Count": 0, "DeviceIDs": ["vendor.com/gpu=all"]}]),
        ("isolation", "MaskedPaths", []),
        ("isolation", "MaskedPaths", [path for path in _MASKED if path != "/proc/kcore"]),
        ("isolation", "ReadonlyPaths", ["/proc/bus"]),
        ("limits", "OomKillDisable", True),
        ("limits", "Ulimits", [{"Name": "core", "Hard": -1, "Soft": -1}]),
        ("limits", "Ulimits", [{"Name": "core", "Hard": 0, "Soft": 0}, {"Name": "rtprio", "Hard": 99, "Soft": 99}]),
        ("capabilities", "Capabilities", ["CAP_SYS_ADMIN"]),
        ("user", "UsernsMode", "host"),
        ("mounts", "Mounts", [{"Type": "bind", "Source": "/srv/work", "Target": "/workspace", "BindOptions": {
            "ReadOnlyNonRecursive": True}}]),
        ("networks", "PublishAllPorts", True),
    ],
)  # fmt: skip
def test_a_known_field_that_says_something_else_is_red(version: str, row: str, name: str, value: Any) -> None:
    assert _red(version, **{name: value}) == {row: ("differs", True)}


def test_limits_that_an_engine_gives_every_container_are_no_difference() -> None:
    """As Amazon Linux configures its engine: --default-ulimit nofile=32768:65536."""
    given = [{"Name": "core", "Hard": 0, "Soft": 0}, {"Name": "nofile", "Hard": 65536, "Soft": 32768}]
    assert _red("1.51", Ulimits=given) == {}


@pytest.mark.parametrize("value", [True, 1, "host", ["x"], {"a": "b"}])
def test_a_field_of_a_later_engine_is_told_and_stops_no_start(value: Any) -> None:
    assert _red("1.55", HostAccess=value) == {"newer fields": ("unknown", False)}
    expected = _expected("1.55")
    found = _told("1.55", expected.request)
    found["Config"]["Sidecar"] = value
    (only,) = (each for each in inspection.container(expected, found) if each.state != "equal")
    assert only.found.startswith("Config.'Sidecar' is '")


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, {"a": None}])
def test_a_field_of_a_later_engine_that_says_nothing(value: Any) -> None:
    assert _red("1.55", HostAccess=value) == {}


# --- networks

_NETWORK = {
    "Name": "n", "Id": "1", "Created": "2026-01-01T00:00:00Z", "Scope": "local", "Driver": "bridge", "EnableIPv4": True,
    "EnableIPv6": False, "IPAM": {"Driver": "default"}, "Internal": True, "Attachable": False, "Ingress": False,
    "ConfigFrom": {"Network": ""}, "ConfigOnly": False, "Labels": {"l": "1"}, "Containers": {},
    "Options": {"com.docker.network.bridge.gateway_mode_ipv4": "isolated"},
    "Status": {"IPAM": {"Subnets": {"192.0.2.0/24": {"IPsInUse": 3}}}},
}  # fmt: skip
"""As API 1.52 tells it: api/types/network/inspect.go"""


def _red_of_network(options: Mapping[str, str] = {}, **fields: Any) -> dict[str, tuple[str, bool]]:
    request = {
        "internal": True, "enable_ipv6": False, "driver": "bridge", "labels": {"l": "1"},
        "options": {"com.docker.network.bridge.gateway_mode_ipv4": "isolated"},
    }  # fmt: skip
    found = {**_NETWORK, **fields, "Options": {**_NETWORK["Options"], **options}}  # type: ignore[dict-item]
    rows = inspection.network("n", request, (), found)
    return {each.check: (each.state, each.stops) for each in rows if each.state != "equal"}


@pytest.mark.parametrize(
    ("option", "value", "red"),
    [
        ("com.docker.network.enable_ipv6", "false", {}),
        ("com.docker.network.driver.mtu", "1450", {}),  # an engine with default-network-opts
        ("com.docker.network.bridge.gateway_mode_ipv4", "nat", {"flags": ("differs", True)}),
        ("com.docker.network.bridge.trusted_host_interfaces", "eth0", {"flags": ("differs", True)}),
        ("com.docker.network.container_iface_prefix", "host", {"flags": ("differs", True)}),
        ("com.docker.network.something_new", "1", {"newer fields": ("unknown", False)}),
    ],
)
def test_options_of_a_network(option: str, value: str, red: dict[str, tuple[str, bool]]) -> None:
    assert _red_of_network() == {}
    assert _red_of_network({option: value}) == red


def test_a_field_of_a_network_of_a_later_engine() -> None:
    assert _red_of_network(Bypass=True) == {"newer fields": ("unknown", False)}
    assert _red_of_network(Bypass=False) == {}
    assert _red_of_network(Internal=False) == {"flags": ("differs", True)}
