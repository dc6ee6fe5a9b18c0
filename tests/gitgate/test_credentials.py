"""The credential goes to its host alone, from memory, and stands nowhere else; no gate is no way out."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bottlegen.secret import Secret
from runtime.base import MaterialFile
from runtime.sidecars import git_gate as material
from runtime.sidecars.begin import Held
from tests import live
from tests.gitgate.conftest import AUTHOR, TOKEN, Agent, World, agent_settings
from tests.gitgate.gate import HOST, bundle_of, running
from tests.gitgate.processes import shown
from tests.pretend.authority import TestAuthority
from tests.pretend.git_host import GitHost

OWN = """
[[git.remotes]]
name = "own"
url = "https://git.example.com/acme/own.git"
token_ref = "GIT_TOKEN"
push = ["**"]
"""
_URL = "https://git.example.com/acme/own.git"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[GitHost, Callable[..., World]]]:
    """A host with one repository, and gates before it that a test may spoil."""
    stack: list[object] = []
    with GitHost(tmp_path / "repositories", token=TOKEN, hosts=(HOST,)) as host:
        host.make("acme/own.git")
        contexts = []

        def make(**changes: Any) -> World:
            folder = tmp_path / f"gate-{len(stack)}"
            folder.mkdir()
            stack.append(folder)
            context = running(folder, bundle_of(tmp_path, OWN), host, {"GIT_TOKEN": TOKEN}, **changes)
            contexts.append(context)
            return World(gate=context.__enter__(), host=host)

        yield host, make
        for context in contexts:
            context.__exit__(None, None, None)


def _agent(world: World, home: Path) -> Agent:
    return Agent(home=home, settings=agent_settings(world.gate), env=dict(AUTHOR))


def _held(world: World, token: str) -> tuple[MaterialFile, ...]:
    values = {"GIT_GATE_TOKEN_0": Secret(token)}
    return material.credentials(Held(bundle=world.gate.bundle, values=values, every_value=(), static_hosts={}))


def test_a_rotated_credential_is_used(own: tuple[GitHost, Callable[..., World]], tmp_path: Path) -> None:
    host, make = own
    world = make()
    agent = _agent(world, tmp_path)
    agent.must("ls-remote", _URL)
    host.token = "canary-of-tomorrow"
    refused = agent.git("ls-remote", _URL)
    assert refused.status
    assert (
        "git.example.com refused the credential in slot GIT_GATE_TOKEN_0; a person may run: bottlegen refresh"
        in refused.said
    )
    world.gate.place(_held(world, host.token))
    agent.must("ls-remote", _URL)


def test_an_empty_credential_is_none(own: tuple[GitHost, Callable[..., World]], tmp_path: Path) -> None:
    _, make = own
    world = make()
    world.gate.place(_held(world, ""))
    assert "refused the credential" in _agent(world, tmp_path).git("ls-remote", _URL).said


def test_a_host_that_cannot_prove_its_name_gets_nothing(
    own: tuple[GitHost, Callable[..., World]], tmp_path: Path
) -> None:
    host, make = own
    world = make(extra_trust=TestAuthority().pem.encode())
    done = _agent(world, tmp_path).git("ls-remote", _URL)
    assert done.status
    assert "certificate" in done.said
    assert host.seen == []


def test_a_redirect_is_not_followed(own: tuple[GitHost, Callable[..., World]], tmp_path: Path) -> None:
    host, make = own
    world = make()
    with GitHost(tmp_path / "elsewhere", token=TOKEN, hosts=(HOST,), authority=host.authority) as other:
        other.make("acme/own.git")
        host.redirect = f"https://{HOST}:{other.address[1]}"
        done = _agent(world, tmp_path).git("ls-remote", _URL)
        assert done.status
        assert other.seen == other.refused == []


def test_a_name_without_an_address_is_no_way_out(own: tuple[GitHost, Callable[..., World]], tmp_path: Path) -> None:
    _, make = own
    world = make(static_hosts={})
    done = _agent(world, tmp_path).git("ls-remote", _URL)
    assert done.status
    assert "git.example.com" in done.said


def test_a_dead_gate_is_a_closed_gate(own: tuple[GitHost, Callable[..., World]], tmp_path: Path) -> None:
    host, make = own
    world = make()
    world.gate.process.kill()
    world.gate.process.wait()
    done = _agent(world, tmp_path).git("ls-remote", _URL)
    assert done.status
    assert "unable to connect" in done.said
    assert host.seen == []


def test_no_token_but_in_its_slot(own: tuple[GitHost, Callable[..., World]], tmp_path: Path) -> None:
    """Looked for in every file, argument and variable while a push is under way, and in all that was written."""
    host, make = own
    world = make()
    agent = _agent(world, tmp_path)
    waiting, go = tmp_path / "waiting", tmp_path / "go"
    hook = host.root / "acme/own.git" / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\ntouch {waiting}\nwhile [ ! -e {go} ]; do sleep 0.05; done\n")
    hook.chmod(0o755)
    agent.must("clone", "-q", _URL, "work")
    agent.commit(tmp_path / "work", "file")
    pushing = subprocess.Popen(
        ["git", "push", "-q", "origin", "HEAD:main"], cwd=tmp_path / "work",
        env={"PATH": os.environ["PATH"], **agent.settings, **agent.env}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    while not waiting.exists():
        assert pushing.poll() is None
    found = shown(world.gate.process.pid)
    files = _files_with(TOKEN.encode(), world.gate.folder)
    go.touch()
    said, _ = pushing.communicate(timeout=30)
    assert pushing.returncode == 0, said
    assert b"git-remote-https" in found, "nothing was under way"
    assert TOKEN.encode() not in found + said + world.gate.said().encode()
    assert files == ["base/slots/GIT_GATE_TOKEN_0"]
    assert (world.gate.folder / files[0]).stat().st_mode & 0o777 == 0o600


def test_the_search_finds_what_is_planted(tmp_path: Path) -> None:
    (tmp_path / "planted").write_text(f"x {TOKEN} y")
    assert _files_with(TOKEN.encode(), tmp_path) == ["planted"]
    for env, word in (({"PLANTED": TOKEN}, "x"), ({}, TOKEN)):
        with subprocess.Popen(["sh", "-c", "read line", word], env=env, stdin=subprocess.PIPE) as process:
            end = time.monotonic() + 10
            while TOKEN.encode() not in shown(process.pid):
                assert time.monotonic() < end
            process.communicate(b"\n")


def _files_with(needle: bytes, folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in live.holding(folder, needle)]
