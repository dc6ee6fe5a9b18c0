"""Two bottles on one workspace: the guard files in `.git` stay for as long as one of them needs them, in whatever order
one ends and the other begins, and whatever their runtimes.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bottlegen.bundle import Bundle
from runtime import sources, workspace_users
from runtime.base import LaunchSpec
from tests.contract.bottle import Bottle, launch, make_runtime
from tests.engine.bottle import LOCAL_BASE, make_repository

SpecMaker = Callable[..., LaunchSpec]
BottleMaker = Callable[..., Bottle]
SECONDS = 120.0
_EVIL = "echo ../evil > /workspace/.git/commondir"
"""With it git on the host takes hooks and config from a folder of the agent's own."""


@pytest.fixture
def guard(folder: Path) -> Path:
    make_repository(folder)
    return folder / ".git" / "commondir"


@contextmanager
def _another(kind: str, state: Path, spec: LaunchSpec) -> Iterator[Bottle]:
    """A bottle of another process's: its runtime is one of its own."""
    with make_runtime(kind, state) as runtime:
        yield Bottle(spec=spec, runtime=runtime)


def _launch(bottle: Bottle) -> None:
    launch(bottle.spec, bottle.runtime)
    bottle.runtime.release_agent(bottle.name)


@pytest.mark.parametrize("locks", [True, False], ids=["locked", "without-the-lock"])
def test_one_begins_when_the_other_has_just_looked_who_needs_it(
    make_bottle: BottleMaker, make_spec: SpecMaker, folder: Path, guard: Path, tmp_path: Path, kind: str, locks: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It waits, or it has come up with the guard that is then taken from under it: the control, without the lock."""
    ending, ready = make_bottle(workspace=folder), threading.Event()
    with _another(kind, tmp_path / "state", make_spec(workspace=folder)) as second:

        def up() -> None:
            _launch(second)
            ready.set()

        thread = threading.Thread(target=up)

        def locked(place: Path) -> Any:
            if threading.current_thread() is thread and locks:
                ready.set()
            return real(place) if locks else nullcontext()

        def removing(found: list[Path]) -> None:
            if not thread.ident:
                thread.start()
                assert ready.wait(SECONDS)
            take_back(found)

        real, take_back = workspace_users.locked, workspace_users.remove_guards  # type: ignore[attr-defined]
        monkeypatch.setattr(workspace_users, "locked", locked)
        monkeypatch.setattr(workspace_users, "remove_guards", removing)
        assert ending.runtime.remove(ending.name) is True
        thread.join(SECONDS)
        monkeypatch.undo()
        assert (second.run("sh", "-c", _EVIL)[0] != 0) == locks
        assert (guard.read_text() == ".\n") == locks
        second.runtime.remove(second.name)
    assert guard.exists() != locks  # what is no guard any more is not ours to remove


def test_one_ends_when_the_other_has_just_seen_the_guard(
    make_bottle: BottleMaker, make_spec: SpecMaker, folder: Path, guard: Path, tmp_path: Path, kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Before anything of it mounts the guard."""
    ending = make_bottle(workspace=folder)
    before = guard.stat().st_ino
    of = sources.of

    def then_ends(spec: LaunchSpec) -> Any:
        found = of(spec)
        assert ending.runtime.remove(ending.name) is True
        return found

    with _another(kind, tmp_path / "state", make_spec(workspace=folder)) as second:
        monkeypatch.setattr(sources, "of", then_ends)
        _launch(second)
        assert ending.state() == ""
        assert second.run("sh", "-c", _EVIL)[0] != 0
        assert (guard.read_text(), guard.stat().st_ino) == (".\n", before)
        second.runtime.remove(second.name)
    assert not guard.exists()


@pytest.mark.engine
@pytest.mark.namespaces
@pytest.mark.parametrize("first", ["docker", "bubblewrap"])
def test_two_runtimes(bundle: Bundle, folder: Path, guard: Path, tmp_path: Path, first: str) -> None:
    spec = LaunchSpec(
        bottle=f"shared-{folder.parent.name}".replace("_", "-")[:40], session="s", bundle=bundle,
        command=("sleep", "600"), tty=False, interactive=False, workspace=folder, home=None, base_image=LOCAL_BASE,
        outside_network="", terminal_env=(),
    )  # fmt: skip
    second = "bubblewrap" if first == "docker" else "docker"
    with (
        _another(first, tmp_path / "state", spec) as one,
        _another(second, tmp_path / "state", replace(spec, session="t")) as two,
    ):
        try:
            _launch(one)
            _launch(two)
            assert one.runtime.remove(one.name) is True
            assert two.run("sh", "-c", _EVIL)[0] != 0
            assert guard.read_text() == ".\n"
        finally:
            one.runtime.remove(one.name)
            two.runtime.remove(two.name)
    assert not guard.exists()
