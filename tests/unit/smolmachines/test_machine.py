"""A bottle as the SDK's own types: what is spelled out here is what the engine gets."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("smol")

from bottlegen.manifest import Limits
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime.base import LaunchSpec
from runtime.smolmachines import engine, machine

PROFILES = Path(__file__).parents[3] / "profiles"
GIB = 1 << 30
BINDING = machine.Binding(port=4711, token="ab" * 32)


@pytest.fixture(scope="module")
def spec():
    return LaunchSpec(
        bottle="b", session="s1", bundle=build(load_profile(str(PROFILES / "codex.toml")), load_pins()), command=(),
        tty=False, interactive=False, workspace=Path("/w"), home=Path("/h"), base_image="", outside_network="",
        terminal_env=(),
    )  # fmt: skip


def made(spec, **change):
    values: dict[str, Any] = {
        "image": "/r",
        "programs": Path("/p"),
        "given": Path("/g"),
        "binding": BINDING,
        "created": "now",
    }
    return machine.config(spec, **(values | change))


def test_the_guest_reaches_nothing_but_the_interceptor(spec):
    found = made(spec)
    assert found.egress_interceptor.address == "127.0.0.1:4711"
    assert found.egress_interceptor.token == BINDING.token
    assert found.resources.allow_cidrs == ["198.51.100.1/32"]
    assert found.resources.allow_hosts == ["=host.smolvm.internal"]
    assert (found.network, found.resources.network, found.ports, found.credentials) == (None, None, None, None)
    assert not found.wait_for_ports


def test_it_outlives_its_maker_and_is_found_by_its_labels(spec):
    found = made(spec)
    assert (found.name, found.persistent, found.detach) == ("bottlegen-b", True, True)
    assert machine.selects("b", "s1").items() <= found.labels.items()
    assert found.labels["bottlegen.hash"] == spec.bundle.hash
    assert found.labels["bottlegen.profile"] == "codex"
    assert machine.selects() == {"product": "bottlegen"}


def test_mounts_are_folders_and_say_whether_they_can_be_written(spec):
    found = [(mount.source, mount.target, mount.read_only) for mount in made(spec).mounts]
    assert found == [
        ("/g", "/opt/bottle", True),
        ("/p", "/opt/agent", True),
        ("/w", "/workspace", False),
        ("/h", "/home/agent", False),
    ]
    bare = made(replace(spec, workspace=None, home=None), programs=None)
    assert [mount.target for mount in bare.mounts] == ["/opt/bottle"]


def test_its_first_process_is_ours_and_no_image_s(spec):
    found = made(spec)
    assert found.command[:4] == ["python3", "-I", "-S", "-B"]
    assert (found.user, found.workdir, found.env) == ("0:0", "/", None)


def test_no_secret_is_shown(spec):
    assert BINDING.token not in repr(made(spec)) + repr(BINDING)


@pytest.mark.parametrize(("cpus", "given"), [(1.0, 1), (1.9, 1), (2.0, 2), (10_000.0, None)])
def test_processors_are_never_more_than_the_limit(cpus, given, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert machine.vcpus(Limits(cpus=cpus, memory=GIB, pids=10)) == (given or 4)


@pytest.mark.parametrize(
    ("limits", "fields"),
    [
        ({"cpus": 0.5}, ["resources.cpus"]),
        ({"memory": 255 << 20}, ["resources.memory"]),
        ({"memory": 17 * GIB}, ["resources.memory"]),
        ({"cpus": 0.1, "memory": 1}, ["resources.cpus", "resources.memory"]),
        ({}, []),
    ],
)
def test_limits_that_no_machine_holds_are_refused_by_their_field(limits, fields):
    found = machine.problems("p", Limits(**({"cpus": 1.0, "memory": GIB, "pids": 10} | limits)), 16 * GIB)
    assert [problem.where and problem.where.field for problem in found] == fields


@pytest.mark.parametrize(("folder", "fine"), [("/home/u/p", True), ("/usr/src/p", False), ("/run/user/1/p", False)])
def test_folders_that_the_engine_mounts_nowhere_are_refused(spec, folder, fine):
    found = list(machine.unmountable(replace(spec, workspace=Path(folder), home=None)))
    assert (found == []) is fine


def test_the_cloud_is_never_meant():
    assert engine.LOCAL.target == "local"
