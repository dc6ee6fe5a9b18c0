"""Where a machine's root comes from, and what is said where there is none."""

import re
from types import SimpleNamespace

import pytest

from bottlegen.errors import RuntimeFailure
from runtime.docker import engine
from runtime.smolmachines.image import Images

MANIFEST = SimpleNamespace(rootfs=None)


@pytest.fixture
def images(tmp_path, monkeypatch):
    def none(env):
        raise RuntimeFailure("no docker engine answers", fix="start it")

    monkeypatch.setattr(engine, "connect", none)

    def make(rootfs=""):
        return Images(env={}, cache=tmp_path / "cache", ca_file=None, rootfs=rootfs)

    return make


def test_without_an_engine_and_without_a_root_both_ways_are_named(images):
    (found,) = images().problems(MANIFEST)
    assert "there is none: no docker engine answers" in found.what
    assert "[smolmachines] rootfs in host.toml" in found.fix
    assert "or start a docker engine" in found.fix


@pytest.mark.parametrize(
    ("name", "fine"), [("root", True), ("image.tar", True), ("image.tgz", True), ("x.zip", False), ("", False)]
)
def test_a_root_is_a_folder_or_an_archive(images, tmp_path, name, fine):
    (tmp_path / "root").mkdir()
    for file in ("image.tar", "image.tgz", "x.zip"):
        (tmp_path / file).touch()
    found = images(str(tmp_path / (name or "missing"))).problems(MANIFEST)
    assert (found == []) is fine
    assert all(problem.where.field == "smolmachines.rootfs" for problem in found)


def root_at(path):
    for name in ("bin/sh", "usr/bin/python3"):
        (path / name).parent.mkdir(parents=True)
        (path / name).symlink_to("/nix/store/elsewhere")


@pytest.mark.parametrize(("missing", "words"), [("bin/sh", "no /bin/sh$"), ("usr/bin/python3", "no python3$")])
def test_a_root_that_starts_nothing_is_refused(images, tmp_path, missing, words):
    root_at(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(RuntimeFailure) as failure:
        images(str(tmp_path)).have(SimpleNamespace(rootfs=None), None)
    assert re.search(words, failure.value.problems[0].what)


def test_a_named_root_has_no_agent_in_it(images, tmp_path):
    root_at(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    found = images(str(tmp_path / "link")).have(SimpleNamespace(rootfs=None), None)
    assert (found.image, found.bare) == (str(tmp_path), True)


def test_a_bundles_own_root_comes_first(images, tmp_path):
    assert images().problems(SimpleNamespace(rootfs=object())) == []
    root_at(tmp_path / "verified")
    found = images(str(tmp_path)).have(SimpleNamespace(rootfs=tmp_path / "verified"), None)
    assert (found.image, found.bare) == (str(tmp_path / "verified"), True)
