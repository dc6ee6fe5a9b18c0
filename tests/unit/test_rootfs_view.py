"""A bottle's own places win over whatever a tree has there, and no link lies on the way to them."""

import io
import tarfile
from pathlib import Path

import pytest

from runtime.docker.rootfs_tar import archive
from runtime.rootfs_view import OWN, Part, parts
from tests.unit.archives import raise_rights


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "real" / "below").mkdir(parents=True)
    (root / "real" / "file").write_text("x")
    (root / "real" / "beside").symlink_to("../other")
    (root / "usr").mkdir()
    (root / "usr" / "link").symlink_to("../../../etc")
    return root


def named(found: list[Part], root: Path) -> dict[str, str]:
    return {
        part.path: part.target or (part.source.relative_to(root).as_posix() if part.source else "/") for part in found
    }


@pytest.mark.parametrize(
    ("own", "link", "expected"),
    [
        ({"/run"}, "", {"/real": "real", "/usr": "usr"}),
        ({"/a/b/c"}, "", {"/a": "/", "/a/b": "/", "/real": "real", "/usr": "usr"}),
        (
            {"/real/below"}, "",
            {"/real": "/", "/real/beside": "../other", "/real/file": "real/file", "/usr": "usr"},
        ),
        (
            {"/etc/x"}, "real",
            {"/etc": "/", "/etc/below": "real/below", "/etc/beside": "/real/../other", "/etc/file": "real/file",
             "/real": "real", "/usr": "usr"},
        ),
        ({"/etc/x"}, "/real/file", {"/etc": "/", "/real": "real", "/usr": "usr"}),
        ({"/etc/x"}, "/etc", {"/etc": "/", "/real": "real", "/usr": "usr"}),
        (
            {"/etc/x"}, "../../../../../../..",
            {"/etc": "/", "/etc/etc": "../../../../../../..", "/etc/real": "real", "/etc/usr": "usr", "/real": "real",
             "/usr": "usr"},
        ),
        ({"/etc"}, "/nowhere", {"/real": "real", "/usr": "usr"}),
        ({"/run"}, "/nowhere", {"/etc": "/nowhere", "/real": "real", "/usr": "usr"}),
    ],
)  # fmt: skip
def test_parts(root: Path, own: set[str], link: str, expected: dict[str, str]) -> None:
    if link:
        (root / "etc").symlink_to(link)
    found = named(list(parts(root, own)), root)
    if link.startswith("../.."):
        expected = expected | {"/etc/etc": "/" + link}
    assert found == expected


def test_the_tar_of_an_image_has_each_name_once_and_no_owner(root: Path) -> None:
    """Engines refuse a name that comes twice."""
    (root / "usr" / "libexec").symlink_to("/real")
    (root / "etc").symlink_to("real")
    (root / "usr" / "run").write_bytes(b"#!" + bytes(1021))
    raise_rights(root / "usr" / "run")
    data = b"".join(archive(root))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
        assert tar.extractfile("usr/run").read() == b"#!" + bytes(1021)  # type: ignore[union-attr]
    by_name = {member.name: member for member in members}
    assert len(by_name) == len(members)
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, 0)}
    assert (by_name["usr/run"].mode, by_name["real/file"].mode) == (0o755, 0o644)
    assert by_name["usr/libexec"].isdir()
    assert by_name["etc/passwd"].linkname == "/run/bottle/passwd"
    assert by_name["etc/ssl/certs/ca-certificates.crt"].linkname == "/run/bottle/ca-bundle.crt"
    assert "etc/ld.so.preload" not in by_name
    for member in members:  # what something lies in is a folder that comes before it
        for parent in list(Path(member.name).parents)[:-1]:
            assert by_name[str(parent)].isdir()
            assert members.index(by_name[str(parent)]) < members.index(member)


def test_a_bottle_s_own_places_are_absolute_and_plain() -> None:
    assert all(path.startswith("/") and Path(path).as_posix() == path for path in OWN)
