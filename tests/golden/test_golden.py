"""Each folder here is a profile and the whole bundle it must become; there is no Python per case.

`python -m tests.golden.test_golden` writes the expected bundles anew: read the diff before you commit it.
"""

from pathlib import Path

import pytest

from bottlegen.bundle import differences, read, write
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile

HERE = Path(__file__).parent
CASES = tuple(sorted(path for folder in HERE.iterdir() for path in folder.glob("profile*.[ty]*ml")))


@pytest.mark.parametrize("profile", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_builds_the_expected_bundle(profile: Path) -> None:
    bundle = build(load_profile(str(profile)), load_pins())
    assert differences(bundle, profile.parent / "bundle") == ()
    assert read(profile.parent / "bundle").manifest == bundle.manifest  # plain data there, strict models here


def test_there_are_cases() -> None:
    assert len(CASES) >= 4


if __name__ == "__main__":
    for case in CASES:
        write(build(load_profile(str(case)), load_pins()), case.parent / "bundle")
