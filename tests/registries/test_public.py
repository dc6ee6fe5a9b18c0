"""npm, PyPI and Go's checksum database, asked what unit tests pretend: skipped, with the reason, where none answers."""

import os
import re

import pytest
import requests

from bottlegen.errors import LockError
from bottlegen.pins import Recipe, floating, shipped_lock
from runtime.artifacts import npm_registry, simple_index
from runtime.https import session
from runtime.registries import Registries
from tests.unit.test_registries import SUMDB

ENV = dict(os.environ)


def _answers(url: str) -> str:
    """Empty when the registry at `url` answers, else why not."""
    try:
        with session(ENV, None) as asked:
            asked.get(url, headers={"Accept": "application/json"}, timeout=(5, 10)).raise_for_status()
    except requests.RequestException as e:
        return f"{url} does not answer here: {type(e).__name__}"
    return ""


def _page(recipe: Recipe) -> str:
    """What is there as long as the registry answers at all and the package is in it."""
    if recipe.source == "go":
        module = re.sub(r"[A-Z]", lambda letter: f"!{letter[0].lower()}", recipe.package.partition("/cmd/")[0])
        return f"{SUMDB}/{module}@{recipe.filename}"
    return (
        f"{npm_registry(ENV)}/{recipe.package}/latest"
        if recipe.source == "npm"
        else f"{simple_index(ENV)}/{recipe.package}/"
    )


@pytest.mark.parametrize("name", sorted({recipe.name for recipe in floating().recipes}))
def test_the_pinned_version_is_still_what_the_registry_has_and_a_newest_is_named(name: str) -> None:
    recipes = floating().of(name)
    for recipe in recipes:
        if reason := _answers(_page(recipe)):
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
        try:
            assert asked.files(recipes, newest, frozenset())
        except LockError as e:
            if "HTTP 404" not in str(e):
                raise
            pytest.skip(f"what the newest '{name}' consists of is not all in the registry: {e.problems[0].what}")
    finally:
        asked.close()
