"""A bundle on disk is whole or refused: each way to alter one is caught, and a failed write changes nothing."""

import errno
import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from bottlegen import bundle
from bottlegen.bundle import assemble, differences, read, write
from bottlegen.errors import BundleError
from bottlegen.manifest import AuditSpec, Manifest, WorkspaceSpec
from bottlegen.plan import RenderedFile
from bottlegen.render import canonical_json

EMPTY = Manifest(
    format=2,
    name="dev",
    provider="shell",
    runtime="auto",
    isolation="container",
    home="kept",
    audit=AuditSpec(on_failure="block", queries=False),
    workspace=WorkspaceSpec(mode="bind", source=".", path="/workspace", read_only=[".git/hooks"]),
    services={},
    slots=[],
    home_files=[],
    files=[],
)
DOCUMENT = EMPTY.model_dump(mode="json")
FILES = (
    RenderedFile(path="routes.json", data=b"{}\n", mode=0o600),
    RenderedFile(path="agent/entry", data=b"#!/bin/sh\n", mode=0o755),
    RenderedFile(path="agent/env.json", data=b"{}\n"),
    RenderedFile(path="agent/home/é", data=b"\xff\x00"),
)


@pytest.fixture
def made():
    return assemble(DOCUMENT, FILES)


@pytest.fixture
def place(made, tmp_path):
    write(made, tmp_path / "bundles" / "dev")
    return tmp_path / "bundles" / "dev"


def complaints(place: Path) -> list[str]:
    with pytest.raises(BundleError) as caught:
        read(place)
    return [problem.what for problem in caught.value.problems]


def rewrite_manifest(place: Path, **changes: object) -> None:
    document = json.loads((place / "manifest.json").read_text())
    (place / "manifest.json").write_bytes(canonical_json(document | changes))


# --- what is written is what is read


def test_round_trip(made, place):
    again = read(place)
    assert (again.hash, again.manifest, dict(again.files)) == (made.hash, made.manifest, dict(made.files))


def test_the_order_of_files_does_not_count(made):
    assert assemble(DOCUMENT, reversed(FILES)).hash == made.hash


def test_mode_where_it_is_used_survives_what_git_does_to_modes(made, place):
    (place / "routes.json").chmod(0o664)
    again = read(place)
    assert again.hash == made.hash
    assert again.files["routes.json"].mode == 0o600


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_umask_does_not_count(made, tmp_path, umask):
    before = os.umask(umask)
    try:
        write(made, tmp_path / "dev")
    finally:
        os.umask(before)
    assert read(tmp_path / "dev").hash == made.hash
    assert stat.S_IMODE((tmp_path / "dev" / "agent" / "entry").stat().st_mode) == 0o755


def test_the_hash_is_nowhere_inside(made):
    assert not any(
        made.hash.encode() in file.data or made.short_hash.encode() in file.data for file in made.files.values()
    )


def test_two_files_of_one_path_are_a_bug():
    with pytest.raises(ValueError, match=r"routes\.json"):
        assemble(DOCUMENT, [*FILES, RenderedFile(path="routes.json", data=b"other")])
    with pytest.raises(ValueError, match=r"manifest\.json"):
        assemble(DOCUMENT, [RenderedFile(path="manifest.json", data=b"")])


def test_below_is_a_folder_not_a_prefix():
    made = assemble(DOCUMENT, [RenderedFile(path=path, data=b"") for path in ("a/2", "a/1", "ab/3")])
    assert [file.path for file in made.below("a")] == ["a/1", "a/2"]


# --- reading refuses what differs


def test_altered_byte(place):
    (place / "routes.json").write_bytes(b"[]\n")
    assert complaints(place)[0] == "file 'routes.json' has other bytes than the manifest says"


def test_missing_file(place):
    (place / "routes.json").unlink()
    assert complaints(place)[0] == "file 'routes.json' is missing"


def test_added_file(place):
    (place / "agent" / "more").write_bytes(b"")
    assert complaints(place)[0] == "file 'agent/more' is not listed in the manifest"


def test_added_empty_folder(place):
    (place / "agent" / "void").mkdir()
    assert complaints(place)[0] == "file 'agent/void' is not listed in the manifest"


def test_file_became_a_link_to_equal_bytes(place, tmp_path):
    (place / "routes.json").rename(tmp_path / "elsewhere")
    (place / "routes.json").symlink_to(tmp_path / "elsewhere")
    assert complaints(place)[0] == "file 'routes.json' is not a plain file"


def test_folder_became_a_link_to_equal_files(place, tmp_path):
    (place / "agent").rename(tmp_path / "elsewhere")
    (place / "agent").symlink_to(tmp_path / "elsewhere")
    assert "file 'agent' is not listed in the manifest" in complaints(place)
    assert "file 'agent/entry' is missing" in complaints(place)


def test_file_became_a_pipe(place):
    (place / "routes.json").unlink()
    os.mkfifo(place / "routes.json")
    assert complaints(place)[0] == "file 'routes.json' is not a plain file"


@pytest.mark.parametrize(("path", "mode"), [("agent/entry", 0o644), ("routes.json", 0o744)])
def test_execute_bit(place, path, mode):
    (place / path).chmod(mode)
    assert complaints(place)[0] == f"file '{path}' has another execute bit than the manifest says"


def test_huge_file_is_not_taken_in(place, monkeypatch):
    with (place / "routes.json").open("wb") as stream:
        stream.truncate(bundle.MAX_FILE + 1)
    assert complaints(place)[0] == f"file 'routes.json' cannot be read: larger than {bundle.MAX_FILE} bytes"


def test_countless_files_end_the_walk(place, monkeypatch):
    monkeypatch.setattr(bundle, "_MAX_FILES", 10)
    for folder in range(20):
        (place / "zz" / str(folder)).mkdir(parents=True)
        (place / "zz" / str(folder) / "x").touch()
    assert 5 < len(complaints(place)) < 25


def test_name_that_would_move_the_cursor_is_escaped(place):
    (place / "\x1b[2J").touch()
    (Path(os.fsdecode(bytes(place) + b"/\xff"))).touch()
    told = "\n".join(complaints(place))
    assert "'\\x1b[2J' is not listed" in told
    assert "'\\udcff' is not listed" in told
    assert told.isascii()


def test_all_at_once(place):
    (place / "routes.json").write_bytes(b"[]")
    (place / "agent" / "entry").unlink()
    (place / "more").touch()
    assert complaints(place) == [
        "file 'more' is not listed in the manifest",
        "file 'agent/entry' is missing",
        "file 'routes.json' has other bytes than the manifest says",
        "the bundle is altered",
    ]


def test_no_bundle(tmp_path):
    (tmp_path / "file").touch()
    for nothing in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with pytest.raises(BundleError, match="no bundle at"):
            read(nothing)


# --- the manifest itself


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n\x00\xff",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"format": 1e999}',
        b'{"name": "\\ud800"}',
    ],
    ids=lambda data: repr(data[:12]),
)
def test_broken_manifest(place, data):
    (place / "manifest.json").write_bytes(data)
    assert complaints(place)[0].startswith("unreadable manifest: ")


def test_manifest_of_another_format(place):
    rewrite_manifest(place, format=1)
    assert complaints(place) == ["unreadable manifest: format: Input should be 2, 3 or 4"]


def test_manifest_of_a_higher_format_than_it_needs(place):
    """One bundle has one form, or the same one would have two hashes."""
    rewrite_manifest(place, format=3)
    what = "unreadable manifest: Value error, format 3 is for bundles with a rootfs, and for these alone"
    assert complaints(place) == [what]


def test_manifest_of_a_format_for_archives_that_it_has_not(place):
    rewrite_manifest(place, format=4)
    what = "format 4 is for bundles with archives that are not plain, and for these alone"
    assert complaints(place) == [f"unreadable manifest: Value error, {what}"]


@pytest.fixture
def laid_out(tmp_path: Path) -> Path:
    """A copy of a shipped bundle that has archives that are not plain."""
    every = (Path(__file__).parents[2] / "bundles").iterdir()
    found = next(path for path in sorted(every) if read(path).manifest.format == 4)
    return Path(shutil.copytree(found, tmp_path / "laid-out"))


@pytest.mark.parametrize("number", [2, 3])
def test_manifest_of_a_format_that_cannot_say_how_archives_are(laid_out, number):
    rewrite_manifest(laid_out, format=number)
    assert "unreadable manifest: Value error, format 3 is for bundles with a rootfs" in complaints(laid_out)[0]


def test_manifest_that_says_of_a_plain_archive_that_it_is(laid_out):
    services = json.loads((laid_out / "manifest.json").read_text())["services"]
    services["egress"]["image"]["artifacts"][0]["layout"] = "plain"
    rewrite_manifest(laid_out, services=services)
    assert complaints(laid_out) == ["unreadable manifest: not in canonical form"]


def test_manifest_with_a_field_of_tomorrow(place):
    rewrite_manifest(place, surprise=1)
    assert complaints(place) == ["unreadable manifest: surprise: Extra inputs are not permitted"]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "./a", "a//b", "a/", "", "a\\b", "a\nb", "a\x1b"])
def test_manifest_that_points_outside(place, path):
    rewrite_manifest(place, files=[[path, "644", "0" * 64]])
    assert "not a plain relative path" in complaints(place)[0]


def test_manifest_in_another_spelling(place):
    path = place / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert complaints(place) == ["unreadable manifest: not in canonical form"]


def test_manifest_that_lists_twice_or_unsorted_or_itself(place):
    files = json.loads((place / "manifest.json").read_text())["files"]
    for wrong in ([*files, files[-1]], files[::-1], [*files[:3], ["manifest.json", "644", "0" * 64], *files[3:]]):
        rewrite_manifest(place, files=wrong)
        assert complaints(place) == ["unreadable manifest: its files are not sorted, each once and without itself"]


def test_huge_manifest(place):
    with (place / "manifest.json").open("wb") as stream:
        stream.truncate(bundle.MAX_FILE + 1)
    assert complaints(place) == [f"unreadable manifest: larger than {bundle.MAX_FILE} bytes"]


def test_manifest_that_is_executable_or_a_link(place, tmp_path):
    manifest = place / "manifest.json"
    manifest.chmod(0o755)
    assert complaints(place) == ["unreadable manifest: not a plain file without execute bit"]
    manifest.chmod(0o644)
    manifest.rename(tmp_path / "elsewhere")
    manifest.symlink_to(tmp_path / "elsewhere")
    assert complaints(place) == ["unreadable manifest: not a plain file without execute bit"]


# --- writing


def test_equal_bundle_is_left_alone(made, place):
    before = (place / "routes.json").stat()
    assert write(made, place) is False
    after = (place / "routes.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_another_bundle_is_replaced_whole(place):
    other = assemble(DOCUMENT, [RenderedFile(path="only", data=b"1")])
    assert differences(other, place) == (
        "- agent/entry",
        "- agent/env.json",
        "- agent/home/é",
        "~ manifest.json",
        "+ only",
        "- routes.json",
    )
    assert write(other, place) is True
    assert read(place).hash == other.hash
    assert os.listdir(place.parent) == ["dev"]


@pytest.mark.parametrize("spoil", ["chmod", "link", "folder", "bytes"])
def test_every_difference_is_seen_and_mended(made, place, tmp_path, spoil):
    path = place / "agent" / "entry"
    if spoil == "chmod":
        path.chmod(0o644)
    elif spoil == "bytes":
        path.write_bytes(b"#!/bin/no\n")
    else:
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere") if spoil == "link" else path.mkdir()
    assert differences(made, place) == ("~ agent/entry",)
    assert write(made, place) is True
    assert read(place).hash == made.hash


def test_folder_of_somebody_else_is_refused(made, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="holds something that is no bundle"):
        write(made, tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_what_is_no_directory_is_refused(made, tmp_path, kind):
    place = tmp_path / "dev"
    if kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to(tmp_path if kind == "link" else tmp_path / "none")
    with pytest.raises(BundleError, match="is not a directory"):
        write(made, place)
    assert os.listdir(tmp_path) == ["dev"]


def test_empty_folder_is_taken(made, tmp_path):
    assert write(made, tmp_path) is True
    assert read(tmp_path).hash == made.hash


def full_disk(*args: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_full_disk_leaves_the_old_bundle(made, place, monkeypatch):
    written = []

    def third_fails(path: Path, data: bytes) -> None:
        written.append(path)
        if len(written) == 3:
            full_disk()
        path.touch()

    monkeypatch.setattr(Path, "write_bytes", third_fails)
    with pytest.raises(BundleError, match="No space left on device"):
        write(assemble(DOCUMENT, [*FILES, RenderedFile(path="more", data=b"1")]), place)
    monkeypatch.undo()
    assert len(written) == 3
    assert read(place).hash == made.hash
    assert os.listdir(place.parent) == ["dev"]


def test_failed_rename_brings_the_old_bundle_back(made, place, monkeypatch):
    rename = Path.rename

    def fail_when_partial(path: Path, target: Path) -> Path:
        if ".partial-" in path.name:
            full_disk()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_when_partial)
    with pytest.raises(BundleError, match="No space left on device"):
        write(assemble(DOCUMENT, ()), place)
    assert read(place).hash == made.hash
    assert os.listdir(place.parent) == ["dev"]


def test_somebody_wrote_the_same_in_between(made, tmp_path, monkeypatch):
    place = tmp_path / "dev"
    rename = Path.rename

    def overtaken(path: Path, target: Path) -> Path:
        if ".partial-" in path.name:
            monkeypatch.undo()
            write(made, place)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    assert write(made, place) is True
    assert read(place).hash == made.hash
    assert os.listdir(tmp_path) == ["dev"]


def test_parent_that_cannot_be_made(made, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="cannot write bundle"):
        write(made, tmp_path / "file" / "dev")
