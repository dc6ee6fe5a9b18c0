"""One bottle of each runtime for all attempts, which are made at once: each test looks at how its own ended."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.attacks import attempts, run, scene

Outcomes = Callable[[str], Mapping[str, run.Ended]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """How every attempt on a runtime ended; the first who asks has them made."""
    made: dict[str, Mapping[str, run.Ended]] = {}

    def of(kind: str) -> Mapping[str, run.Ended]:
        if kind not in made:
            made[kind] = _made(kind, tmp_path_factory.mktemp(f"attacks-{kind}"))
        return made[kind]

    return of


def _made(kind: str, folder: Path) -> Mapping[str, run.Ended]:
    wanted = attempts.attempts(kind)
    if kind == attempts.HOST:
        return run.on_host(wanted, folder)
    with scene.outside(kind) as net, scene.scene(kind, folder, net) as made:
        return run.run(made, wanted)
