"""Everything that reads what a person, a host or an agent wrote: each as a function of bytes, with sound examples."""

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bottlegen import bundle, lock, pins
from bottlegen.errors import BottlegenError
from bottlegen.hostview import HostView
from bottlegen.observed import Observed, add_run, from_json, to_json
from bottlegen.pipeline import build
from bottlegen.profile import load
from bottlegen.providers import PROVIDERS
from runtime import secrets
from runtime.audit.lines import lines, summary
from runtime.doctor import backports
from runtime.doctor.holes import open_holes
from runtime.host import Host, HostConfig, SecretSource, parse_host
from tests.pretend.login import CodexLogin

ROOT = Path(__file__).parents[2]
NOW = 1_800_000_000
CANARY = "CaNaRy0123456789"
_FIELDS = {name: provider.fields for name, provider in PROVIDERS.items()}
_PINS = pins.load()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """`read` gets the bytes and a folder of its own. `form` is how to break them with knowledge: toml, yaml, json or
    text. `also` are exceptions that it documents beside the error family."""

    read: Callable[[bytes, Path], object]
    seeds: tuple[bytes, ...]
    form: str
    also: tuple[type[Exception], ...] = ()


def _profile(name: str) -> Callable[[bytes, Path], object]:
    def read(raw: bytes, _: Path) -> object:
        return build(load(name, lambda _: raw, provider_fields=_FIELDS), _PINS)

    return read


def _manifest(raw: bytes, folder: Path) -> object:
    place = folder / "bundle"
    if not place.exists():
        shutil.copytree(ROOT / "bundles" / "codex", place)
    (place / bundle.MANIFEST).write_bytes(raw)
    return bundle.read(place)


def _host_toml(raw: bytes, folder: Path) -> object:
    config = parse_host(raw, "host.toml")
    host = Host(env={}, home=folder, config=config)
    values = secrets.effective_values(
        frozenset(name for name, source in config.secrets.items() if source.command is None and source.keyring is None),
        env={}, sources=config.secrets, provisioned={},
    )  # fmt: skip
    return host.extra_trust(), values


def _login(agent: str) -> Callable[[bytes, Path], object]:
    provider = PROVIDERS[agent]

    def read(raw: bytes, _: Path) -> object:
        view = HostView(env={}, home="/home/someone", now=NOW, read=lambda _: raw)
        given = provider.provision_host(provider.token_refs, view)
        for file in given.files:
            assert CANARY not in file.content
            file.content.encode()
        values, failed = secrets.effective_values(provider.token_refs, env={}, sources={}, provisioned=dict(given.env))
        assert not failed
        resolved = secrets.resolve({f"SLOT_{ref}": ref for ref in provider.token_refs}, values)
        return [value.reveal().encode() for value in resolved.values()]

    return read


def _token_file(raw: bytes, folder: Path) -> object:
    path = folder / "token"
    path.write_bytes(raw)
    sources = {"A_TOKEN": SecretSource(file=str(path))}
    values, failed = secrets.effective_values(frozenset(sources), env={}, sources=sources, provisioned={})
    assert bool(values) != bool(failed)
    return secrets.resolve({"SLOT": "A_TOKEN"}, values)["SLOT"].reveal().encode() if values else None


def _trust(raw: bytes, folder: Path) -> object:
    path = folder / "ca.pem"
    path.write_bytes(raw)
    return Host(env={"SSL_CERT_FILE": str(path)}, home=folder, config=HostConfig()).extra_trust()


def _audit(raw: bytes, _: Path) -> object:
    found = list(lines(raw[at : at + 4096] for at in range(0, len(raw), 4096)))
    routes = (ROOT / "bundles" / "codex" / "routes.json").read_bytes()
    record = to_json(add_run(Observed(), routes, [line.fields for line in found]))
    return [summary(line).encode() for line in found], from_json(record)


def _versions(raw: bytes, folder: Path) -> object:
    there = folder / "runc"
    there.mkdir(exist_ok=True)
    (there / "changelog.Debian.gz").write_bytes(raw)
    list(open_holes("runc", raw.decode(errors="replace"), frozenset()))
    return backports.changelog("runc", folder)


_LOGIN = CodexLogin(expires=NOW + 86400, canary=CANARY)
_GOOGLE = {"access_token": f"ya29.{CANARY}", "expiry_date": (NOW + 86400) * 1000, "refresh_token": CANARY}
_HOST_TOML = b"""
runtime = "docker"
[secrets]
A = { file = "token" }
B = { env = "OTHER" }
C = { command = ["gh", "auth", "token"] }
[upstream]
ca_file = "ca.pem"
hosts = { "git.corp.example" = "10.1.2.3:8443" }
[images]
mirror = "mirror.corp.example:5000"
[rootfs]
"images/agent.tar.gz" = "~/agent.tar.gz"
[review]
require = "merged:origin/main"
"""
_AUDIT = b"""\
[2026-01-01 10:00:00.000][1][info] starting
{"ts":"2026-01-01T10:00:00Z","event":"request","decision":"deny","host":"a.example:443","method":"GET","path":"/x"}
{"ts":"2026-01-01T10:00:01Z","event":"handshake","decision":"deny","sni":"b.example","route":"handshake"}
"""
_OBSERVED = to_json(add_run(Observed(), (ROOT / "bundles/codex/routes.json").read_bytes(), []))
_PROFILES = tuple(
    raw for path in sorted(ROOT.glob("tests/golden/*/profile.toml")) if b"extends" not in (raw := path.read_bytes())
)
_YAML = b"""
agent_provider: {template: codex, forward_host_credentials: true}
env: {EDITOR: vim}
egress:
  routes:
    - host: api.github.com
      methods: [GET]
      paths: ["/repos/**"]
      auth: {token_ref: GITHUB_TOKEN}
"""

READERS: dict[str, Reader] = {
    "profile-toml": Reader(read=_profile("p.toml"), seeds=_PROFILES, form="toml"),
    "profile-yaml": Reader(read=_profile("p.yaml"), seeds=(_YAML,), form="yaml"),
    "manifest": Reader(
        read=_manifest, seeds=((ROOT / "bundles/codex" / bundle.MANIFEST).read_bytes(),), form="json"
    ),
    "lock": Reader(
        read=lambda raw, _: pins.pinned(lock.parse("bottlegen.lock", raw)),
        seeds=((ROOT / "bottlegen.lock").read_bytes(),), form="toml",
    ),
    "pins": Reader(
        read=lambda raw, _: pins.project("bottlegen.lock", lambda _: raw),
        seeds=((ROOT / "bottlegen.lock").read_bytes(),), form="toml",
    ),
    "host-toml": Reader(read=_host_toml, seeds=(_HOST_TOML,), form="toml"),
    **{
        f"login-{agent}": Reader(read=_login(agent), seeds=seeds, form="json")
        for agent, seeds in {
            "codex": (_LOGIN.auth_json().encode(),),
            "gemini": (json.dumps(_GOOGLE).encode(),),
        }.items()
    },
    "token-file": Reader(read=_token_file, seeds=(CANARY.encode() + b"\n",), form="text"),
    "tokens-json": Reader(
        read=lambda raw, _: secrets.read_tokens(raw), seeds=(b'{"EGRESS_TOKEN_0":"GITHUB_TOKEN"}',), form="json"
    ),
    "trust": Reader(
        read=_trust, seeds=(b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(b"x" * 90) + b"\n",), form="text"
    ),
    "audit": Reader(read=_audit, seeds=(_AUDIT,), form="json"),
    "observed": Reader(read=lambda raw, _: from_json(raw), seeds=(_OBSERVED,), form="json", also=(ValueError,)),
    "changelog": Reader(read=_versions, seeds=(b"runc (1.1.5+ds1) bookworm\n", b"1.2.8-rc.1"), form="text"),
}  # fmt: skip


def only_errors_of_ours(name: str, raw: bytes, folder: Path) -> None:
    """Read; anything but an answer or a member of the error family goes through, and so does a told secret."""
    told = error_of(name, raw, folder)
    if told is not None:
        assert len(str(told)) < 100_000
        assert CANARY not in str(told)
        assert all(problem.what for problem in told.problems)


def error_of(name: str, raw: bytes, folder: Path) -> BottlegenError | None:
    """The member of the error family that a reader answers with, if it does; whatever else it raises goes through."""
    reader = READERS[name]
    try:
        reader.read(raw, folder)
    except BottlegenError as e:
        return e
    except reader.also:
        pass
    return None
