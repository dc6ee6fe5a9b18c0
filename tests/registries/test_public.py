"""npm and PyPI themselves, asked what the unit tests pretend: skipped, with the reason, where they do not answer."""

import os

import pytest
import requests

from bottlegen.pins import floating, shipped_lock
from runtime.artifacts import npm_registry, simple_index
from runtime.https import session
from runtime.registries import Registries

ENV = dict(os.environ)


def _answers(url: str) -> str:
    """Empty when the registry at `url` answers, else why not."""
    try:
        with session(ENV, None) as asked:
            asked.get(url, headers={"Accept": "application/json"}, timeout=(5, 10)).raise_for_status()
    except requests.RequestException as e:
        return f"{url} does not answer here: {type(e).__name__}"
    return ""


@pytest.mark.parametrize("name", sorted({recipe.name for recipe in floating().recipes}))
def test_the_pinned_version_is_still_what_the_registry_has_and_a_newest_is_named(name: str) -> None:
    recipes = floating().of(name)
    first = recipes[0]
    reason = _answers(
        f"{npm_registry(ENV)}/{first.package}/latest"
        if first.source == "npm"
        else f"{simple_index(ENV)}/{first.package}/"
    )
    if reason:
        pytest.skip(reason)
    pinned = shipped_lock().of(name)[0]
    asked = Registries(ENV, None, "")
    try:
        known = frozenset(file.name for file in pinned.files)
        found = asked.files(recipes, pinned.version, known)
        assert {(file.platform, file.name, file.integrity) for file in found} == {
            (file.platform, file.name, file.integrity) for file in pinned.files
        }
        newest = asked.newest(recipes)
        assert asked.files(recipes, newest, frozenset())
    finally:
        asked.close()
