"""`--runtime auto` takes a microVM where one can boot, and says so; where one is demanded and cannot be, says why."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("smol")

from bottlegen.errors import RuntimeFailure
from runtime import registry
from runtime.docker import engine
from runtime.host import Host, HostConfig
from runtime.smolmachines import preflight
from tests.unit.smolmachines.test_preflight import FINE


@pytest.fixture
def host(tmp_path, monkeypatch):
    def none(env):
        raise RuntimeFailure("no docker engine answers", fix="start it")

    monkeypatch.setattr(engine, "connect", none)
    config = HostConfig.model_validate({"smolmachines": {"rootfs": str(tmp_path)}})
    return Host(env={"XDG_STATE_HOME": str(tmp_path / "state")}, home=tmp_path, config=config)


def manifest(isolation):
    return SimpleNamespace(name="p", runtime="auto", isolation=isolation, rootfs=None)


def chosen(host, isolation, monkeypatch, **change):
    monkeypatch.setattr(preflight, "facts", lambda: replace(FINE, **change))
    return registry.choose("", manifest(isolation), host)


@pytest.mark.parametrize("isolation", ["process", "container", "vm"])
def test_where_one_boots_it_is_taken(host, isolation, monkeypatch, capsys):
    assert chosen(host, isolation, monkeypatch).name == "smolmachines"
    assert capsys.readouterr().err == "runtime: smolmachines (this host boots microVMs)\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kvm": False}, "there is no /dev/kvm"),
        ({"paravirtual": True}, "kvm_pvm"),
        ({"euid": 0}, "a microVM of root's"),
    ],
)
def test_where_none_boots_a_demand_for_one_fails_with_the_reason(host, change, words, monkeypatch):
    with pytest.raises(RuntimeFailure, match=words):
        chosen(host, "vm", monkeypatch, **change)


def test_without_a_root_for_it_none_is_taken(host, monkeypatch):
    bare = replace(host, config=HostConfig(), home=Path("/nonexistent"))
    with pytest.raises(RuntimeFailure, match="needs a root file system"):
        chosen(bare, "vm", monkeypatch)


def test_the_cloud_is_refused(host):
    runtime = registry.make(
        "smolmachines", replace(host, config=HostConfig.model_validate({"smolmachines": {"target": "cloud"}}))
    )
    with pytest.raises(RuntimeFailure, match="do not run in the makers' cloud"):
        runtime.check(SimpleNamespace())  # type: ignore[arg-type] # nothing of it is looked at
