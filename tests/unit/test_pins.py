"""Pins: every agent for every platform, and nothing that the lock does not pin, or pins half."""

from dataclasses import replace

import pytest

from bottlegen import pins
from bottlegen.errors import LockError
from bottlegen.lock import Lock, LockedFile, LockedVersion, parse
from bottlegen.pins import Floating, Recipe, pinned
from bottlegen.pipeline import load_profile, preview
from bottlegen.wheel_set import WheelSet

PLATFORMS = ("linux/amd64", "linux/arm64")
SHA = "sha512-" + "A" * 86 + "=="
RECIPE = Recipe(
    name="a", platform="linux/amd64", source="npm", package="p", filename="p-{version}-x_*.tgz",
    members=(("p-{version}/x", "out/x"),),
)  # fmt: skip
KNOWN = Floating(images=(("base", "base:1"),), recipes=(RECIPE,))


def locked(*versions: str) -> Lock:
    return Lock(
        versions=tuple(
            LockedVersion(
                name="a",
                version=version,
                files=(LockedFile(platform="linux/amd64", origin="npm:p", name=f"p-{version}-x_9.tgz", integrity=SHA),),
            )
            for version in versions
        )
    )


@pytest.mark.parametrize("name", ["codex", "claude", "envoy"])
def test_every_pin_is_there_for_every_platform_and_puts_the_same_files(name: str) -> None:
    artifacts = pins.load().artifacts(name)
    assert tuple(artifact.platform for artifact in artifacts) == PLATFORMS
    assert len({artifact.version for artifact in artifacts}) == 1
    assert len({tuple(sorted(target for _, target in artifact.members)) for artifact in artifacts}) == 1


def test_no_two_downloads_have_one_hash() -> None:
    """But for sources, and for what several programs import."""
    names = {artifact.integrity: artifact.filename for *_, artifact in pins.load().entries}
    files = {artifact.filename for *_, artifact in pins.load().entries}
    assert len(files) == len(names)


def test_the_shipped_lock_pins_all_there_is_to_pin() -> None:
    shipped = pins.load()
    assert {name for name, *_ in (*shipped.images, *shipped.entries)} == set(pins.floating().names)
    assert shipped.base.startswith("debian:bookworm-slim@sha256:")


def test_codex_comes_with_the_helper_that_its_tools_need() -> None:
    for artifact in pins.load().artifacts("codex"):
        assert "agent/bin/codex-code-mode-host" in dict(artifact.members).values()


def test_the_first_version_is_the_default() -> None:
    two = pinned(locked("2.0", "1.0"), KNOWN)
    assert two.versions("a") == ("2.0", "1.0")
    assert [artifact.filename for artifact in two.artifacts("a")] == ["p-2.0-x_9.tgz"]
    (old,) = two.artifacts("a", "1.0")
    assert (old.filename, old.integrity, old.members) == ("p-1.0-x_9.tgz", SHA, (("p-1.0/x", "out/x"),))


def test_what_is_not_pinned_is_refused_with_the_command() -> None:
    with pytest.raises(LockError) as refused:
        pinned(locked("2.0", "1.0"), KNOWN).artifacts("codex")
    assert str(refused.value) == (
        "error: 'codex' is not pinned\n  --> bottlegen.lock\n  fix: bottlegen lock --update codex"
    )
    with pytest.raises(LockError) as refused:
        _ = pinned(Lock(), KNOWN).base
    assert "fix: bottlegen lock --update base" in str(refused.value)
    with pytest.raises(LockError) as refused:
        pins.load().artifacts("b", "3.0")
    assert str(refused.value) == (
        "error: version '3.0' of 'b' is not pinned\n  --> bottlegen.lock\n"
        "  fix: remove the version: there is none to choose"
    )


def test_a_version_of_the_profile_that_is_not_pinned_is_told_at_its_line() -> None:
    text = b'[agent_provider]\ntemplate = "codex"\nversion = "0.170.0"\n'
    profile = load_profile("profiles/dev.toml", lambda _: text)
    with pytest.raises(LockError) as refused:
        preview(profile, pins.load())
    assert refused.value.lacks == ("codex", "0.170.0")
    known = pins.load().versions("codex")[0]
    assert str(refused.value) == (
        "error: version '0.170.0' of 'codex' is not pinned\n  --> profiles/dev.toml:3  agent_provider.version\n"
        f"  fix: bottlegen lock --update codex\n       or use what is pinned: '{known}'"
    )


LOCK = """\
format = 1

[image.base]
reference = "base:1"
digest = "sha256:{digest}"

[[artifact.a]]
version = "1.0"

[[artifact.a.file]]
platform = "linux/amd64"
from = "npm:p"
name = "p-1.0-x_9.tgz"
integrity = "{sha}"
""".format(digest="0" * 64, sha=SHA)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("npm:p", "npm:q", ("error: 'npm:q' is not where 'a' for linux/amd64 comes from\n"
         "  --> bottlegen.lock:12  artifact.a[0].file[0].from\n  fix: bottlegen lock --update a")),
        ("p-1.0-x", "p-1.1-x", ("error: 'p-1.1-x_9.tgz' is no file of version '1.0' of 'npm:p'\n"
         "  --> bottlegen.lock:13  artifact.a[0].file[0].name\n  fix: bottlegen lock --update a")),
        ("base:1", "evil:1", ("error: 'evil:1' is pinned, but this bottlegen builds on 'base:1'\n"
         "  --> bottlegen.lock:4  image.base.reference\n  fix: bottlegen lock --update base")),
        ("linux/amd64", "linux/arm64", ("error: version '1.0' of 'a' is pinned without linux/amd64\n"
         "  --> bottlegen.lock:7  artifact.a[0]\n  fix: bottlegen lock --update a")),
        ("artifact.a", "artifact.aa", ("error: unknown pin 'aa'\n  --> bottlegen.lock:7  artifact.aa[0]\n"
         "  fix: remove its lines; use one of a - did you mean 'a'?")),
        ("image.base", "image.bsae", ("error: unknown image 'bsae'\n  --> bottlegen.lock:3  image.bsae\n"
         "  fix: remove its lines; use one of base - did you mean 'base'?")),
    ],
)  # fmt: skip
def test_a_lock_of_other_things_is_refused_where_it_says_so(before: str, after: str, message: str) -> None:
    assert pinned(parse("bottlegen.lock", LOCK.encode()), KNOWN).images == (("base", f"base:1@sha256:{'0' * 64}"),)
    with pytest.raises(LockError) as refused:
        pinned(parse("bottlegen.lock", LOCK.replace(before, after).encode()), KNOWN)
    assert message in str(refused.value)


WHEELS = WheelSet(name="w", package="W.eb", python="3.12", target="lib", sources=(("so-so", "so"),))
WITH_WHEELS = replace(KNOWN, wheels=(WHEELS,))
SHA256 = "sha256-" + "A" * 43 + "="
WHEEL_LOCK = f"""\
format = 1

[[artifact.w]]
version = "1.0"
wheels = [
    "W_eb-1.0-py3-none-any.whl {SHA256}",
    "b-2-cp312-cp312-manylinux_2_17_x86_64.whl {SHA256}",
    "b-2-cp312-cp312-manylinux_2_17_aarch64.whl {SHA256}",
    "so_so-3.tar.gz {SHA256}",
]
"""


def test_wheels_are_unpacked_as_such_and_a_source_as_its_package() -> None:
    found = pinned(parse("bottlegen.lock", WHEEL_LOCK.encode()), WITH_WHEELS).artifacts("w", "1.0")
    assert [(item.platform, item.package, item.version, item.layout, *item.members) for item in found] == [
        ("any", "w-eb", "1.0", "wheel", ("lib/", "lib")),
        ("linux/amd64", "b", "2", "wheel", ("lib/", "lib")),
        ("linux/arm64", "b", "2", "wheel", ("lib/", "lib")),
        ("any", "so-so", "3", "plain", ("so_so-3/so/", "lib/so")),
    ]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("W_eb-1.0", "W_eb-1.1", "error: version '1.0' of 'w' is pinned without 'W.eb' itself"),
        ("so_so-3", "oh_no-3", "error: 'oh_no-3.tar.gz' would have to be built, and nothing is built here"),
        ("b-2-cp312-cp312-manylinux_2_17_x86", "b-2-cp311-cp311-manylinux_2_17_x86",
         "error: 'b' for cp311 does not run with Python 3.12, which 'w' has"),
    ],
)  # fmt: skip
def test_a_set_of_wheels_that_cannot_run_is_refused(before: str, after: str, message: str) -> None:
    with pytest.raises(LockError) as refused:
        pinned(parse("bottlegen.lock", WHEEL_LOCK.replace(before, after).encode()), WITH_WHEELS)
    assert str(refused.value).startswith(f"{message}\n  --> bottlegen.lock:")
    assert "fix: bottlegen lock --update w" in str(refused.value)


def test_wheels_are_of_no_other_pin() -> None:
    with pytest.raises(LockError, match=r"version '1\.0' of 'a' is pinned without linux/amd64"):
        pinned(parse("bottlegen.lock", WHEEL_LOCK.replace("artifact.w", "artifact.a").encode()), WITH_WHEELS)


def test_a_file_belongs_to_its_recipe_alone() -> None:
    assert RECIPE.version_of("p-1.2.3-x_64.tgz") == "1.2.3"
    assert RECIPE.version_of("p-1.2.3-y_64.tgz") == ""
    assert RECIPE.version_of("p-1.2.3-x_6/4.tgz") == ""
    dotted = replace(RECIPE, filename="p-{version}.tgz")
    assert dotted.names("p-1.0.tgz", "1.0")
    assert not dotted.names("p-110.tgz", "1.0")


def test_a_project_s_own_lock_counts_alone() -> None:
    digest = "f" * 64
    text = f'format = 1\n[image.base]\nreference = "debian:bookworm-slim"\ndigest = "sha256:{digest}"\n'
    own = pins.project("x/bottlegen.lock", lambda _: text.encode())
    assert own.base == f"debian:bookworm-slim@sha256:{digest}"
    with pytest.raises(LockError, match=r"'envoy' is not pinned\n  --> x/bottlegen\.lock"):
        own.artifacts("envoy")


def test_a_project_without_a_lock_has_the_shipped_one() -> None:
    def read(path: str) -> bytes:
        raise FileNotFoundError(path)

    assert pins.project("bottlegen.lock", read) is pins.load()


def test_a_lock_that_cannot_be_read_is_an_error() -> None:
    def read(path: str) -> bytes:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(LockError, match=r"cannot read 'bottlegen\.lock': Permission denied"):
        pins.project("bottlegen.lock", read)
