"""A defence that is taken away is missed: what it holds is then found by the very tests that are green with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.addresses import need_root
from tests.attacks import attempts, run, scene
from tests.attacks.defences import BROKEN, Broken
from tests.attacks.test_attacks import MARKS


@pytest.fixture(scope="module")
def internets() -> Iterator[scene.Internets]:
    """One for each runtime that is asked for it."""
    with scene.internets() as made:
        yield made


@pytest.mark.parametrize(
    "broken", [pytest.param(broken, id=broken.name, marks=MARKS[broken.kind]) for broken in BROKEN]
)
def test_a_broken_defence_is_missed(
    broken: Broken, internets: scene.Internets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [attempts.named(name) for name in broken.found]
    if any(attempt.category == attempts.NAMES for attempt in wanted):
        need_root()
    broken.patch(monkeypatch)
    monkeypatch.setattr("runtime.start.confirm", list)  # a start sees some of it itself, and is not what is asked here
    if broken.kind == attempts.HOST:
        ended = run.on_host(wanted, tmp_path)
    else:
        net = internets(broken.kind)
        net.forget()
        with scene.scene(broken.kind, tmp_path / "b", net, broken.edit, broken.change) as made:
            ended = run.run(made, wanted, with_controls=False)
    held = [attempt.name for attempt in wanted if run.as_expected(attempt, ended[attempt.name])]
    assert held == [], {name: ended[name] for name in held}
