"""The lock as text: one text for one content, a change of one fact is a change of its line, and no broken lock passes.

Each folder of tests/locks is a broken lock with the exact text that its user sees; `python -m tests.unit.test_lock`
writes what is expected: read its diff.
"""

import base64
import difflib
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlegen.errors import LockError
from bottlegen.locate import LOCK_NAME
from bottlegen.lock import (
    INTEGRITY,
    Lock,
    LockedFile,
    LockedImage,
    LockedVersion,
    newness,
    parse,
    render,
    wheel_file,
)
from bottlegen.pins import floating, pinned, shipped_lock
from bottlegen.secret_shapes import literal_kind

CASES = Path(__file__).parents[1] / "locks"
ROOT = Path(__file__).parents[2]

_names = st.sampled_from(["a", "base", "codex", "two-words", "x9"])
_versions = st.sampled_from(["0.9", "0.10.0", "1.0.0", "1.0.0-rc1", "2.0", "10"])


def _sri(size: int) -> st.SearchStrategy[str]:
    """Hashes of `size` bytes."""
    digests = st.binary(min_size=size, max_size=size)
    return digests.map(lambda digest: f"sha{size * 8}-{base64.b64encode(digest).decode()}")


_hashes = st.one_of(_sri(32), _sri(64))
_files = st.builds(
    LockedFile, platform=st.sampled_from(["linux/amd64", "linux/arm64"]),
    origin=st.sampled_from(["npm:@a/b", "npm:b", "pypi:c-d"]), name=st.sampled_from(["a.tgz", "b-1_x.whl", "c+d.tgz"]),
    integrity=_hashes,
)  # fmt: skip


def _wheel(name: str, integrity: str) -> LockedFile:
    made = wheel_file(name, integrity)
    assert made
    return made


_wheels = st.builds(
    _wheel,
    st.sampled_from(["a_b-1-py3-none-any.whl", "c-2-cp312-cp312-manylinux_2_17_x86_64.whl", "d-1.tar.gz"]), _hashes,
)  # fmt: skip


def _several(files: st.SearchStrategy[LockedFile]) -> st.SearchStrategy[tuple[LockedFile, ...]]:
    return st.lists(files, max_size=3, unique_by=lambda file: (file.platform, file.origin)).map(tuple)


_images = st.builds(
    LockedImage, name=_names, reference=st.sampled_from(["debian:12", "ghcr.io/a/b:1"]),
    digest=st.binary(min_size=32, max_size=32).map(lambda digest: f"sha256:{digest.hex()}"),
)  # fmt: skip


@st.composite
def locks(draw: st.DrawFn) -> Lock:
    versions = [
        LockedVersion(
            name=name,
            version=version,
            files=draw(_several(_files)) if (plain := draw(st.booleans())) else (),
            wheels=() if plain else draw(_several(_wheels)),
        )
        for name in draw(st.lists(_names, max_size=3, unique=True))
        for version in draw(st.lists(_versions, min_size=1, max_size=3, unique=True))
    ]
    images = draw(st.lists(_images, max_size=2, unique_by=lambda image: image.name))
    return Lock(images=tuple(images), versions=tuple(versions))


@given(locks(), st.randoms())
def test_what_is_written_is_what_is_read_whatever_its_order(lock: Lock, random) -> None:
    text = render(lock)
    read = parse(LOCK_NAME, text.encode())
    assert render(read) == text
    assert {locked.name: locked.version for locked in reversed(read.versions)} == {
        locked.name: locked.version for locked in reversed(lock.versions)
    }  # the default of each name
    shuffled = list(lock.images)
    random.shuffle(shuffled)
    others = [
        LockedVersion(name=v.name, version=v.version, files=v.files[::-1], wheels=v.wheels[::-1]) for v in lock.versions
    ]
    others.sort(key=lambda locked: random.random())
    first = {locked.name: locked.version for locked in reversed(lock.versions)}
    others.sort(key=lambda locked: locked.version != first[locked.name])
    assert render(Lock(images=tuple(shuffled), versions=tuple(others))) == text


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    lines = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
    return [line[2:] for line in lines if line[0] == "-"], [line[2:] for line in lines if line[0] == "+"]


@given(locks(), st.data())
def test_one_changed_fact_is_one_changed_line(lock: Lock, data: st.DataObject) -> None:
    filed = [locked for locked in lock.versions if locked.files]
    if not filed:
        return
    locked = data.draw(st.sampled_from(filed))
    file = locked.files[0]
    other = data.draw(_hashes.filter(lambda value: value != file.integrity))
    moved = LockedFile(platform=file.platform, origin=file.origin, name=file.name, integrity=other)
    versions = [
        LockedVersion(name=v.name, version=v.version, files=(moved, *v.files[1:])) if v is locked else v
        for v in lock.versions
    ]
    gone, new = changed_lines(render(lock), render(Lock(images=lock.images, versions=tuple(versions))))
    assert (gone, new) == ([f'integrity = "{file.integrity}"'], [f'integrity = "{other}"'])


def test_a_changed_wheel_is_one_changed_line() -> None:
    lock = shipped_lock()
    locked = next(locked for locked in lock.versions if locked.wheels)
    moved = _wheel(locked.wheels[0].name, "sha256-" + "A" * 43 + "=")
    after = lock.with_versions(locked.name, (replace(locked, wheels=(moved, *locked.wheels[1:])),))
    gone, new = changed_lines(render(lock), render(after))
    assert (len(gone), new) == (1, [f'    "{moved.name} {moved.integrity}",'])


def test_a_new_version_of_one_name_touches_no_other() -> None:
    lock = shipped_lock()
    (codex,) = lock.of("codex")
    files = tuple(
        LockedFile(platform=f.platform, origin=f.origin, name=f.name.replace(codex.version, "9.9.9"),
                   integrity="sha512-" + ("A" if f.platform.endswith("64") else "B") * 86 + "==")
        for f in codex.files
    )  # fmt: skip
    after = lock.with_versions("codex", (LockedVersion(name="codex", version="9.9.9", files=files),))
    gone, new = changed_lines(render(lock), render(after))
    assert len(gone) == len(new) == 1 + 2 * len(files)  # the version; a name and a hash for each platform
    assert [line.partition(" ")[0] for line in new] == ["version", "name", "integrity", "name", "integrity"]


def test_the_default_stays_first_and_the_others_have_one_order() -> None:
    def lock(*versions: str) -> Lock:
        return Lock(versions=tuple(LockedVersion(name="a", version=version, files=()) for version in versions))

    assert render(lock("1.9", "1.10", "2.0rc1", "2.0")) == render(lock("1.9", "2.0", "1.10", "2.0rc1"))
    assert re.findall(r'version = "(.*)"', render(lock("1.9", "1.10", "2.0rc1", "2.0"))) == [
        "1.9", "2.0", "2.0rc1", "1.10",
    ]  # fmt: skip
    assert render(lock("1.9", "2.0")) != render(lock("2.0", "1.9"))


def test_versions_are_compared_as_numbers() -> None:
    ordered = ["1.0rc1", "1.0", "1.0.post1", "1.0.1", "1.2", "1.10", "2.0-beta", "2.0"]
    shuffled = sorted(ordered)
    assert shuffled != ordered
    assert sorted(shuffled, key=newness) == ordered


def test_the_committed_lock_is_as_it_is_written_and_holds_nothing_of_a_machine() -> None:
    text = (ROOT / LOCK_NAME).read_text()
    assert render(parse(LOCK_NAME, text.encode())) == text
    recipes = {recipe.filename for recipe in floating().recipes}  # a commit looks like a secret, and is none
    values = [
        value
        for value in re.findall(r'[^" ]+', " ".join(re.findall(r'"([^"]*)"', text)))
        if not (INTEGRITY.fullmatch(value) or wheel_file(value, "")) and value not in recipes
    ]
    assert len(values) > 20
    assert [value for value in values if value.startswith("/") or "://" in value or literal_kind(value)] == []
    assert os.environ.get("USER", "root") not in values
    assert not re.search(r"\b20\d\d-\d\d-\d\d", text)


def test_comments_go_and_the_header_says_so() -> None:
    text = render(shipped_lock())
    assert "keeps no other comment" in text.partition("format =")[0]
    with_comment = text.replace("[image.base]", "# mine\n[image.base]")
    assert render(parse(LOCK_NAME, with_comment.encode())) == text


# --- broken locks


def _error(case: Path) -> LockError:
    with pytest.raises(LockError) as caught:
        pinned(parse(LOCK_NAME, (case / LOCK_NAME).read_bytes()))
    return caught.value


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_exact_text_of_a_broken_lock(case: Path) -> None:
    pins = ", ".join(sorted(set(floating().names) - dict(floating().images).keys()))
    assert f"{_error(case)}\n" == (case / "expected.txt").read_text().replace("EVERY PIN", pins)
    for problem in _error(case).problems:
        assert problem.where
        assert problem.fix
        assert problem.where.line


@given(st.integers(min_value=0))
def test_a_lock_cut_anywhere_is_an_error_or_lacks_what_was_cut(at: int) -> None:
    """What a full disk or a killed editor leaves never passes for the whole."""
    whole = render(shipped_lock()).encode()
    cut = whole[: at % (len(whole) - 1)]
    try:
        left = pinned(parse(LOCK_NAME, cut))
    except LockError:
        return
    all_of_it = pinned(shipped_lock())
    assert set(left.entries) <= set(all_of_it.entries)
    assert set(left.entries) != set(all_of_it.entries)


if __name__ == "__main__":
    for folder in sorted(CASES.iterdir()):
        try:
            pinned(parse(LOCK_NAME, (folder / LOCK_NAME).read_bytes()))
        except LockError as error:
            (folder / "expected.txt").write_text(f"{error}\n")
