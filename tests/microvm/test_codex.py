"""The real Codex takes a turn in a microVM: its login is the host's, its token is added outside of the machine."""

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from runtime.host import Host
from tests import live
from tests.contract.bottle import standard_streams
from tests.microvm.test_bottle import engine_s_folders, host, launched, place, provider, runtime  # noqa: F401 - fixtures
from tests.pretend import Pretence, PretendProvider
from tests.pretend.login import CodexLogin

ARTIFACTS = Path("/artifacts")
"""The downloads of the machine that runs the bed; nothing is fetched in it."""


@pytest.fixture
def login(host: Host, provider: PretendProvider) -> CodexLogin:  # noqa: F811
    made = CodexLogin(account="acct-pretend", expires=int(time.time()) + 86400, canary="microvm")
    (host.home / "codex").mkdir()
    (host.home / "codex" / "auth.json").write_text(made.auth_json())
    provider.pretence = Pretence(
        account=made.account, reply="hello from outside", websocket=True, command="",
        expected={"chatgpt.com": f"Bearer {made.access_token}"},
    )  # fmt: skip
    return made


@pytest.mark.slow
def test_codex_takes_a_turn(host: Host, runtime: Any, provider: PretendProvider, login: CodexLogin) -> None:  # noqa: F811
    for archive in ARTIFACTS.glob("*"):
        target = host.cache / "artifacts" / archive.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.symlink_to(archive)
    if not any("codex" in path.name for path in ARTIFACTS.rglob("*")):
        pytest.skip("no download of Codex on the machine that runs the bed")
    work, home = host.home / "codex-work", host.home / "codex-home"
    for folder in (work, home):
        folder.mkdir()
    command = ("codex", "exec", "--skip-git-repo-check", "say hi")
    made = launched("codex", "codex", runtime, host, command=command, workspace=work, home=home)
    begun = time.monotonic()
    with standard_streams(b"") as streams:
        status = runtime.attach("codex", release=True)
    out, err = streams
    print(f"Codex's turn took {time.monotonic() - begun:.0f} s")
    assert status == 0, (out + err).decode()
    assert b"hello from outside" in out
    turn = next(seen for seen in provider.to("chatgpt.com") if seen.header("upgrade") == "websocket")
    assert turn.header("authorization") == f"Bearer {login.access_token}"
    token = login.access_token.encode()
    assert live.holding(home, token) == []
    runtime.remove(made.name)
    shutil.rmtree(work)
