"""The agent image that Docker's bottle has, saved for microVMs: once, whole, and of a form that their engine takes."""

import json
import tarfile
from pathlib import Path

import pytest

from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime.base import LaunchSpec
from runtime.progress import make_progress
from runtime.smolmachines.image import Images
from tests.engine.bottle import CACHE, ENV, LOCAL_BASE, PROFILES

pytestmark = pytest.mark.engine


def test_the_image_is_saved_once_and_the_engine_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smol = pytest.importorskip("smol", reason="smolmachines has no wheel for this platform")
    from runtime.smolmachines import engine

    (tmp_path / "artifacts").symlink_to(CACHE / "artifacts")
    images = Images(env=ENV, cache=tmp_path, ca_file=None, rootfs="")
    spec = LaunchSpec(
        bottle="b", session="s", bundle=build(load_profile(str(PROFILES / "shell.toml")), load_pins()), command=(),
        tty=False, interactive=False, workspace=None, home=None, base_image=LOCAL_BASE, outside_network="",
        terminal_env=(),
    )  # fmt: skip
    assert images.problems(spec.bundle.manifest) == []
    root = images.have(spec, make_progress())
    assert not root.bare
    before = Path(root.image).stat()
    assert images.have(spec, make_progress()) == root
    assert Path(root.image).stat() == before
    assert [path.name for path in Path(root.image).parent.iterdir()] == [Path(root.image).name]
    with tarfile.open(root.image) as archive:
        listed = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type] # a plain file
    assert listed[0]["RepoTags"][0].startswith("bottlegen/agent:")

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    from smol import transport

    name = "bottlegen-saved"
    config = smol.MachineConfig(name=name, image=root.image, command=["sleep", "1"], persistent=True)
    transport.LocalTransport(
        transport._load_native().Machine(transport._native_config(name, config)), cleanup_on_exit=False
    )
    (found,) = smol.Machine.list(engine.LOCAL)
    assert found.image.startswith("local:")
    engine.delete(name)
