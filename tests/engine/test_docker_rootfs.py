"""What this engine saves is an archive that can be an agent's root: a tree of its own making, with layers above it."""

import io
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.docker.rootfs_tar import archive
from runtime.layers import unpack
from tests.unit.archives import layer


@pytest.fixture
def image(api: Any, tmp_path: Path) -> Iterator[str]:
    """Layers on a small tree: a file replaced, a folder and a program added."""
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    for name in ("kept", "replaced", "data/old"):
        (root / name).write_text(name)
    name = f"bottlegen-test:{uuid.uuid4().hex[:8]}"
    base = f"{name}-base"
    context = layer(
        ("Dockerfile", f"FROM {base}\nCOPY replaced /replaced\nCOPY data /new\nCOPY tool /bin/\n".encode()),
        ("replaced", b"new"), ("data/a", b"a"), ("tool!", b"#!tool"),
    )  # fmt: skip
    api.import_image_from_data(b"".join(archive(root)), repository="bottlegen-test", tag=base.partition(":")[2])
    try:
        lines = list(api.build(fileobj=io.BytesIO(context), custom_context=True, tag=name, rm=True, decode=True))
        assert not any("error" in line for line in lines), lines
        yield name
    finally:
        for made in (name, base):
            api.remove_image(made, force=True)


def test_a_saved_image_becomes_the_tree_that_it_is(image: str, api: Any, tmp_path: Path) -> None:
    saved = tmp_path / "image.tar"
    with saved.open("wb") as file:
        for chunk in api.get_image(image):
            file.write(chunk)
    unpack(saved, tmp_path / "made", "linux/amd64", tmp_path)
    found = {
        path.relative_to(tmp_path / "made").as_posix(): path.read_text()
        for path in (tmp_path / "made").rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    names = {"etc/hosts": "", "etc/hostname": "", "etc/resolv.conf": ""}
    assert found.pop("etc/nsswitch.conf").startswith("passwd: files\n")
    assert found == names | {
        "kept": "kept", "replaced": "new", "data/old": "data/old", "new/a": "a", "bin/tool": "#!tool",
    }  # fmt: skip
    assert (tmp_path / "made" / "bin" / "tool").stat().st_mode & 0o777 == 0o755
