"""Pins: every agent for every platform, each by a hash that is one, and nothing that is not pinned."""

import base64

import pytest

from bottlegen import pins
from bottlegen.errors import PlanError
from bottlegen.pins import parse

PLATFORMS = ("linux/amd64", "linux/arm64")
SIZES = {"sha256": 32, "sha512": 64}

TWO_VERSIONS = """
[image]
base = "base:1"

[[artifact]]
name = "a"
platform = "linux/amd64"
source = "npm"
package = "p"
version = "2.0"
filename = "p-2.0.tgz"
integrity = "sha512-AA=="
members = { "in/x" = "out/x" }

[[artifact]]
name = "a"
platform = "linux/amd64"
source = "npm"
package = "p"
version = "1.0"
filename = "p-1.0.tgz"
integrity = "sha512-AA=="
members = { "in/x" = "out/x" }
"""


@pytest.mark.parametrize("name", ["codex", "claude", "envoy"])
def test_every_pin_is_there_for_every_platform_and_puts_the_same_files(name: str) -> None:
    artifacts = pins.load().artifacts(name)
    assert tuple(artifact.platform for artifact in artifacts) == PLATFORMS
    assert len({artifact.version for artifact in artifacts}) == 1
    assert len({tuple(sorted(target for _, target in artifact.members)) for artifact in artifacts}) == 1


def test_every_integrity_is_a_whole_hash_of_its_own() -> None:
    archives = [artifact.integrity for _, artifact in pins.load().entries if artifact.source != "go"]
    sources = {artifact.integrity for _, artifact in pins.load().entries if artifact.source == "go"}
    assert len(set(archives)) == len(archives)
    for integrity in (*archives, *(f"sha256-{each.removeprefix('h1:')}" for each in sources)):
        algorithm, _, digest = integrity.partition("-")
        assert len(base64.b64decode(digest, validate=True)) == SIZES[algorithm]


def test_codex_comes_with_the_helper_that_its_tools_need() -> None:
    for artifact in pins.load().artifacts("codex"):
        assert "agent/bin/codex-code-mode-host" in dict(artifact.members).values()


def test_the_first_version_listed_is_the_default() -> None:
    two = parse(TWO_VERSIONS)
    assert (two.base, two.versions("a")) == ("base:1", ("2.0", "1.0"))
    assert [artifact.version for artifact in two.artifacts("a")] == ["2.0"]
    assert [artifact.filename for artifact in two.artifacts("a", "1.0")] == ["p-1.0.tgz"]


def test_another_version_is_refused_with_those_that_are_pinned() -> None:
    with pytest.raises(PlanError) as refused:
        parse(TWO_VERSIONS).artifacts("a", "3.0")
    assert str(refused.value) == "error: version '3.0' of 'a' is not pinned\n  fix: use one of: '2.0', '1.0'"
    with pytest.raises(PlanError) as refused:
        parse(TWO_VERSIONS).artifacts("b", "3.0")
    assert str(refused.value) == (
        "error: version '3.0' of 'b' is not pinned\n  fix: remove the version: there is none to choose"
    )


def test_a_key_that_means_nothing_is_a_bug() -> None:
    with pytest.raises(TypeError, match="intgrity"):
        parse(TWO_VERSIONS.replace("integrity", "intgrity", 1))
