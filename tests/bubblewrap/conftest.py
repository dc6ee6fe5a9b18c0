"""The bundle that every bottle here is made of."""

import pytest

from bottlegen.bundle import Bundle
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from tests.engine.bottle import PROFILES


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return build(load_profile(str(PROFILES / "shell.toml")), load_pins())
