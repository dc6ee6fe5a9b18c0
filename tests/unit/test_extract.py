"""Of an archive only the named regular files come out, under the names that the manifest gives them."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from bottlegen.errors import RuntimeFailure
from bottlegen.plan import Layout
from runtime.extract import members


def _tar(path: Path, *entries: tuple[str, int, bytes | str]) -> Path:
    """Text instead of bytes makes a symbolic link to it."""
    with tarfile.open(path, "w:gz") as tar:
        for name, mode, content in entries:
            info = tarfile.TarInfo(name)
            info.mode = mode
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def _zip(path: Path, *entries: tuple[str, int, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, mode, content in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return path


def _read(archive: Path, wanted: dict[str, str], layout: Layout = "plain") -> list[tuple[str, bool, bytes]]:
    found = []
    for member in members(archive, wanted, layout):
        data = member.stream.read()
        assert len(data) == member.size
        found.append((member.path, member.executable, data))
    return found


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_named_files_and_folders(tmp_path: Path, kind: str) -> None:
    entries = (
        ("p/tool", 0o100755, b"T"),
        ("p/lib/a", 0o100644, b"A"),
        ("p/lib/b/c", 0o100755, b"C"),
        ("p/other", 0o100644, b"O"),
    )
    archive = _tar(tmp_path / "a.tgz", *entries) if kind == "tar" else _zip(tmp_path / "a.whl", *entries)
    assert _read(archive, {"p/tool": "agent/bin/tool", "p/lib/": "agent/lib"}) == [
        ("agent/bin/tool", True, b"T"),
        ("agent/lib/a", False, b"A"),
        ("agent/lib/b/c", True, b"C"),
    ]


def test_a_wheel_is_what_is_imported_and_what_is_run(tmp_path: Path) -> None:
    archive = _zip(
        tmp_path / "p-1-py3-none-any.whl",
        ("p/a.py", 0o100644, b"A"),
        ("p-1.data/purelib/p/b.py", 0o100644, b"B"),
        ("p-1.data/platlib/p/c.so", 0o100755, b"C"),
        ("p-1.data/scripts/tool", 0o100755, b"T"),
        ("p-1.data/headers/p.h", 0o100644, b"H"),
        ("p-1.dist-info/RECORD", 0o100644, b"R"),
    )
    assert _read(archive, {"lib/": "site"}, "wheel") == [
        ("site/p/a.py", False, b"A"),
        ("site/p/b.py", False, b"B"),
        ("site/p/c.so", True, b"C"),
        ("site/p-1.dist-info/RECORD", False, b"R"),
    ]
    assert _read(archive, {"scripts/tool": "bin/tool"}, "wheel") == [("bin/tool", True, b"T")]


def test_a_wheel_that_leads_outside_is_refused(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "p-1-py3-none-any.whl", ("p-1.data/purelib/../../x", 0o100644, b"X"))
    with pytest.raises(RuntimeFailure, match="points outside"):
        _read(archive, {"lib/": "site"}, "wheel")


def test_files_that_are_compressed_one_by_one(tmp_path: Path) -> None:
    program, script = b"\x7fELF program", b"#!/bin/sh\n"
    archive = _zip(
        tmp_path / "m.zip",
        ("m/bin/tool.gz", 0, gzip.compress(program)),
        ("m/bin/plain", 0, script),
        ("m/lib/a.py", 0, b"A"),
        ("other/b.gz", 0, b"no gzip, and not asked for"),
    )
    assert _read(archive, {"m/bin/tool": "bin/tool", "m/bin/plain": "bin/plain", "m/lib/": "lib"}, "gzipped") == [
        ("bin/tool", True, program),
        ("bin/plain", True, script),
        ("lib/a.py", False, b"A"),
    ]
    with pytest.raises(RuntimeFailure, match="cannot unpack"):
        _read(archive, {"other/": "x"}, "gzipped")


def test_a_setuid_bit_does_not_come_along(tmp_path: Path) -> None:
    (member,) = _read(_tar(tmp_path / "a.tgz", ("p/tool", 0o104755, b"T")), {"p/tool": "t"})
    assert member == ("t", True, b"T")


@pytest.mark.parametrize("name", ["p/lib/../../x", "p/lib//x/../../y"])
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RuntimeFailure, match="points outside"):
        _read(_tar(tmp_path / "a.tgz", (name, 0o644, b"x")), {"p/lib/": "lib"})


@pytest.mark.parametrize("wanted", [{"p/tool": "t"}, {"p/": "t"}])
def test_a_link_is_refused(tmp_path: Path, wanted: dict[str, str]) -> None:
    with pytest.raises(RuntimeFailure, match=r"'p/tool' in 'a\.tgz' is no regular file"):
        _read(_tar(tmp_path / "a.tgz", ("p/tool", 0o777, "/etc/passwd")), wanted)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match="no regular file"):
        _read(_zip(tmp_path / "a.whl", ("p/tool", 0o120777, b"/etc/passwd")), {"p/tool": "t"})


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match=r"'a\.tgz' does not contain 'p/tool'"):
        _read(_tar(tmp_path / "a.tgz", ("p/other", 0o644, b"x")), {"p/tool": "t"})


@pytest.mark.parametrize("data", [b"", b"no archive", b"\x1f\x8b\x08\x00broken"])
def test_what_is_no_archive_is_an_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(data)
    with pytest.raises(RuntimeFailure, match=f"cannot unpack '{path}'"):
        _read(path, {"p/tool": "t"})
