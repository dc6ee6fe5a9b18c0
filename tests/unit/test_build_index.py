"""The index saves time and nothing else: whatever changed is seen, and an index that lies in pieces is an empty one."""

import json
import os
from pathlib import Path

import pytest

from runtime import build_index
from runtime.build import build_bundles
from runtime.build_index import BuildIndex

BASE = '[agent_provider]\ntemplate = "shell"\n'


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A profile and its base, built, with the index learnt; no waiting for file times to age."""
    monkeypatch.setattr(build_index, "_RACY_NS", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    profiles = tmp_path / "project" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "base.toml").write_text(BASE)
    (profiles / "dev.toml").write_text('extends = ["base.toml"]\n')
    monkeypatch.chdir(profiles.parent)
    build("dev")
    return profiles.parent


def build(name: str, *, check: bool = False) -> int:
    return build_bundles(name, check=check, out="", as_json=False, cwd=Path.cwd())


def known(project: Path) -> str:
    index = BuildIndex.of(project / "bundles", os.environ)
    return index.known(project / "profiles" / "dev.toml", project / "bundles" / "dev")


def index_file(project: Path) -> Path:
    return next((project.parent / "cache").rglob("*.json"))


def test_knows_what_it_learnt(project, capsys):
    capsys.readouterr()
    build("dev")
    assert capsys.readouterr().out.split() == ["unchanged", "bundles/dev", known(project)]


def same_size(path: Path) -> None:
    """Another content of the same size, with the old times put back."""
    info = path.stat()
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"#")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "profiles/dev.toml").write_text('extends = ["base.toml"]\n\n'),
        lambda root: (root / "profiles/base.toml").write_text(BASE + "\n"),
        lambda root: (root / "profiles/base.toml").unlink(),
        lambda root: same_size(root / "bundles/dev/routes.json"),
        lambda root: (root / "bundles/dev/routes.json").chmod(0o755),
        lambda root: (root / "bundles/dev/routes.json").unlink(),
        lambda root: (root / "bundles/dev/more").write_text(""),
        lambda root: (root / "bundles/dev/images/agent/more").write_text(""),
        lambda root: (root / "bundles/dev").rename(root / "bundles/other"),
    ],
)
def test_sees_what_changed(project, change):
    assert known(project)
    change(project)
    assert not known(project)


def test_other_code_made_other_bundles(project, monkeypatch):
    monkeypatch.setattr(build_index, "code_digest", lambda: "other")
    assert not known(project)


def test_what_was_written_just_now_is_not_trusted(project, monkeypatch):
    monkeypatch.setattr(build_index, "_RACY_NS", 3600 * 10**9)
    (project / "bundles/dev/routes.json").unlink()
    build("dev")
    assert not known(project)


@pytest.mark.parametrize("damage", [b"", b"\xff", b"[]", b"{}", b'{"code": 1}', b"[" * 100_000])
def test_a_damaged_index_is_an_empty_one(project, damage):
    index_file(project).write_bytes(damage)
    assert not known(project)
    build("dev")
    assert known(project)


@pytest.mark.parametrize("entry", [None, [], {}, {"profile": 1}])
def test_a_damaged_entry_is_none(project, entry):
    document = json.loads(index_file(project).read_text())
    document["entries"] = dict.fromkeys(document["entries"], entry)
    index_file(project).write_text(json.dumps(document))
    assert not known(project)


def test_an_index_that_cannot_be_written_costs_only_time(project, monkeypatch, capsys):
    (project.parent / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(project.parent / "file"))
    capsys.readouterr()
    assert build("dev") == 0
    assert capsys.readouterr().out.startswith("unchanged")


def test_a_check_never_looks(project, monkeypatch):
    monkeypatch.setattr(BuildIndex, "known", lambda *_: pytest.fail("the index was asked"))
    assert build("dev", check=True) == 0
    with pytest.raises(pytest.fail.Exception):
        build("dev")
