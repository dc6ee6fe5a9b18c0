"""The real engine where nothing is booted: it reads our Smolfiles, records our machines, finds and forgets them."""

import json
import os
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("smol", reason="smolmachines has no wheel for this platform")

import smol
from smol import transport

from bottlegen.errors import RuntimeFailure
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime.base import LaunchSpec
from runtime.smolmachines import engine, machine

ROOT = Path(__file__).parents[2]
BUNDLES = sorted((ROOT / "bundles").iterdir())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of its own for the engine, which unpacks its small system there at its first use."""
    made = tmp_path_factory.mktemp("engine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(made))
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "SMOLVM_DATA_DIR"):
            patch.delenv(name, raising=False)
        yield made


@pytest.fixture(autouse=True)
def _in_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def cli(*argv: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(engine.cli()), *argv], capture_output=True, text=True, check=False, cwd=cwd)


def record(name: str) -> dict[str, Any]:
    found = json.loads(cli("machine", "ls", "--json").stdout)
    return next(each for each in found if each["name"] == name)


def test_the_wheel_has_its_command_line_of_the_same_version() -> None:
    assert engine.cli_version() == engine.version() == smol.__version__
    assert engine.version().startswith(engine.SERIES)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_a_bundles_smolfile_is_one(bundle: Path, tmp_path: Path) -> None:
    name = f"file-{bundle.name}"
    made = cli("machine", "create", "--name", name, "-s", str(bundle / "Smolfile"), cwd=tmp_path)
    try:
        assert made.returncode == 0, made.stderr
        found = record(name)
        assert (found["allowed_cidrs"], found["allowed_hosts"]) == (["198.51.100.1/32"], ["=host.smolvm.internal"])
        assert found["cmd"] == json.loads((bundle / "manifest.json").read_text())["services"]["agent"]["command"]
        assert (found["cpus"], found["memory_mib"], found["mounts"], found["image"]) == (2, 4096, 1, None)
    finally:
        engine.delete(name)


@pytest.mark.parametrize("line", ['egress = "127.0.0.1:1"', 'name = "x"', "cpus = 'two'"])
def test_a_smolfile_with_a_flaw_is_none(line: str, tmp_path: Path) -> None:
    """The check above would pass anything if the engine did."""
    text = f"{line}\n" + (BUNDLES[0] / "Smolfile").read_text().replace(
        "cpus = 2\n", "" if "cpus" in line else "cpus = 2\n"
    )
    (tmp_path / "Smolfile").write_text(text)
    made = cli("machine", "create", "--name", "flawed", "-s", "Smolfile", cwd=tmp_path)
    engine.delete("flawed")
    assert made.returncode != 0


@pytest.fixture
def config(tmp_path: Path) -> smol.MachineConfig:
    for name in ("root", "given", "work"):
        (tmp_path / name).mkdir()
    profile = load_profile(str(ROOT / "profiles" / "shell.toml"))
    spec = LaunchSpec(
        bottle="recorded", session="s1", bundle=build(profile, load_pins()), command=(), tty=False, interactive=False,
        workspace=tmp_path / "work", home=None, base_image="", outside_network="", terminal_env=(),
    )  # fmt: skip
    binding = machine.Binding(port=9, token="ab" * 32)
    return machine.config(
        spec, image=str(tmp_path / "root"), programs=None, given=tmp_path / "given", binding=binding, created="now"
    )


def recorded(config: smol.MachineConfig) -> None:
    """The first half of what the SDK does in `Machine.create`; the second half boots."""
    name = config.name
    assert name
    transport.LocalTransport(
        transport._load_native().Machine(transport._native_config(name, config)), cleanup_on_exit=False
    )


def test_a_bottles_machine_is_recorded_as_meant_and_found_by_its_labels(config: smol.MachineConfig, home: Path) -> None:
    recorded(config)
    try:
        found = record("bottlegen-recorded")
        assert (found["allowed_cidrs"], found["allowed_hosts"]) == (["198.51.100.1/32"], ["=host.smolvm.internal"])
        assert (found["detached"], found["ephemeral"], found["mounts"]) == (True, False, 2)
        assert found["cmd"] == config.command
        assert [each.name for each in engine.machines(machine.selects("recorded", "s1"))] == ["bottlegen-recorded"]
        assert engine.machines(machine.selects("recorded", "another")) == ()
        assert engine.denials("bottlegen-recorded") == []
        assert not _holds(home, b"ab" * 32)
    finally:
        for _ in range(2):
            engine.delete("bottlegen-recorded")
    assert engine.machines(machine.selects()) == ()


def _holds(folder: Path, needle: bytes) -> bool:
    files = (
        path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and "rootfs" not in path.parts
    )
    return any(needle in path.read_bytes() for path in files if path.stat().st_size < 1 << 24)


@pytest.mark.parametrize(
    ("mounts", "words"),
    [
        ([("/etc", "/x")], "protected system path"),
        ([("/usr/share", "/x")], "protected system path"),
        ([(__file__, "/x")], "must be a directory"),
    ],
)
def test_what_we_refuse_before_the_engine_refuses(config: smol.MachineConfig, mounts: Any, words: str) -> None:
    """If it stopped, or refused more, machine.unmountable would say what is not so."""
    changed = replace(config, mounts=[smol.MountSpec(source=source, target=target) for source, target in mounts])
    with pytest.raises(Exception, match=words):
        recorded(changed)
    engine.delete("bottlegen-recorded")


@pytest.mark.parametrize("address", ["localhost:9", "192.0.2.1:9", "127.0.0.1:0"])
def test_an_interceptor_anywhere_else_is_refused_before_a_boot(config: smol.MachineConfig, address: str) -> None:
    binding = smol.EgressInterceptor(address=address, token="ab" * 32)
    with pytest.raises(RuntimeFailure, match="cannot start the machine 'bottlegen-recorded'"):
        engine.create(replace(config, egress_interceptor=binding))
    assert engine.machines(machine.selects()) == ()
    assert "SMOLVM_KRUN_LOG_LEVEL" not in os.environ


def test_smolfiles_and_machines_say_the_same(config: smol.MachineConfig) -> None:
    resources = config.resources
    assert resources
    network = tomllib.loads((ROOT / "bundles" / "shell" / "Smolfile").read_text())["network"]
    assert network["allow_cidrs"] == resources.allow_cidrs
    assert [engine.exactly(name) for name in network["allow_host_patterns"]] == resources.allow_hosts
