"""Limits as control groups: what is written where, in either version; the kernel's files are plain ones here."""

import os
from pathlib import Path

import pytest

from bottlegen.manifest import Limits
from runtime.bubblewrap import cgroup

_LIMITS = Limits(memory=1 << 30, cpus=1.5, pids=100)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroup, "_ROOT", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def _written(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_version_two_is_one_group_below_one_that_hands_its_controllers_down(root: Path) -> None:
    (root / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert cgroup.possible()
    groups = cgroup.paths("b-s-agent")
    assert groups == [str(root / "bottlegen" / "b-s-agent")]
    cgroup.make(groups, _LIMITS)
    assert _written(root) == {
        "cgroup.controllers": "cpuset cpu io memory pids\n",
        "cgroup.subtree_control": "+memory +pids +cpu",
        "bottlegen/cgroup.subtree_control": "+memory +pids +cpu",
        "bottlegen/b-s-agent/memory.max": "1073741824",
        "bottlegen/b-s-agent/memory.swap.max": "0",
        "bottlegen/b-s-agent/pids.max": "100",
        "bottlegen/b-s-agent/cpu.max": "150000 100000",
    }


def test_version_one_is_a_group_for_each_controller(root: Path) -> None:
    for name in ("memory", "pids", "cpu"):
        (root / name).mkdir()
    assert cgroup.possible()
    cgroup.make(cgroup.paths("x"), _LIMITS)
    assert _written(root) == {
        "memory/bottlegen/x/memory.limit_in_bytes": "1073741824",
        "memory/bottlegen/x/memory.memsw.limit_in_bytes": "1073741824",
        "memory/bottlegen/x/memory.swappiness": "0",
        "pids/bottlegen/x/pids.max": "100",
        "cpu/bottlegen/x/cpu.cfs_period_us": "100000",
        "cpu/bottlegen/x/cpu.cfs_quota_us": "150000",
    }


def test_where_there_are_none_or_not_all_or_not_for_this_user(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not cgroup.possible()
    (root / "cgroup.controllers").write_text("cpu memory\n")
    assert not cgroup.possible()
    (root / "cgroup.controllers").write_text("cpu memory pids\n")
    assert cgroup.possible()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert not cgroup.possible()
