"""Which runtime `up` takes: the strongest that is here, what was named otherwise, and never less than the floor."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bottlegen.errors import HostError, Problem, RuntimeFailure
from bottlegen.manifest import Manifest
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime import registry
from runtime.host import Host, parse_host

_NAMES = ("smolmachines", "docker", "bubblewrap")
_ISOLATION = {"smolmachines": "vm", "docker": "container", "bubblewrap": "process"}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The runtimes that this host can run; a test says which. Made of the real entries, where there is one."""
    can: set[str] = set()

    def entry(name: str) -> registry.Entry:
        known = registry.RUNTIMES.get(name)
        meant = known.meant if known else (lambda _: False)
        return registry.Entry(
            isolation=_ISOLATION[name], found=f"{name} is here", meant=meant, make=lambda _: name,  # type: ignore[arg-type,return-value]
            why_not=lambda _: () if name in can else (Problem(what=f"no {name}", fix=f"get {name}"),),
        )  # fmt: skip

    monkeypatch.setattr(registry, "RUNTIMES", {name: entry(name) for name in _NAMES})
    return can


def _manifest(floor: str = "", runtime: str = "") -> Manifest:
    text = f'isolation = "{floor}"\n' if floor else ""
    text += f'runtime = "{runtime}"\n' if runtime else ""
    text += '[agent_provider]\ntemplate = "shell"\n'
    return build(load_profile("dev.toml", lambda _: text.encode()), load_pins()).manifest


def _host(config: str = "", **env: str) -> Host:
    return Host(env=env, home=Path("/nonexistent"), config=parse_host(config.encode(), "host.toml"))


def _chosen(asked: str = "", *, floor: str = "", profile: str = "", host: Host | None = None) -> Any:
    return registry.choose(asked, _manifest(floor, profile), host or _host())


def test_the_shipped_entries_are_ordered_by_strength() -> None:
    strengths = [registry._STRENGTH.index(entry.isolation) for entry in registry.RUNTIMES.values()]
    assert strengths == sorted(strengths, reverse=True)
    assert {name: entry.isolation for name, entry in registry.RUNTIMES.items()}.items() <= _ISOLATION.items()


@pytest.mark.parametrize(
    ("present", "chosen", "line"),
    [
        (_NAMES, "smolmachines", "runtime: smolmachines (smolmachines is here)\n"),
        (_NAMES[1:], "docker", "runtime: docker (not smolmachines: no smolmachines; docker is here)\n"),
        (
            _NAMES[2:],
            "bubblewrap",
            "runtime: bubblewrap (not smolmachines: no smolmachines; not docker: no docker; bubblewrap is here)\n",
        ),
    ],
)
def test_auto_takes_the_strongest_and_says_why(
    here: set[str], capsys: pytest.CaptureFixture[str], present: tuple[str, ...], chosen: str, line: str
) -> None:
    here |= set(present)
    for asked in ("", "auto"):
        assert _chosen(asked) == chosen
        assert capsys.readouterr() == ("", line)


def test_where_none_runs_every_reason_is_told(here: set[str]) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        _chosen()
    assert [problem.fix for problem in caught.value.problems] == ["get smolmachines", "get docker", "get bubblewrap"]


@pytest.mark.parametrize("floor", ["vm", "container", "process"])
@pytest.mark.parametrize("present", [(), _NAMES[2:], _NAMES[1:], _NAMES, ("smolmachines", "bubblewrap")])
def test_auto_never_undercuts_the_floor(here: set[str], floor: str, present: tuple[str, ...]) -> None:
    here |= set(present)
    strong = [name for name in _NAMES if name in present and _strength(_ISOLATION[name]) >= _strength(floor)]
    if strong:
        assert _chosen(floor=floor) == strong[0]
        return
    with pytest.raises(RuntimeFailure):
        _chosen(floor=floor)


@pytest.mark.parametrize("floor", ["vm", "container", "process"])
@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("by", ["asked", "profile", "host.toml"])
def test_who_names_a_runtime_cannot_undercut_the_floor(here: set[str], floor: str, name: str, by: str) -> None:
    here |= set(_NAMES)
    ways: dict[str, dict[str, Any]] = {
        "asked": {"asked": name},
        "profile": {"profile": name},
        "host.toml": {"host": _host(f'runtime = "{name}"')},
    }
    named = ways[by]
    if _strength(_ISOLATION[name]) >= _strength(floor):
        assert _chosen(floor=floor, **named) == name
        return
    with pytest.raises(RuntimeFailure, match=f"demands isolation '{floor}', runtime '{name}' gives"):
        _chosen(floor=floor, **named)


def test_the_fix_names_what_is_strong_enough(here: set[str]) -> None:
    with pytest.raises(
        RuntimeFailure, match="demands isolation 'container', runtime 'bubblewrap' gives 'process'"
    ) as e:
        _chosen("bubblewrap", floor="container")
    assert e.value.problems[0].fix == "--runtime smolmachines or docker"


def test_who_asks_comes_before_the_profile_and_the_profile_before_the_host(here: set[str]) -> None:
    here |= set(_NAMES)
    host = _host('runtime = "bubblewrap"')
    assert _chosen("smolmachines", profile="docker", host=host) == "smolmachines"
    assert _chosen("auto", profile="docker", host=host) == "smolmachines"
    assert _chosen(profile="docker", host=host) == "docker"
    assert _chosen(host=host) == "bubblewrap"


def test_a_named_engine_that_is_down_is_not_passed_by(here: set[str]) -> None:
    """Who sets DOCKER_HOST means that engine: a weaker bottle elsewhere would be a surprise."""
    here.add("bubblewrap")
    assert _chosen() == "bubblewrap"
    with pytest.raises(RuntimeFailure, match="no docker"):
        _chosen(host=_host(DOCKER_HOST="tcp://192.0.2.1:2376"))


def test_a_floor_that_nothing_holds_is_said(here: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "RUNTIMES", {"docker": replace(registry.RUNTIMES["docker"])})
    with pytest.raises(RuntimeFailure, match="demands isolation 'vm', which no runtime here gives"):
        _chosen(floor="vm")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(HostError, match="no runtime 'podman'") as caught:
        _chosen("podman")
    assert "oci_runtime" not in caught.value.problems[0].fix
    with pytest.raises(HostError) as caught:
        _chosen("runsc")
    assert 'oci_runtime = "runsc"' in caught.value.problems[0].fix


def _strength(isolation: str) -> int:
    return registry._STRENGTH.index(isolation)
