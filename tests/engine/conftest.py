"""Bottles on the real engine, each gone after its test. Names carry the process, so that two runs do not meet."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from bottlegen.bundle import Bundle
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime.base import LaunchSpec
from runtime.docker import DockerRuntime
from tests.engine.bottle import (
    LOCAL_BASE,
    PROFILES,
    Bottle,
    BottleMaker,
    SpecMaker,
    assert_nothing_left,
    launch,
    make_folder,
    make_runtime,
)

_numbers = itertools.count()


@pytest.fixture(scope="session")
def api() -> Iterator[Any]:
    client = docker.APIClient(version="auto")
    yield client
    client.close()


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return build(load_profile(str(PROFILES / "shell.toml")), load_pins())


@pytest.fixture
def runtime() -> Iterator[DockerRuntime]:
    with make_runtime() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace that belongs to a user, not to root, though the tests may run as root."""
    return make_folder(tmp_path / "work")


@pytest.fixture
def make_spec(bundle: Bundle, api: Any) -> Iterator[SpecMaker]:
    """Specs of bottles whose every trace is removed after the test."""
    specs: list[LaunchSpec] = []

    def make(*command: str, **changes: Any) -> LaunchSpec:
        number = next(_numbers)
        values: dict[str, Any] = {
            "bottle": f"test-{os.getpid()}-{number}",
            "session": f"s{number}",
            "bundle": bundle,
            "command": command or ("sleep", "600"),
            "tty": False,
            "interactive": False,
            "workspace": None,
            "home": None,
            "base_image": LOCAL_BASE,
            "outside_network": "",
            "terminal_env": (),
        }
        specs.append(LaunchSpec(**(values | changes)))
        return specs[-1]

    yield make
    with make_runtime() as runtime:
        for spec in specs:
            runtime.remove(spec.bottle)
    assert_nothing_left(api, [spec.bottle for spec in specs])


@pytest.fixture
def make_bottle(make_spec: SpecMaker, runtime: DockerRuntime, api: Any) -> BottleMaker:
    def make(*command: str, **changes: Any) -> Bottle:
        spec = make_spec(*command, **changes)
        launch(spec, runtime)
        runtime.release_agent(spec.bottle)
        return Bottle(name=spec.bottle, spec=spec, runtime=runtime, api=api)

    return make


@pytest.fixture
def bottle(make_bottle: BottleMaker, folder: Path) -> Bottle:
    return make_bottle(workspace=folder)
