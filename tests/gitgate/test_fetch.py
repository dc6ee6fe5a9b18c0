"""Reading through the gate with plain git: whole, in part, and never more than the profile allows."""

import json
from pathlib import Path

from tests.gitgate.conftest import REMOTES, Agent, World
from tests.gitgate.gate import bundle_of


def test_a_clone_by_its_usual_url(agent: Agent, world: World) -> None:
    folder = agent.clone("strict")
    assert (folder / "file-2").read_text().startswith("text 2")
    assert f"git://{world.gate.address}/strict" in agent.must("remote", "-v", cwd=folder)
    assert "refs/remotes/origin/HEAD" in agent.must("for-each-ref", cwd=folder)


def test_every_way_to_write_the_url_leads_to_the_gate(agent: Agent) -> None:
    for url in (
        "https://git.example.com/acme/strict",
        "https://git.example.com/acme/strict.git",
        "ssh://git@git.example.com/acme/strict.git",
        "git@git.example.com:acme/strict.git",
    ):
        assert "refs/heads/main" in agent.must("ls-remote", url)


def test_what_is_new_at_the_remote_is_seen_at_once(agent: Agent, world: World, branch: str) -> None:
    folder = agent.clone("strict")
    other = agent.clone("strict")
    new = agent.commit(other, "news")
    agent.must("push", "-q", str(world.upstream("strict")), f"HEAD:refs/heads/{branch}", cwd=other)
    agent.must("fetch", "-q", cwd=folder)
    assert agent.must("rev-parse", f"origin/{branch}", cwd=folder).strip() == new
    agent.must("push", "-q", str(world.upstream("strict")), f":refs/heads/{branch}", cwd=other)
    assert f"refs/heads/{branch}" not in agent.must("ls-remote", "origin", cwd=folder)


def test_the_protocol_is_version_2(agent: Agent) -> None:
    said = agent.must("ls-remote", "https://git.example.com/acme/strict", GIT_TRACE_PACKET="1")
    assert "< version 2" in said
    old = agent.must(
        "-c", "protocol.version=0", "ls-remote", "https://git.example.com/acme/strict", GIT_TRACE_PACKET="1"
    )
    assert "< version 2" not in old


def test_a_shallow_clone(agent: Agent) -> None:
    folder = agent.clone("strict", "--depth", "1")
    assert agent.must("rev-list", "--count", "HEAD", cwd=folder).strip() == "1"
    agent.must("fetch", "-q", "--unshallow", cwd=folder)
    assert agent.must("rev-list", "--count", "HEAD", cwd=folder).strip() == "3"


def test_a_clone_without_blobs_that_come_when_needed(agent: Agent) -> None:
    folder = agent.clone("strict", "--filter=blob:none", "--no-checkout")
    missing = agent.must("rev-list", "--objects", "--missing=print", "HEAD", cwd=folder)
    assert missing.count("\n?") + missing.startswith("?") == 3
    agent.must("checkout", "-q", "main", cwd=folder)
    assert (folder / "file-0").read_text().startswith("text 0")


def test_refs_that_may_not_be_read_are_not_there(agent: Agent, world: World) -> None:
    assert "refs/heads/hidden" in world.refs("docs")
    said = agent.must("ls-remote", "https://git.example.com/acme/docs.git")
    assert "refs/heads/main" in said
    assert "hidden" not in said
    assert "refs/tags" not in said
    assert "refs/heads/hidden" in agent.must("ls-remote", "https://git.example.com/acme/strict.git")


def test_another_repository_of_the_same_host_is_not_there(agent: Agent) -> None:
    done = agent.git("ls-remote", "https://git.example.com/acme/strict-and-more")
    assert done.status
    assert "no such repository" in done.said


def test_a_longer_name_is_another_repository(agent: Agent, tmp_path: Path) -> None:
    """git's own answer, for a bottle whose egress leads to the same host."""
    route = '[[egress.routes]]\nhost = "git.example.com"\n'
    env = json.loads(bundle_of(tmp_path, REMOTES + route).data("agent/env.json"))
    settings = {name: value for name, value in env.items() if name.startswith("GIT_CONFIG_")}
    for url, led in (
        ("https://git.example.com/acme/strict", "git://git-gate/strict"),
        ("https://git.example.com/acme/strict.git", "git://git-gate/strict"),
        ("https://git.example.com/acme/strict/", "git://git-gate/strict/"),
        ("https://git.example.com/acme/strictly", "https://git.example.com/acme/strictly"),
        ("https://git.example.com/acme/strict.github.io", "https://git.example.com/acme/strict.github.io"),
        ("git@git.example.com:acme/strict.git", "git://git-gate/strict"),
    ):
        assert agent.must("ls-remote", "--get-url", url, **settings).strip() == led
