"""Writing through the gate: what is allowed arrives, and what is refused leaves nothing at the remote."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import live
from tests.gitgate.conftest import TOKEN, Agent, Done, World
from tests.gitgate.processes import Memory

GITHUB_TOKEN = "ghp_" + "aB3dE" * 8
"""Nobody's: made of the shape alone."""


def test_a_push_to_an_allowed_ref_arrives(agent: Agent, world: World, branch: str) -> None:
    folder = agent.clone("strict")
    new = agent.commit(folder, "work")
    agent.must("push", "-q", "origin", f"HEAD:{branch}", cwd=folder)
    assert world.refs("strict")[f"refs/heads/{branch}"] == new
    agent.must("push", "-q", "origin", "HEAD:refs/heads/notes-1", "HEAD:refs/tags/v1", cwd=folder)
    assert world.refs("strict")["refs/tags/v1"] == new
    more = agent.commit(folder, "more")
    agent.must("push", "-q", "origin", f"HEAD:{branch}", cwd=folder)
    assert world.refs("strict")[f"refs/heads/{branch}"] == more


def test_a_push_from_a_shallow_clone_arrives(agent: Agent, world: World, branch: str) -> None:
    folder = agent.clone("strict", "--depth", "1")
    new = agent.commit(folder, "work")
    agent.must("push", "-q", "origin", f"HEAD:{branch}", cwd=folder)
    assert world.refs("strict")[f"refs/heads/{branch}"] == new


def test_force_and_delete_where_they_are_allowed(agent: Agent, world: World, branch: str) -> None:
    folder = agent.clone("free")
    agent.commit(folder, "work")
    agent.must("push", "-q", "origin", f"HEAD:{branch}", cwd=folder)
    agent.must("commit", "-q", "--amend", "-m", "other", cwd=folder)
    agent.must("push", "-q", "--force", "origin", f"HEAD:{branch}", cwd=folder)
    assert world.refs("free")[f"refs/heads/{branch}"] == agent.must("rev-parse", "HEAD", cwd=folder).strip()
    agent.must("push", "-q", "origin", f":{branch}", cwd=folder)
    assert f"refs/heads/{branch}" not in world.refs("free")


Push = Callable[[Agent, Path, str], Done]


def _outside(agent: Agent, folder: Path, branch: str) -> Done:
    agent.commit(folder, "work")
    return agent.git("push", "origin", "HEAD:main", cwd=folder)


def _beside_one_that_is_allowed(agent: Agent, folder: Path, branch: str) -> Done:
    agent.commit(folder, "work")
    return agent.git("push", "origin", f"HEAD:{branch}", "HEAD:refs/heads/elsewhere", cwd=folder)


def _tag_outside(agent: Agent, folder: Path, branch: str) -> Done:
    return agent.git("push", "origin", "HEAD:refs/tags/release", cwd=folder)


def _tag_moved(agent: Agent, folder: Path, branch: str) -> Done:
    agent.commit(folder, "work")
    return agent.git("push", "--force", "origin", "HEAD:refs/tags/v0", cwd=folder)


def _other_namespace(agent: Agent, folder: Path, branch: str) -> Done:
    return agent.git("push", "origin", "HEAD:refs/pull/1/head", cwd=folder)


def _forced(agent: Agent, folder: Path, branch: str) -> Done:
    agent.must("reset", "-q", "--hard", "HEAD~1", cwd=folder)
    agent.commit(folder, "work")
    return agent.git("push", "--force", "origin", "HEAD:agent/base", cwd=folder)


def _deleted(agent: Agent, folder: Path, branch: str) -> Done:
    return agent.git("push", "origin", ":agent/base", cwd=folder)


def _too_large(agent: Agent, folder: Path, branch: str) -> Done:
    agent.commit(folder, "large", os.urandom(1_200_000))
    return agent.git("push", "origin", f"HEAD:{branch}", cwd=folder)


def _secret(agent: Agent, folder: Path, branch: str) -> Done:
    agent.commit(folder, "settings.py", f'TOKEN = "{GITHUB_TOKEN}"\n')
    return agent.git("push", "origin", f"HEAD:{branch}", cwd=folder)


def _secret_of_an_earlier_commit(agent: Agent, folder: Path, branch: str) -> Done:
    agent.commit(folder, "settings.py", f'TOKEN = "{GITHUB_TOKEN}"\n')
    agent.commit(folder, "settings.py", "TOKEN = None\n")
    return agent.git("push", "origin", f"HEAD:{branch}", cwd=folder)


def _secret_in_a_binary_file(agent: Agent, folder: Path, branch: str) -> Done:
    agent.commit(folder, "image.bin", bytes(range(256)) * 4000 + GITHUB_TOKEN.encode() + b"\0\0")
    return agent.git("push", "origin", f"HEAD:{branch}", cwd=folder)


def _secret_in_a_message(agent: Agent, folder: Path, branch: str) -> Done:
    agent.must("commit", "-q", "--allow-empty", "-m", f"see {GITHUB_TOKEN}", cwd=folder)
    return agent.git("push", "origin", f"HEAD:{branch}", cwd=folder)


def _secret_in_a_file_name(agent: Agent, folder: Path, branch: str) -> Done:
    agent.commit(folder, GITHUB_TOKEN)
    return agent.git("push", "origin", f"HEAD:{branch}", cwd=folder)


def _secret_in_a_branch_name(agent: Agent, folder: Path, branch: str) -> Done:
    return agent.git("push", "origin", f"HEAD:agent/{GITHUB_TOKEN}", cwd=folder)


def _the_gates_own_credential(agent: Agent, folder: Path, branch: str) -> Done:
    agent.commit(folder, "plain", f"nothing of a shape: {TOKEN}\n")
    return agent.git("push", "origin", f"HEAD:{branch}", cwd=folder)


def _lfs(agent: Agent, folder: Path, branch: str) -> Done:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    agent.commit(folder, "movie.mp4", pointer)
    return agent.git("push", "origin", f"HEAD:{branch}", cwd=folder)


REFUSED: dict[str, tuple[Push, str, str]] = {
    "outside": (_outside, "refs/heads/main is outside", 'push = ["refs/heads/agent/**", "refs/heads/notes-*"]'),
    "beside an allowed one": (_beside_one_that_is_allowed, "refs/heads/elsewhere is outside", "push = ["),
    "tag outside": (_tag_outside, "refs/tags/release is outside", 'tags = ["refs/tags/v*"]'),
    "tag moved": (_tag_moved, "refs/tags/v0 is there already", "force = false"),
    "other namespace": (_other_namespace, "refs/pull/1/head is outside", "push = ["),
    "forced": (_forced, "not a fast-forward", "force = false"),
    "deleted": (_deleted, "would be deleted", "delete = false"),
    "too large": (_too_large, "the push has 12", "max_size = 1048576"),
    "secret": (_secret, "settings.py (object", "secret_scan = true"),
    "secret earlier": (_secret_of_an_earlier_commit, "holds a GitHub token", "secret_scan = true"),
    "secret in binary": (_secret_in_a_binary_file, "image.bin (object", "secret_scan = true"),
    "secret in message": (_secret_in_a_message, "commit (object", "secret_scan = true"),
    "secret in file name": (_secret_in_a_file_name, "holds a GitHub token", "secret_scan = true"),
    "secret in branch name": (_secret_in_a_branch_name, "the name of a ref", "secret_scan = true"),
    "own credential": (_the_gates_own_credential, "a credential of this bottle", "secret_scan = true"),
    "lfs": (_lfs, "movie.mp4", "no Git LFS"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_leaves_nothing_at_the_remote(case: str, agent: Agent, world: World, branch: str) -> None:
    push, what, rule = REFUSED[case]
    folder = agent.clone("strict")
    before, sent = world.holds("strict"), world.pushes()
    done = push(agent, folder, branch)
    assert done.status == 1
    assert "nothing has left the bottle" in done.said
    assert what in done.said
    assert f'rule: profile "gated", git.remotes "strict": {rule}' in done.said
    assert GITHUB_TOKEN not in done.said.replace(f"agent/{GITHUB_TOKEN}", "")
    assert world.holds("strict") == before
    assert world.pushes() == sent
    line = world.gate.audit()[-1]
    assert (line["method"], line["decision"], line["status"]) == ("PUSH", "deny", "refused")
    assert line["rule"].startswith(rule.split(" = ")[0])
    assert GITHUB_TOKEN not in str({**line, "refs": ""})


def test_a_read_only_remote_says_so(agent: Agent, world: World) -> None:
    folder = agent.clone("docs")
    agent.commit(folder, "work")
    done = agent.git("push", "origin", "HEAD:agent/x", cwd=folder)
    assert done.status == 128
    assert 'read-only; rule: profile "gated", git.remotes "docs": push = []' in done.said
    assert "refs/heads/agent/x" not in world.refs("docs")


def test_more_than_the_disk_should_take_is_cut_off(agent: Agent, world: World, branch: str) -> None:
    """Twice the bound and some: git itself stops reading, before the hook is asked, and the gate says why."""
    folder = agent.clone("strict")
    agent.must("config", "core.compression", "0", cwd=folder)
    agent.commit(folder, "huge", os.urandom(67 << 20))
    before = world.holds("strict")
    done = agent.git("push", "origin", f"HEAD:{branch}", cwd=folder)
    assert done.status == 1
    assert "the push has more than 69206016 bytes" in done.said
    assert 'rule: profile "gated", git.remotes "strict": max_size = 1048576' in done.said
    assert world.gate.audit()[-1]["rule"] == "max_size = 1048576"
    assert world.holds("strict") == before
    end = time.monotonic() + 10
    while list((world.gate.folder / "scratch").glob("remotes/strict/objects/tmp_objdir-*")):  # git tidies up behind it
        assert time.monotonic() < end
        time.sleep(0.02)
    used = sum(path.stat().st_size for path in live.files(world.gate.folder / "scratch"))
    assert used < 20 << 20


def test_without_the_scan_only_lfs_is_looked_for(agent: Agent, world: World, branch: str) -> None:
    folder = agent.clone("free")
    new = agent.commit(folder, "settings.py", f'TOKEN = "{GITHUB_TOKEN}"\n')
    agent.must("push", "-q", "origin", f"HEAD:{branch}", cwd=folder)
    assert world.refs("free")[f"refs/heads/{branch}"] == new
    done = _lfs(agent, folder, branch)
    assert "is a Git LFS pointer" in done.said
    assert world.refs("free")[f"refs/heads/{branch}"] == new


# --- the remote has the last word


@pytest.fixture
def upstream_hook(world: World) -> Iterator[Callable[[str], None]]:
    """Make the remote run a hook of its own on every push to `large`."""
    path = world.upstream("large") / "hooks" / "pre-receive"

    def write(script: str) -> None:
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    yield write
    path.unlink(missing_ok=True)


def test_what_the_remote_rejects_is_rejected(
    agent: Agent, world: World, branch: str, upstream_hook: Callable[[str], None]
) -> None:
    upstream_hook("echo 'policy: no pushes on Sunday'; exit 1")
    folder = agent.clone("large")
    agent.commit(folder, "work")
    done = agent.git("push", "origin", f"HEAD:{branch}", cwd=folder)
    assert done.status == 1
    assert "policy: no pushes on Sunday" in done.said
    assert "git.example.com did not take this push" in done.said
    assert "[remote rejected] (pre-receive hook declined)" in done.said
    assert f"refs/heads/{branch}" not in agent.must("ls-remote", "origin", cwd=folder)
    assert world.gate.audit()[-2]["status"] == "rejected"


def test_what_the_remote_says_is_passed_on(agent: Agent, branch: str, upstream_hook: Callable[[str], None]) -> None:
    upstream_hook("echo 'open a pull request at https://git.example.com/pulls'")
    folder = agent.clone("large")
    agent.commit(folder, "work")
    said = agent.must("push", "origin", f"HEAD:{branch}", cwd=folder)
    assert "remote: open a pull request at https://git.example.com/pulls" in said


def test_several_refs_arrive_together_or_not_at_all(
    agent: Agent, world: World, branch: str, upstream_hook: Callable[[str], None]
) -> None:
    folder = agent.clone("large")
    agent.commit(folder, "work")
    moved = _moved_meanwhile(agent, world, folder, f"{branch}-b")
    done = agent.git("push", "origin", f"HEAD:{branch}-a", f"HEAD:{branch}-b", cwd=folder)
    assert done.status == 1
    assert f"refs/heads/{branch}-a" not in world.refs("large")
    assert world.refs("large")[f"refs/heads/{branch}-b"] == moved


def test_a_remote_that_moved_meanwhile_is_not_overwritten(agent: Agent, world: World, branch: str) -> None:
    folder = agent.clone("large")
    agent.commit(folder, "work")
    moved = _moved_meanwhile(agent, world, folder, branch)
    done = agent.git("push", "--force", "origin", f"HEAD:{branch}", cwd=folder)
    assert done.status == 1
    assert "somebody else has pushed meanwhile" in done.said
    assert world.refs("large")[f"refs/heads/{branch}"] == moved
    assert moved in agent.must("ls-remote", "origin", cwd=folder)


def _moved_meanwhile(agent: Agent, world: World, folder: Path, branch: str) -> str:
    """git runs this hook when it has seen the gate's refs and sent nothing yet (githooks(5), pre-push)."""
    hook = folder / ".git" / "hooks" / "pre-push"
    old = agent.must("rev-parse", "HEAD~1", cwd=folder).strip()
    push = f"git push -q --no-verify '{world.upstream('large')}' {old}:refs/heads/{branch}"
    hook.write_text(f"#!/bin/sh\n{push}\n")
    hook.chmod(0o755)
    return old


def test_two_agents_push_at_once(agent: Agent, world: World, branch: str) -> None:
    """To two branches both arrive; to one branch exactly one does, and the gate knows whose."""
    folders = [agent.clone("large"), agent.clone("large")]
    new = [agent.commit(folder, "work", f"of {index}\n") for index, folder in enumerate(folders)]
    own = _at_once(agent, folders, [f"HEAD:{branch}-0", f"HEAD:{branch}-1"])
    assert [done.status for done in own] == [0, 0], own
    assert [world.refs("large")[f"refs/heads/{branch}-{index}"] for index in (0, 1)] == new
    same = _at_once(agent, folders, [f"HEAD:{branch}", f"HEAD:{branch}"])
    assert sorted(done.status for done in same) == [0, 1], same
    winner = new[[done.status for done in same].index(0)]
    assert world.refs("large")[f"refs/heads/{branch}"] == winner
    assert f"{winner}\trefs/heads/{branch}" in agent.must("ls-remote", "origin", cwd=folders[0])


def _at_once(agent: Agent, folders: list[Path], refs: list[str]) -> list[Done]:
    with ThreadPoolExecutor(max_workers=len(folders)) as pool:
        jobs = [pool.submit(agent.git, "push", "origin", ref, cwd=at) for at, ref in zip(folders, refs, strict=True)]
        return [job.result() for job in jobs]


# --- size


_BOUND = 56 << 20
"""Bytes, a fourth of the file; 36 MiB were measured."""


def test_a_large_push_streams(agent: Agent, world: World, branch: str) -> None:
    """200 MB in one file: no process of the gate keeps a part of it that grows with it, the scan included."""
    folder = _with_large_file(agent, 200)
    received = world.host.received
    with Memory(world.gate.process.pid) as memory:
        agent.must("push", "-q", "origin", f"HEAD:{branch}", cwd=folder)
    assert world.refs("large")[f"refs/heads/{branch}"] == agent.must("rev-parse", "HEAD", cwd=folder).strip()
    assert world.host.received - received > 200 << 20
    assert memory.peak < _BOUND, memory.peak


def test_the_measure_of_memory_sees_what_does_not_stream(agent: Agent, world: World, branch: str) -> None:
    """The same with git's own setting, which takes a file of 60 MB into memory."""
    folder = _with_large_file(agent, 60)
    config = world.gate.folder / "base" / "gitconfig"
    kept = config.read_text()
    config.write_text(kept.replace("bigFileThreshold = 1m", "bigFileThreshold = 512m"))
    try:
        with Memory(world.gate.process.pid) as memory:
            agent.must("push", "-q", "origin", f"HEAD:{branch}", cwd=folder)
    finally:
        config.write_text(kept)
    assert memory.peak > _BOUND, memory.peak


def _with_large_file(agent: Agent, megabytes: int) -> Path:
    folder = agent.clone("large")
    for setting in ("core.compression", "pack.compression"):
        agent.must("config", setting, "0", cwd=folder)
    agent.must("config", "core.bigFileThreshold", "1m", cwd=folder)
    piece = os.urandom(1 << 20)
    with (folder / "large").open("wb") as file:
        for number in range(megabytes):
            file.write(number.to_bytes(8) + piece[8:])
    agent.must("add", "large", cwd=folder)
    agent.must("commit", "-q", "-m", "large", cwd=folder)
    return folder
