"""Every config that bottlegen can make is one that the pinned pipelock accepts, by its own judgement."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bottlegen import fields
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from bottlegen.plan import Auth, Route
from bottlegen.profile import Inspection
from bottlegen.routes import compile_routes
from bottlegen.sidecars import pipelock
from bottlegen.wording import Refusal
from runtime import ca
from tests.dataplane.sidecar import BOTTLE, now
from tests.inspection import programs

pytestmark = pytest.mark.pipelock
ROOT = Path(__file__).parents[2]
PROFILES = tuple(sorted((ROOT / "profiles").glob("*.toml")))


class Judge:
    """The real program, asked about a config whose files lie in its own folder."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        signer = ca.mint_signer(("a.test",), bottle=BOTTLE, now=now())
        secrets = b"known-secret-of-a-start\n"
        for name, data in {"ca.pem": signer.certificate, "ca-key.pem": signer.key, "secrets.txt": secrets}.items():
            (folder / name).write_bytes(data)
            (folder / name).chmod(0o600)

    def run(self, command: str, config: bytes, *options: str) -> subprocess.CompletedProcess[str]:
        path = self._folder / "pipelock.json"
        own = config.replace(pipelock.BASE.encode(), str(self._folder).encode())
        path.write_bytes(own.replace(pipelock.EVENTS.encode(), str(self._folder / "events").encode()))
        return subprocess.run(
            [self._program, command, "--config", path, *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def refusal(self, config: bytes) -> str:
        """What `check` says against it; empty when it is accepted."""
        done = self.run("check", config)
        return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(programs.real(tmp_path_factory.mktemp("program")), tmp_path_factory.mktemp("judge"))


def _with_inspection(profile: Path, folder: Path) -> bytes:
    """The config of a shipped profile to which `[pipelock]` was added."""
    (folder / profile.name).write_text(profile.read_text() + "\n[pipelock]\n")
    bundle = build(load_profile(str(folder / profile.name)), load_pins())
    return bundle.data(pipelock.FILE)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_check_and_diagnose_accept_the_shipped_profiles(judge: Judge, profile: Path, tmp_path: Path) -> None:
    config = _with_inspection(profile, tmp_path)
    assert judge.refusal(config) == ""
    told = judge.run("diagnose", config, "--json")
    assert told.returncode == 0, told.stdout
    assert {check["status"] for check in json.loads(told.stdout)["checks"]} <= {"pass", "skip"}, told.stdout


def test_a_config_with_one_key_more_or_a_wrong_mode_is_refused(judge: Judge) -> None:
    """The control: its parser is as strict as we count on."""
    good: dict[str, Any] = json.loads(pipelock.render("x", Inspection(), compile_routes([Route(host="a.test")])))
    assert judge.refusal(json.dumps(good).encode()) == ""
    assert "field surprise not found" in judge.refusal(json.dumps(good | {"surprise": 1}).encode())
    assert "invalid mode" in judge.refusal(json.dumps(good | {"mode": "permissive"}).encode())
    deeper = good | {"dlp": good["dlp"] | {"patterns": [{"name": "x", "regex": "(?=x)", "severity": "critical"}]}}
    assert "regex" in judge.refusal(json.dumps(deeper).encode())


def _accepted(text: str) -> bool:
    try:
        return bool(fields.regex(text))
    except Refusal:
        return False


_LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
_HOST = st.builds(lambda star, *labels: star + ".".join((*labels, "test")), st.sampled_from(("", "*.")), _LABEL, _LABEL)
_ROUTE = st.builds(
    lambda host, port, header, passed: Route(
        host=host, port=port, tls_passthrough=passed, auth=Auth(token_ref="T", header=header) if header else None
    ),
    _HOST, st.sampled_from((443, 8443)), st.sampled_from(("", "authorization", "x-api-key", "private-token")),
    st.booleans(),
)  # fmt: skip
_PIECE = st.sampled_from(
    ("a", "[0-9]", r"\d", r"\w", r"\b", "(a|b)", "(?:x)", "(?i)", "(?i:y)", ".", "{2}", "{2,5}", "+", "*", "?", "+?",
     "^", "$", "(?P<n>z)", "(?=q)", "(?!q)", r"\1", "(?P=n)", "{1001}", r"\Z", r"\A", "[[:alpha:]]", r"\x41", r"é",
     "(?#c)", "a++", r"\N{BULLET}", r"•", "(?s)", "(?a)", "[]]", "[^]]", r"\/", r"\-", r"\_", "{,3}", r"\Q")
)  # fmt: skip
_PATTERN = st.tuples(
    st.from_regex(r"[A-Za-z][A-Za-z0-9 ]{0,20}", fullmatch=True),
    st.one_of(st.lists(_PIECE, min_size=1, max_size=4).map("".join), st.text(min_size=1, max_size=8)).filter(_accepted),
)
_INSPECTION = st.builds(
    Inspection,
    mode=st.sampled_from(("strict", "balanced", "audit")),
    action=st.sampled_from(("block", "warn")),
    patterns=st.lists(_PATTERN, max_size=40, unique=True).map(tuple),
    max_body=st.integers(1 << 20, 1 << 30),
    max_response=st.integers(1 << 20, 1 << 30),
    requests_per_minute=st.integers(1, 1_000_000),
)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(inspection=_INSPECTION, routes=st.lists(_ROUTE, max_size=5, unique_by=lambda route: route.host))
def test_check_accepts_all_that_a_profile_may_say(judge: Judge, inspection: Inspection, routes: list[Route]) -> None:
    config = pipelock.render("generated", inspection, compile_routes(routes))
    assert judge.refusal(config) == "", inspection


def test_the_stand_in_says_the_pinned_version(tmp_path: Path) -> None:
    said = [
        subprocess.run([program, "version"], capture_output=True, text=True, check=True).stderr.splitlines()[0]
        for program in (programs.stand_in(tmp_path), shutil.which("pipelock") or programs.STAND_IN)
    ]
    assert said[0] == said[1]
