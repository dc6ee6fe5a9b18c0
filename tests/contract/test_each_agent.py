"""Every agent that a golden case says how to drive: unmodified from its registry, in a bottle, it completes a turn with
the injected credential, holds placeholders only, and its interactive start asks nothing.

A case is `tests/golden/NAME/turn.toml`, with the text that the start shows in `screen.txt`: see docs/adding.md. Another
way of access to an agent (`NAME-key`, `NAME-login`) is tried on one runtime: it differs in its bundle, not below it. It
has a screen of its own where the agent's first questions depend on it.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from bottlegen import bundle
from bottlegen.providers import PROVIDERS
from tests.contract import screen
from tests.contract.arena import ROOT, Arena, arena, have_images  # noqa: F401 - a fixture
from tests.contract.bottle import CACHE
from tests.contract.screen import Screen

pytestmark = pytest.mark.agents

GOLDEN = ROOT / "tests" / "golden"
CASES = {path.parent.name: tomllib.loads(path.read_text()) for path in GOLDEN.glob("*/turn.toml")}
QUESTIONS = re.compile(
    r"(?i)do you trust|trust this|sign in to|log ?in to|choose .* (style|theme)|connect a provider|how would you like|"
    r"update available|press .* to continue|welcome to .* continue|get started"
)
PLACEHOLDER = "egress-placeholder"


def _pairs() -> Iterator[ParameterSet]:
    for name in sorted(CASES):
        if name in PROVIDERS:
            yield pytest.param("docker", name, marks=pytest.mark.engine, id=f"{name}-docker")
        yield pytest.param("bubblewrap", name, marks=pytest.mark.namespaces, id=f"{name}-bubblewrap")


@pytest.mark.parametrize(("arena", "name"), tuple(_pairs()), indirect=["arena"])
def test_a_turn_an_empty_search_and_a_start_without_questions(arena: Arena, name: str) -> None:  # noqa: F811
    """One bottle for all three, since each start of an agent costs seconds."""
    if reason := screen.missing():
        pytest.skip(reason)
    case = CASES[name]
    secret = f"key-{arena.canary}"
    made = bundle.read(GOLDEN / name / "bundle")
    tokens = json.loads(made.data("tokens.json"))
    arena.secret_env = dict.fromkeys(tokens.values(), secret) | {"XDG_CACHE_HOME": str(CACHE.parent)}
    if "login" in case:
        _log_in(arena, case["login"], secret)
    arena.pretend(expected=_expected(case, secret))
    have_images(arena.runtime, GOLDEN / name / "bundle")
    profile = str(GOLDEN / name / "profile.toml")
    up = arena.bottlegen("up", "--profile", profile, "--dev", "--name", name, "--detach", "--", "sleep", "600")
    assert up.returncode == 0, up.stderr

    done = arena.bottlegen("exec", "--name", name, "--", *case["command"], timeout=180)
    assert arena.reply in done.stdout, done.stdout + done.stderr
    _credential_was_injected(arena, case, secret)
    assert arena.found_in_bottle(name, [arena.canary.encode()]) == []
    assert arena.found_on_host([arena.canary.encode()]) == []

    if (GOLDEN / name / "screen.txt").exists():
        _start_asks_nothing(arena, name, tuple(made.manifest.services["agent"].command))
    assert not [seen for seen in arena.provider.seen if PLACEHOLDER in str(seen.headers) + seen.path]


def _log_in(arena: Arena, login: dict[str, str], secret: str) -> None:  # noqa: F811
    """Leave a login in a home of the host's own."""
    home = arena.folder / "home"
    path = home / login["path"]
    path.parent.mkdir(parents=True)
    path.write_text(login["content"].replace("SECRET", secret))
    arena.secret_env["HOME"] = str(home)


def _expected(case: dict[str, Any], secret: str) -> dict[str, str]:
    return {host: case["value"].format(secret) for host in case["hosts"]}


def _credential_was_injected(arena: Arena, case: dict[str, Any], secret: str) -> None:  # noqa: F811
    for host in case["hosts"]:
        asked = arena.provider.to(host)
        assert asked, f"{host} was not asked"
        assert {seen.header(case["header"]) for seen in asked} == {case["value"].format(secret)}


def _start_asks_nothing(arena: Arena, name: str, command: tuple[str, ...]) -> None:  # noqa: F811
    """The screen holds the golden words in their order; then a line that is typed is a turn."""
    wanted = (GOLDEN / name / "screen.txt").read_text().splitlines()
    with Screen(arena.command("exec", "--name", name, "--", *command), env=arena.env, cwd=ROOT) as terminal:
        start = terminal.wait_for(lambda text: _holds(text, wanted))
        assert not QUESTIONS.search(start), start
        terminal.type_until_it_shows("say hi")
        terminal.press("Enter")
        terminal.wait_for(lambda text: arena.reply in text)


def _holds(text: str, wanted: list[str]) -> bool:
    """Whether the wanted words are on the screen in their order, whatever stands between them, such as a tip."""
    lines = iter(text.splitlines())
    return all(any(words.strip() in line for line in lines) for words in wanted)


def test_lines_are_looked_for_in_their_order() -> None:
    assert _holds("\n  a\n tip\nb  \n", ["a", "b"])
    assert not _holds("b\na", ["a", "b"])
    assert QUESTIONS.search("Do you trust the files in this folder?")
