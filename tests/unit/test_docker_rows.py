"""What an engine tells of a container beside its request: what no request of the tests' own can bring about."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from runtime.docker import inspection
from runtime.docker.inspection import Expected
from runtime.docker.known_fields import COVERED

Told = dict[str, Any]
REQUEST: Told = {
    "Image": "bottle:x", "Cmd": ["sh"], "Tty": False, "OpenStdin": False, "Hostname": "agent", "Entrypoint": ["/entry"],
    "WorkingDir": "", "User": "1000:1000", "Env": ["HOME=/home/agent"], "Labels": {"bottle": "b"},
    "HostConfig": {
        "Mounts": [
            {"Target": "/workspace", "Type": "bind", "Source": "/w", "ReadOnly": False},
            {"Target": "/scratch", "Type": "volume", "Source": None},
        ],
        "SecurityOpt": ["no-new-privileges:true"],
    },
}  # fmt: skip
IMAGE: Told = {"Id": "sha256:one", "RootFS": {"Layers": ["base", "own"]}, "Config": {"WorkingDir": "/workspace"}}
EXPECTED = Expected(
    service="agent", request=REQUEST, image=IMAGE, base_layers=("base",), networks=frozenset({"b-inside"}),
    address=("b-inside", "10.9.8.7"), default_runtime="runc",
)  # fmt: skip
FOUND: Told = {
    "Image": "sha256:one",
    "State": {"Running": True, "Status": "running"},
    "Config": {
        "Image": "bottle:x", "Cmd": ["sh"], "Tty": False, "OpenStdin": False, "Hostname": "agent",
        "Entrypoint": ["/entry"], "WorkingDir": "/workspace", "User": "1000:1000", "Env": ["HOME=/home/agent"],
        "Labels": {"bottle": "b"},
    },
    "HostConfig": {
        "Mounts": REQUEST["HostConfig"]["Mounts"], "SecurityOpt": ["no-new-privileges:true"], "Runtime": "runc",
        **{name: sorted(paths) for name, paths in COVERED.items()},
    },
    "Mounts": [
        {"Destination": "/workspace", "Type": "bind", "Source": "/w", "RW": True},
        {"Destination": "/scratch", "Type": "volume", "Source": "/var/lib/docker/volumes/1/_data", "RW": True},
    ],
    "NetworkSettings": {"Networks": {"b-inside": {"IPAddress": "10.9.8.7", "GlobalIPv6Address": ""}}},
}  # fmt: skip


def _at(*keys: str | int, to: Any) -> Callable[[Told], None]:
    def change(found: Any) -> None:
        for key in keys[:-1]:
            found = found[key]
        found[keys[-1]] = to

    return change


_INSIDE = ("NetworkSettings", "Networks", "b-inside")


def _red(found: Told) -> set[str]:
    return {row.check for row in inspection.container(EXPECTED, found) if row.state != "equal"}


def test_what_was_asked_for_is_green() -> None:
    assert _red(FOUND) == set()


@pytest.mark.parametrize(
    ("row", "change"),
    [
        ("isolation", _at("HostConfig", "MaskedPaths", to=[])),
        ("isolation", _at("HostConfig", "ReadonlyPaths", to=None)),
        ("isolation", _at("HostConfig", "Runtime", to="another")),
        ("isolation", _at("HostConfig", "SecurityOpt", to=["no-new-privileges:true", "apparmor=unconfined"])),
        ("networks", _at(*_INSIDE, "IPAddress", to="10.9.8.8")),
        ("networks", _at(*_INSIDE, "GlobalIPv6Address", to="fd00::7")),
        ("command", _at("Config", "Healthcheck", to={"Test": ["CMD", "true"]})),
        ("mounts", _at("Mounts", 0, "Source", to="/etc")),
        ("mounts", _at("Mounts", 1, "RW", to=False)),
        ("image", _at("Image", to="sha256:two")),
        ("image", _at("Config", "Image", to="another:x")),
        ("running", _at("State", "Running", to=False)),
        ("running", _at("State", "Restarting", to=True)),
    ],
)
def test_what_was_not_is_red_in_its_own_row(row: str, change: Callable[[Told], None]) -> None:
    found = copy.deepcopy(FOUND)
    change(found)
    assert _red(found) == {row}


def test_where_the_engine_keeps_a_volume_is_its_own_business() -> None:
    found = copy.deepcopy(FOUND)
    found["Mounts"][1]["Source"] = "/elsewhere"
    assert _red(found) == set()
