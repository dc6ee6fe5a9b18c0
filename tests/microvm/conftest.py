"""The engine's cache is the bed's own, which holds what a first start would unpack for minutes."""

import pytest


@pytest.fixture(autouse=True)
def _baked_cache(_quiet_host: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
