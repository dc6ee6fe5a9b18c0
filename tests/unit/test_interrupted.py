"""Ctrl-C in the middle of making something leaves nothing half made; what `up` undoes is in tests/contract."""

import os
from pathlib import Path
from typing import Never

import pytest

from runtime import lock
from runtime.bubblewrap import records


def _interrupt(*_: object) -> Never:
    raise KeyboardInterrupt


def test_a_bottles_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "write", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        records.claim(tmp_path, "codex", {"session": "s"})
    assert [*tmp_path.iterdir()] == []


def test_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "bottlegen.lock"
    kept.write_text("before")
    monkeypatch.setattr(os, "fsync", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        lock._write(kept, "after")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"bottlegen.lock": "before"}
