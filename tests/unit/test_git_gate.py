"""The git gate without git: what its rules decide, where it may connect, what its scan takes for a credential."""

import base64
import hashlib
import json
import re
import socket
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

import bottlegen
from bottlegen.authority import enforces_its_routes
from bottlegen.bundle import Bundle
from bottlegen.errors import PlanError
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from bottlegen.secret import Secret
from bottlegen.sidecars import git_gate, pipelock
from bottlegen.sidecars.git_gate_shapes import SHAPES
from bottlegen.sidecars.material import PIPELOCK_PORT
from runtime.sidecars import git_gate as git_gate_material
from runtime.sidecars import pipelock as pipelock_material
from runtime.sidecars.begin import Held, Setting

sys.path.insert(0, str(Path(bottlegen.__file__).parent / "images" / "git-gate"))

import rules
import scan
import settings
import upstream

ZERO, ONE, TWO = "0" * 40, "1" * 40, "2" * 40
_HEAD = '[agent_provider]\ntemplate = "shell"\n'
SITE = _HEAD + '[[git.remotes]]\nname = "site"\nurl = "https://git.example.com/acme/site.git"\ntoken_ref = "T"\n'


def _settings(tmp_path: Path, text: str, **start: Any) -> settings.Settings:
    """What the gate reads of the bundle of a profile."""
    profile = tmp_path / "p.toml"
    profile.write_text(text)
    (tmp_path / "gate.json").write_bytes(build(load_profile(str(profile)), load_pins()).data(git_gate.RULES))
    told = {"address": "127.0.0.1", "static_hosts": {}, "proxy": ""} | start
    (tmp_path / "start.json").write_text(json.dumps(told))
    return settings.load(tmp_path, tmp_path)


def _decided(tmp_path: Path, more: str, old: str, new: str, ref: str, *, ancestor: bool = True) -> str:
    """The rule that refuses the update, empty when it is allowed."""
    remote = _settings(tmp_path, SITE + more).remotes[0]
    found = list(rules.refusals(remote, [rules.Update(old, new, ref)], lambda _old, _new: ancestor))
    return found[0].rule.partition(" ")[0] if found else ""


PUSH = 'push = ["agent/**", "fix-*"]\ntags = ["v*"]\n'


@pytest.mark.parametrize(
    ("ref", "refused"),
    [
        ("refs/heads/agent/x", ""),
        ("refs/heads/agent/x/y", ""),
        ("refs/heads/fix-1", ""),
        ("refs/heads/fix-1/x", "push"),
        ("refs/heads/agents", "push"),
        ("refs/heads/main", "push"),
        ("refs/heads/agent/x\n", ""),  # which no git sends; the pattern covers it whole
        ("refs/heads/fix-\n/x", "push"),
        ("refs/tags/v1", ""),
        ("refs/tags/w1", "tags"),
        ("refs/tags/v1/x", "tags"),
        ("refs/heads/v1", "push"),
        ("refs/notes/agent/x", "push"),
        ("HEAD", "push"),
    ],
)
def test_patterns_decide(tmp_path: Path, ref: str, refused: str) -> None:
    assert _decided(tmp_path, PUSH, ZERO, ONE, ref) == refused


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("delete", [False, True])
@pytest.mark.parametrize(
    ("old", "new", "ref", "ancestor", "rule"),
    [
        (ZERO, ONE, "refs/heads/agent/x", True, ""),
        (ONE, TWO, "refs/heads/agent/x", True, ""),
        (ONE, TWO, "refs/heads/agent/x", False, "force"),
        (ONE, ZERO, "refs/heads/agent/x", True, "delete"),
        (ONE, TWO, "refs/tags/v1", True, "force"),
        (ONE, ZERO, "refs/tags/v1", True, "delete"),
    ],
)
def test_force_and_delete(
    tmp_path: Path, old: str, new: str, ref: str, ancestor: bool, rule: str, force: bool, delete: bool
) -> None:
    more = f"{PUSH}force = {str(force).lower()}\ndelete = {str(delete).lower()}\n"
    allowed = {"force": force, "delete": delete}.get(rule, True)
    assert _decided(tmp_path, more, old, new, ref, ancestor=ancestor) == ("" if allowed else rule)


def test_a_refusal_names_the_line_and_what_would_allow_it(tmp_path: Path) -> None:
    found = _settings(tmp_path, SITE + PUSH)
    updates = [rules.Update(ZERO, ONE, "refs/heads/main")]
    said = rules.message("p", found.remotes[0], list(rules.refusals(found.remotes[0], updates, lambda *_: True)))
    assert said.splitlines()[1:] == [
        "  refs/heads/main is outside of what may be pushed",
        '    rule: profile "p", git.remotes "site": push = ["refs/heads/agent/**", "refs/heads/fix-*"]',
        '    a person may change that to: push = ["refs/heads/agent/**", "refs/heads/fix-*", "refs/heads/main"]',
        f"  what may be pushed stands in ~/{git_gate.NOTES}",
    ]


def test_order_and_repetition_cannot_be_seen(tmp_path: Path) -> None:
    bundles = []
    for push in ('["a", "b/**", "a"]', '["refs/heads/b/**", "refs/heads/a"]'):
        path = tmp_path / "p.toml"
        path.write_text(SITE + f"push = {push}\n")
        bundles.append(build(load_profile(str(path)), load_pins()).hash)
    assert bundles[0] == bundles[1]


@pytest.mark.parametrize(
    ("second", "same"),
    [
        ('name = "site"\nurl = "https://git.example.com/acme/other"\n', "name 'site'"),
        ('name = "b"\nurl = "https://git.example.com/acme/site"\n', "url 'git.example.com/acme/site'"),
    ],
)
def test_two_of_a_kind_are_a_conflict(tmp_path: Path, second: str, same: str) -> None:
    path = tmp_path / "p.toml"
    path.write_text(f"{SITE}[[git.remotes]]\n{second}")
    with pytest.raises(PlanError) as caught:
        build(load_profile(str(path)), load_pins())
    assert f"have the same {same}" in str(caught.value)
    assert f"{path}:3 git.remotes[0]" in str(caught.value)


def test_one_secret_in_two_uses_is_two_slots(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    key = 'known_hosts = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJm1mYg6y3cSbnV0b2ZzaGFwZWFuZG5v"]\n'
    ssh = f'[[git.remotes]]\nname = "b"\nurl = "git@x.example.com:a/b"\nssh_key_ref = "T"\n{key}'
    again = '[[git.remotes]]\nname = "c"\nurl = "https://y.example.com/a/c"\ntoken_ref = "T"\n'
    path.write_text(SITE + ssh + again)
    slots = build(load_profile(str(path)), load_pins()).manifest.slots
    assert [(slot.name, slot.scheme, slot.hosts) for slot in slots] == [
        ("GIT_GATE_TOKEN_0", "Basic", ["git.example.com", "y.example.com"]),
        ("GIT_GATE_TOKEN_1", "ssh-key", ["x.example.com"]),
    ]


@pytest.mark.parametrize(("template", "orders"), [("claude", ".claude/CLAUDE.md"), ("codex", ".codex/AGENTS.md")])
def test_an_agent_is_led_to_its_notes(tmp_path: Path, template: str, orders: str) -> None:
    path = tmp_path / "p.toml"
    path.write_text(SITE.replace("shell", template) + PUSH)
    bundle = build(load_profile(str(path)), load_pins())
    assert f"Read ~/{git_gate.NOTES} before you use git" in bundle.data(f"agent/home/{orders}").decode()
    assert "you may push: `refs/heads/agent/**`" in bundle.data(f"agent/home/{git_gate.NOTES}").decode()
    kept = {file.path: file.keep for file in bundle.manifest.home_files}
    assert (kept[orders], kept[git_gate.NOTES]) == (True, False)
    path.write_text(_HEAD.replace("shell", template))
    assert f"agent/home/{orders}" not in build(load_profile(str(path)), load_pins()).files


# --- where it connects


def _resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    answer = [(0, 0, 0, "", (address, 443)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "100.64.0.1", "::1", "fe80::1%eth0", "::ffff:10.0.0.1",
     "fd00:ec2::254", "64:ff9b::a00:1"],
)  # fmt: skip
def test_names_that_lead_inside_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    found = _settings(tmp_path, SITE)
    _resolving(monkeypatch, address)
    with pytest.raises(upstream.Unreachable) as caught:
        upstream.environment(found, found.remotes[0])
    assert '[upstream] hosts = { "git.example.com" = "ADDRESS" }' in str(caught.value)
    _resolving(monkeypatch, address, "93.184.216.34")
    env = upstream.environment(found, found.remotes[0])
    assert "git.example.com:443:93.184.216.34" in env.values()


def test_an_address_of_the_host_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch)
    found = _settings(tmp_path, SITE, static_hosts={"git.example.com": "10.0.0.7:8443"})
    route = upstream.Route(found, found.remotes[0])
    assert route.url == "https://git.example.com:8443/acme/site.git"
    assert "git.example.com:8443:10.0.0.7" in upstream.environment(found, found.remotes[0]).values()


def test_the_proxy_looks_names_up_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.PROXY_VARIABLE, "192.0.2.9:8888")
    found = _settings(tmp_path, SITE, proxy="192.0.2.9:8888")
    env = upstream.environment(found, found.remotes[0])
    assert "http://192.0.2.9:8888" in env.values()
    assert not [value for value in env.values() if "curloptResolve" in value]


def test_nothing_that_is_given_to_git_is_a_value(tmp_path: Path) -> None:
    (tmp_path / "slots").mkdir()
    (tmp_path / "slots" / "GIT_GATE_TOKEN_0").write_text("canary-0451")
    found = _settings(tmp_path, SITE, static_hosts={"git.example.com": "10.0.0.7"})
    assert "canary-0451" not in str(upstream.environment(found, found.remotes[0]))


# --- what its scan takes for a credential

MADE = {
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA" * 4,
    "an age key": "AGE-SECRET-KEY-1" + "Q" * 58,
    "a GitHub token": "ghp_" + "a1B2" * 9,
    "a GitLab token": "glpat-" + "a1B2" * 5,
    "an Anthropic token": "sk-ant-api03-" + "a1B2" * 20,
    "an OpenAI key": "sk-proj-" + "a1B2" * 10 + "T3BlbkFJ" + "a1B2" * 10,
    "a payment API key": "sk_live_" + "a1B2" * 6,
    "a Slack token": "xoxb-" + "123456789012-" * 2 + "a1B2",
    "an AWS access key": "AKIA" + "Z7Q2" * 4,
    "a Google API key": "AIza" + "a1B2c" * 7,
    "a Google secret": "GOCSPX-" + "a1B2" * 7,
    "an npm token": "npm_" + "a1B2" * 9,
    "a PyPI token": "pypi-AgEIcHlwaS5vcmc" + "a1B2" * 20,
    "a Hugging Face token": "hf_" + "aBcD" * 8 + "aB",
}
INNOCENT = (
    "-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----",
    "-----BEGIN CERTIFICATE-----\n" + "MIIEpAIBAAKCAQEA" * 4,
    "-----BEGIN PUBLIC KEY-----\n" + "MIIEpAIBAAKCAQEA" * 4,
    "export GITHUB_TOKEN=ghp_xxxxxxxxxxxx",
    "AKIAIOSFODNN7EXAMPLE",
    "sk-ant-your-key-here",
    "const npm_config_registry = 'https://registry.npmjs.org'",
    "risk-assessment sk-learn task-force",
)


def test_every_kind_is_found_wherever_it_stands() -> None:
    shapes = scan.Shapes(SHAPES, [], [])
    assert {what for what, _, _ in SHAPES} == MADE.keys()
    for what, text in MADE.items():
        for around in (text, f'x = "{text}"\n', f"\0\0{text}\0"):
            assert what in list(shapes.found(around.encode())), (what, around)


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_looks_like_one_is_let_be(text: str) -> None:
    assert list(scan.Shapes(SHAPES, [], []).found(text.encode())) == []


def test_every_match_holds_its_literal() -> None:
    for what, literal, regex in SHAPES:
        match = re.search(regex, MADE[what])
        if match:
            assert literal in match[0]


def test_a_short_value_of_the_bottle_is_not_looked_for() -> None:
    assert list(scan.Shapes((), [b"x", b""], []).found(b"text")) == []
    assert list(scan.Shapes((), [b"longer-value"], []).found(b"a longer-value")) == ["a credential of this bottle"]


def test_a_value_is_known_in_its_forms_by_what_gives_nothing_away() -> None:
    value = b">>>value-of-the-bottle???"
    marks = [(bytes.fromhex(beginning), size, digest) for beginning, size, digest in git_gate_material._marks(value)]
    shapes = scan.Shapes((), [], marks)
    forms = (value, base64.b64encode(value), base64.urlsafe_b64encode(value), value.hex().encode())
    assert len({*forms}) == 4
    for form in forms:
        assert list(shapes.found(form[:4] * 5 + form + b"..")) == ["a credential of this bottle"]
        assert list(shapes.found(form.rstrip(b"=")[:-1])) == []
    assert max(len(beginning) for beginning, _, _ in marks) == 4
    assert list(git_gate_material._marks(b"fifteen-letters")) == []


def test_the_gate_knows_every_value_of_the_bottle_and_holds_its_own_alone(tmp_path: Path) -> None:
    own, others = "the-gates-own-canary-1", "another-sidecars-canary"
    files = {
        file.path.rpartition("/")[2]: file
        for file in git_gate_material.credentials(
            Held(
                bundle=_bundle(tmp_path, SITE), values={"GIT_GATE_TOKEN_0": Secret(own)},
                every_value=(Secret(own), Secret(others)), static_hosts={},
            )
        )
    }  # fmt: skip
    assert {file.mode for file in files.values()} == {0o600}
    assert files["GIT_GATE_TOKEN_0"].data == own.encode()
    known = files["known.json"].data
    assert others.encode() not in b"".join(file.data for file in files.values())
    for value in (own, others):
        assert hashlib.sha256(value.encode()).hexdigest().encode() in known


@pytest.mark.parametrize(
    ("profile", "address", "proxy"),
    [("", "", ""), ("[pipelock]\n", "10.9.8.7", "10.9.8.7:{}"), ("[pipelock]\n", "/run/c", "/run/c/{}")],
)
def test_the_gate_is_told_of_its_only_way_out(tmp_path: Path, profile: str, address: str, proxy: str) -> None:
    setting = Setting(
        bundle=_bundle(tmp_path, SITE + profile), addresses={"git-gate": "10.9.8.6", "pipelock": address}, listens={},
        static_hosts={}, extra_trust=b"",
    )  # fmt: skip
    start = next(file for file in git_gate_material.settings(setting) if file.path.endswith("/start.json"))
    assert json.loads(start.data)["proxy"] == proxy.format(PIPELOCK_PORT)


@settings_of_hypothesis(deadline=None, max_examples=50)
@given(before=st.integers(scan._PIECE - 4000, scan._PIECE + 10), size=st.integers(40, 3000))
def test_nothing_hides_between_two_pieces(before: int, size: int) -> None:
    import io

    token = ("ghp_" + "aB3dE" * 700)[:size]
    data = b"." * before + b" " + token.encode() + b" " + b"." * 100
    assert "a GitHub token" in list(scan._content(io.BytesIO(data), len(data), scan.Shapes(SHAPES, [], [])))


def test_the_seam_of_the_credential_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """It answers for its own host over https, and for nothing else."""
    import credential

    (tmp_path / "slots").mkdir()
    (tmp_path / "slots" / "GIT_GATE_TOKEN_0").write_text("canary-0451")
    found = _settings(tmp_path, SITE)
    monkeypatch.setattr(credential, "current", lambda: found)
    asked = "protocol={}\nhost={}\n"
    for action, protocol, host, told in (
        ("get", "https", "git.example.com", "username=x-access-token\npassword=canary-0451\n"),
        ("get", "https", "git.example.com:8443", ""),
        ("get", "https", "evil.example.com", ""),
        ("get", "http", "git.example.com", ""),
        ("store", "https", "git.example.com", ""),
        ("erase", "https", "git.example.com", ""),
    ):
        monkeypatch.setattr(sys, "argv", ["credential.py", "site", action])
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(__iter__=None))
        lines = asked.format(protocol, host).splitlines(keepends=True)
        monkeypatch.setattr(sys, "stdin", iter(lines))
        credential.main()
        assert capsys.readouterr().out == told, (action, protocol, host)


# --- behind pipelock

CHAINED = SITE + "[pipelock]\n"


def _bundle(tmp_path: Path, text: str) -> Bundle:
    path = tmp_path / "p.toml"
    path.write_text(text)
    return build(load_profile(str(path)), load_pins())


def test_with_pipelock_the_gate_has_no_other_way_out(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, CHAINED)
    services = bundle.manifest.services
    assert list(services["git-gate"].networks) == ["bottle", "chain"]
    assert [name for name, service in services.items() if "outside" in service.networks] == ["pipelock"]
    tree = json.loads(bundle.data(pipelock.FILE))
    assert tree["api_allowlist"] == tree["tls_interception"]["passthrough_domains"] == ["git.example.com"]
    assert enforces_its_routes(bundle)
    assert list(_bundle(tmp_path, SITE).manifest.services["git-gate"].networks) == ["bottle", "outside"]


def test_a_config_that_leads_the_gate_elsewhere_is_not_taken_for_what_is_read(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, CHAINED)
    file = bundle.files[pipelock.FILE]
    data = file.data.replace(b'"git.example.com"', b'"git.example.com","evil.example.com"')
    assert data != file.data
    assert not enforces_its_routes(replace(bundle, files={**bundle.files, file.path: replace(file, data=data)}))


@pytest.mark.parametrize(
    ("route", "refused"),
    [
        ('[[egress.routes]]\nhost = "git.example.com"\n', "git.example.com"),
        ('[[egress.routes]]\nhost = "*.example.com"\n', "*.example.com"),
        ('[[egress.routes]]\nhost = "git.example.com"\nport = 8443\n', "git.example.com"),
        ('[[egress.routes]]\nhost = "git.example.com"\npipelock = { tls_passthrough = true }\n', ""),
        ('[[egress.routes]]\nhost = "*.example.com"\npipelock = { tls_passthrough = true }\n', ""),
        ('[[egress.routes]]\nhost = "example.com"\n', ""),
    ],
)
def test_a_host_is_not_both_read_for_egress_and_passed_for_the_gate(tmp_path: Path, route: str, refused: str) -> None:
    if not refused:
        assert enforces_its_routes(_bundle(tmp_path, CHAINED + route))
        return
    with pytest.raises(PlanError, match="git passes pipelock unread") as caught:
        _bundle(tmp_path, CHAINED + route)
    assert f"routes have '{refused}' inspected" in caught.value.problems[0].what
    assert enforces_its_routes(_bundle(tmp_path, SITE + route))


def test_pipelock_cannot_lead_git_to_another_port(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, CHAINED)
    assert not list(pipelock_material.check(bundle, {"git.example.com": "127.0.0.1"}))
    (problem,) = pipelock_material.check(bundle, {"git.example.com": "127.0.0.1:8443"})
    assert "the port must stay 443" in problem.what


# --- which URLs lead to the gate


def _led(tmp_path: Path, text: str, url: str) -> str:
    """Where the longest beginning leads, as git-config(1) has it; tests/gitgate has git itself decide."""
    env: dict[str, str] = json.loads(_bundle(tmp_path, text).data("agent/env.json"))
    pairs = [(env[f"GIT_CONFIG_KEY_{n}"], env[f"GIT_CONFIG_VALUE_{n}"]) for n in range(int(env["GIT_CONFIG_COUNT"]))]
    found = [
        (value, key.removeprefix("url.").removesuffix(".insteadOf")) for key, value in pairs if url.startswith(value)
    ]
    value, base = max(found, key=lambda pair: len(pair[0]))
    return base + url.removeprefix(value)


def test_a_longer_name_of_another_repository_is_left_to_egress(tmp_path: Path) -> None:
    text = SITE + '[[egress.routes]]\nhost = "git.example.com"\nmethods = ["GET"]\n'
    for url in ("https://git.example.com/acme/site", "https://git.example.com/acme/site.git"):
        assert _led(tmp_path, text, url) == "git://git-gate/site"
    for rest in ("x", "-docs", ".github.io", "_2.git", ".gitx", "~", "Z"):
        url = f"https://git.example.com/acme/site{rest}"
        assert _led(tmp_path, text, url) == url
    assert len(_bundle(tmp_path, SITE).data("agent/env.json")) < 4000
