"""What every runtime owes, driven through runtime.base.Runtime: the same test, the same bundle, whatever holds it."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bottlegen.errors import RuntimeFailure
from runtime.base import LaunchSpec, MaterialFile
from tests.contract.bottle import Bottle, launch, make_runtime, standard_streams
from tests.engine.bottle import OWNER, git, make_repository

UID = OWNER if os.getuid() == 0 else os.getuid()
SpecMaker = Callable[..., LaunchSpec]
BottleMaker = Callable[..., Bottle]


def test_a_start_is_listed_and_its_agent_is_who_it_should_be(bottle: Bottle, kind: str) -> None:
    (status,) = [status for status in bottle.runtime.list() if status.bottle == bottle.name]
    assert (status.state, status.runtime) == ("running", kind.replace("pretend machines", "smolmachines"))
    assert dict(status.services) == {"agent": "running", "egress": "running"}
    assert (status.profile, status.hash, status.session) == ("shell", bottle.spec.bundle.hash, bottle.spec.session)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", status.created)
    assert bottle.run("sh", "-c", 'id -u; id -un; pwd; echo "$HOME $HTTPS_PROXY"; command -v sh') == (
        0, f"{UID}\nagent\n/workspace\n/home/agent http://egress:3128\n/usr/bin/sh\n"
    )  # fmt: skip


def test_the_command_waits_at_the_gate(make_spec: SpecMaker, runtime: Any, folder: Path) -> None:
    spec = make_spec("touch", "/workspace/ran", workspace=folder)
    launch(spec, runtime)
    time.sleep(0.3)
    assert not (folder / "ran").exists()
    runtime.release_agent(spec.bottle)
    _eventually((folder / "ran").exists)
    assert (folder / "ran").stat().st_uid == UID


def test_attach_gives_every_byte_and_the_exit_status(make_spec: SpecMaker, runtime: Any) -> None:
    spec = make_spec("sh", "-c", "cat; echo complaint >&2; seq 20000; exit 7", interactive=True)
    launch(spec, runtime)
    with standard_streams(b"x" * 300_000) as streams:
        assert runtime.attach(spec.bottle, release=True) == 7
    out, err = streams
    assert out == b"x" * 300_000 + "".join(f"{number}\n" for number in range(1, 20001)).encode()
    assert b"complaint\n" in err


def test_attach_gives_a_slow_reader_the_last_byte(make_spec: SpecMaker, runtime: Any) -> None:
    spec = make_spec("sh", "-c", "seq 100000; exit 7")
    launch(spec, runtime)
    with standard_streams(b"", slowly=True) as streams:
        assert runtime.attach(spec.bottle, release=True) == 7
    assert streams[0] == "".join(f"{number}\n" for number in range(1, 100_001)).encode()


def test_a_stopped_agent_is_told_from_a_running_one(make_bottle: BottleMaker) -> None:
    bottle = make_bottle("sh", "-c", "exit 3")
    _eventually(lambda: bottle.state() == "stopped")


def test_exec_takes_input_and_gives_status(bottle: Bottle) -> None:
    assert bottle.run("sh", "-c", "cat; echo bad >&2; exit 5", data=b"fed\n") == (5, "fed\nbad\n")
    assert bottle.run("no-such-command")[0] in (126, 127)


def test_logs_are_the_agents_output(make_spec: SpecMaker, runtime: Any) -> None:
    spec = make_spec("sh", "-c", "echo one; sleep 0.4; echo two")
    launch(spec, runtime)
    runtime.release_agent(spec.bottle)
    assert b"".join(runtime.logs(spec.bottle, "agent", follow=True)) == b"one\ntwo\n"


def test_a_refusal_names_the_lines_and_is_in_the_audit(bottle: Bottle) -> None:
    status, output = bottle.run("curl", "-sS", "https://not-allowed.test/")
    assert status != 0
    assert "403" in output
    refused = bottle.run("curl", "-sS", "https://api.github.com/user", "--noproxy", "*")
    assert "no route for GET /user" in refused[1]
    _eventually(lambda: b"not-allowed.test" in b"".join(bottle.runtime.logs(bottle.name, "egress", follow=False)))


def test_material_can_be_placed_again(bottle: Bottle, kind: str) -> None:
    file = MaterialFile(path="/home/agent/.later", mode=0o640, data=b"second")
    bottle.runtime.place(bottle.name, "agent", [file])
    assert bottle.run("sh", "-c", "cat ~/.later; stat -c ' %a %u' ~/.later") == (0, f"second 640 {UID}\n")
    bottle.runtime.place(bottle.name, "egress", [MaterialFile(path="/run/egress/x", mode=0o600, data=b"")])


def test_material_that_cannot_be_placed_is_an_error(bottle: Bottle) -> None:
    with pytest.raises(RuntimeFailure):
        bottle.runtime.place(bottle.name, "agent", [MaterialFile(path="/usr/x", mode=0o600, data=b"")])


def test_a_taken_name_is_refused_and_the_bottle_there_lives(
    bottle: Bottle, make_spec: SpecMaker, kind: str, tmp_path: Path
) -> None:
    twin = make_spec(bottle=bottle.name, session="other")
    with make_runtime(kind, tmp_path / "state") as other, pytest.raises(RuntimeFailure, match="is already up"):
        launch(twin, other)
    assert bottle.run("true") == (0, "")


def test_two_bottles_stand_side_by_side(make_bottle: BottleMaker, folder: Path) -> None:
    first, second = make_bottle(workspace=folder), make_bottle(workspace=folder)
    second.runtime.remove(second.name)
    assert first.run("curl", "-sS", "https://api.github.com/user", "--noproxy", "*")[0] == 0
    assert (first.state(), second.state()) == ("running", "")


def test_remove_takes_everything_and_twice_is_fine(bottle: Bottle) -> None:
    assert bottle.runtime.remove(bottle.name, session="another") is False
    assert bottle.state() == "running"
    assert bottle.runtime.remove(bottle.name) is True
    assert bottle.state() == ""
    assert bottle.runtime.remove(bottle.name) is False


def test_a_workspace_of_who_no_agent_may_be_is_refused(make_spec: SpecMaker, runtime: Any, tmp_path: Path) -> None:
    """Before anything is made: root's for root, and without root whatever is not one's own."""
    folder = tmp_path if os.getuid() == 0 else Path("/usr")
    spec = make_spec(workspace=folder)
    with pytest.raises(RuntimeFailure, match=f"the workspace '{folder}' belongs to (root|another user)") as caught:
        launch(spec, runtime)
    assert "--workspace with a folder" in caught.value.problems[0].fix
    assert spec.bottle not in {status.bottle for status in runtime.list()}


def test_what_git_on_the_host_would_run_cannot_be_changed(make_bottle: BottleMaker, folder: Path) -> None:
    make_repository(folder)
    bottle = make_bottle(workspace=folder)
    for change in ("echo x > .git/hooks/pre-commit", "echo x >> .git/config", "mv .git/hooks .git/h", "mv .git x"):
        assert bottle.run("sh", "-c", f"cd /workspace && {change}")[0] != 0, change
    commit = "cd /workspace && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m inside"
    assert bottle.run("sh", "-c", commit)[0] == 0
    assert git(folder, "log", "-1", "--format=%s") == "inside\n"
    bottle.runtime.remove(bottle.name)
    assert not (folder / ".git" / "commondir").exists()


def test_limits_and_rights(bottle: Bottle) -> None:
    status = dict(line.split(":\t", 1) for line in bottle.run("cat", "/proc/self/status")[1].splitlines())
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    for refused in ("unshare -U true", "mount -t tmpfs none /tmp", "touch /usr/x", "touch /etc/x", "touch /x"):
        assert bottle.run("sh", "-c", refused)[0] != 0, refused
    assert bottle.run("sh", "-c", "touch /tmp/x ~/x /workspace/x") == (0, "")


def _eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
