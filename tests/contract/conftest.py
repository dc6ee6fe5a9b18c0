"""The same bottle on every runtime that there is; what a machine lacks is skipped by its marker."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bottlegen.bundle import Bundle
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime.base import LaunchSpec
from tests.contract.bottle import Bottle as Made
from tests.contract.bottle import launch, make_runtime
from tests.engine.bottle import LOCAL_BASE, PROFILES, make_folder

_numbers = itertools.count()


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return build(load_profile(str(PROFILES / "shell.toml")), load_pins())


@pytest.fixture(
    params=[
        pytest.param("docker", marks=pytest.mark.engine),
        pytest.param("bubblewrap", marks=pytest.mark.namespaces),
        pytest.param("pretend machines", marks=pytest.mark.namespaces),
    ]
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def runtime(kind: str, tmp_path: Path) -> Iterator[Any]:
    with make_runtime(kind, tmp_path / "state") as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "work")


@pytest.fixture
def make_spec(bundle: Bundle, runtime: Any) -> Iterator[Callable[..., LaunchSpec]]:
    """Specs of bottles whose every trace is removed after the test."""
    specs: list[LaunchSpec] = []

    def make(*command: str, **changes: Any) -> LaunchSpec:
        number = next(_numbers)
        values: dict[str, Any] = {
            "bottle": f"contract-{os.getpid()}-{number}", "session": f"s{number}", "bundle": bundle,
            "command": command or ("sleep", "600"), "tty": False, "interactive": False, "workspace": None,
            "home": None, "base_image": LOCAL_BASE, "outside_network": "", "terminal_env": (),
        }  # fmt: skip
        specs.append(LaunchSpec(**(values | changes)))
        return specs[-1]

    yield make
    for spec in specs:
        runtime.remove(spec.bottle)
    assert {spec.bottle for spec in specs} & {status.bottle for status in runtime.list()} == set()


@pytest.fixture
def make_bottle(make_spec: Callable[..., LaunchSpec], runtime: Any) -> Callable[..., Made]:
    def make(*command: str, **changes: Any) -> Made:
        spec = make_spec(*command, **changes)
        launch(spec, runtime)
        runtime.release_agent(spec.bottle)
        return Made(spec=spec, runtime=runtime)

    return make


@pytest.fixture
def bottle(make_bottle: Callable[..., Made], folder: Path) -> Made:
    return make_bottle(workspace=folder)
