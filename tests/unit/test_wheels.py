"""The name of a wheel says where it runs, and what says something else is not taken for one."""

import pytest

from bottlegen.lock import LockedFile
from bottlegen.wheel_set import WheelSet
from bottlegen.wheels import distribution, normal


@pytest.mark.parametrize(
    ("name", "package", "version", "platform", "glibc"),
    [
        ("beautiful_soup-0.86.2-py3-none-any.whl", "beautiful-soup", "0.86.2", "any", (0, 0)),
        ("ruamel.yaml-0.1-1-py2.py3-none-any.whl", "ruamel-yaml", "0.1", "any", (0, 0)),
        ("caio-0.12-cp312-cp312-manylinux_2_34_x86_64.whl", "caio", "0.12", "linux/amd64", (2, 34)),
        ("x-1-cp38-abi3-manylinux1_aarch64.manylinux_2_28_aarch64.whl", "x", "1", "linux/arm64", (2, 5)),
        ("x-1-cp38-abi3-manylinux2014_x86_64.whl", "x", "1", "linux/amd64", (2, 17)),
        ("x-1-cp312-cp312-musllinux_1_2_x86_64.whl", "x", "1", None, (0, 0)),
        ("x-1-cp312-cp312-win_amd64.whl", "x", "1", None, (0, 0)),
        ("x-1-cp312-cp312-manylinux_2_17_ppc64le.whl", "x", "1", None, (2, 17)),
        ("func_timeout-4.3.5.tar.gz", "func-timeout", "4.3.5", "any", (0, 0)),
    ],
)
def test_a_name_says_package_version_and_place(
    name: str, package: str, version: str, platform: str | None, glibc: tuple[int, int]
) -> None:
    told = distribution(name)
    assert told is not None
    assert (told.package, told.version, told.platform, told.glibc) == (package, version, platform, glibc)
    assert told.is_source == name.endswith(".tar.gz")


@pytest.mark.parametrize("name", ["x-1.whl", "x-1-py3-none.whl", "x-1.zip", "x.tar.gz", "x-1-py3-none-any.whl.exe"])
def test_other_names_say_nothing(name: str) -> None:
    assert distribution(name) is None


@pytest.mark.parametrize(
    ("tags", "runs"),
    [
        ("py3-none", True),
        ("py2.py3-none", True),
        ("py310-none", True),
        ("py313-none", False),
        ("py2-none", False),
        ("cp312-cp312", True),
        ("cp311-cp311", False),
        ("cp313-cp313", False),
        ("cp311-abi3", True),
        ("cp313-abi3", False),
        ("pp311-pypy311_pp73", False),
    ],
)
def test_tags_say_with_which_python_a_wheel_runs(tags: str, runs: bool) -> None:
    told = distribution(f"x-1-{tags}-manylinux_2_17_x86_64.whl")
    assert told is not None
    assert told.runs_with("3.12") is runs


def test_a_package_has_one_spelling() -> None:
    assert {normal(name) for name in ("Ruamel.Yaml", "ruamel_yaml", "ruamel--yaml")} == {"ruamel-yaml"}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("func_timeout-4.3.5-py3-none-any.whl", ""),
        ("func_timeout-4.3.5.tar.gz", ""),
        ("other-1.tar.gz", "would have to be built, and nothing is built here"),
        ("other-1-cp313-cp313-manylinux_2_17_x86_64.whl", "does not run with Python 3.12"),
    ],
)
def test_a_file_that_would_have_to_be_built_is_of_no_set(name: str, wrong: str) -> None:
    """But for the sources that the pins name, which are imported as they are."""
    made = WheelSet(name="tool", package="tool", python="3.12", target="x", sources=(("func-timeout", "func_timeout"),))
    problem = made.problem(LockedFile(platform="any", origin="pypi:x", name=name, integrity="sha256-x"))
    assert wrong in problem
    assert bool(problem) == bool(wrong)
