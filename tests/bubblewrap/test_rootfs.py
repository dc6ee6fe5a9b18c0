"""A root of the user's own in namespaces: the real agent runs on it, and one Python of this host is all it sees."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bottlegen import nar
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime import tree
from runtime.base import LaunchSpec
from runtime.host import Host, HostConfig
from runtime.progress import make_progress
from runtime.start import start
from tests.contract import small_root
from tests.contract.bottle import Bottle, make_runtime


@pytest.fixture(scope="module")
def bottle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bottle]:
    folder = tmp_path_factory.mktemp("rooted")
    root = small_root.make(folder / "root")
    text = (
        '[agent_provider]\ntemplate = "codex"\n[rootfs]\ndirectory = "root"\n'
        f'hash = "{nar.sri(tree.digest(root))}"\n[workspace]\nmode = "none"\n'
    )
    for parent in (folder, folder.parent):
        parent.chmod(0o755)
    bundle = build(load_profile("c.toml", lambda _: text.encode()), load_pins())
    spec = LaunchSpec(
        bottle=f"codex-{os.getpid()}", session="s", bundle=bundle, command=("sleep", "600"), tty=False,
        interactive=False, workspace=None, home=None, base_image="", outside_network="", terminal_env=(),
        rootfs_at=(root,),
    )  # fmt: skip
    host = Host(env={"XDG_CACHE_HOME": str(folder / "cache")}, home=folder, config=HostConfig())
    with make_runtime("bubblewrap", folder / "state") as runtime:
        try:
            start(spec, runtime, host, make_progress())
            runtime.release_agent(spec.bottle)
            yield Bottle(spec=spec, runtime=runtime)
        finally:
            runtime.remove(spec.bottle)


@pytest.mark.agents
def test_codex_starts(bottle: Bottle) -> None:
    status, output = bottle.run("codex", "--version")
    assert (status, output.startswith("codex-cli ")) == (0, True), output


def test_of_this_host_there_is_one_python(bottle: Bottle) -> None:
    """Mounts tell: each is of the verified copy, the bottle's own folders, or the first process's Python."""
    mounts = [line.split() for line in bottle.run("cat", "/proc/self/mountinfo")[1].splitlines()]
    of_host = {fields[4] for fields in mounts if "/cache/bottlegen/rootfs/" not in fields[3] and fields[3] != "/"}
    assert [fields[fields.index("-") + 1] for fields in mounts if fields[4] == "/"] == ["tmpfs"]
    places = ("/opt/bottle/", "/opt/agent", "/etc/", "/run/doors", "/dev/", "/proc/")
    assert [path for path in sorted(of_host - {"/"}) if not path.startswith(places)] == []
    # Open to the agent's user, who the first process becomes before it has read all of it.
    assert bottle.run("ls", "/opt/bottle/python/lib")[1].split() == [f"python3.{sys.version_info.minor}"]
    assert bottle.run("sh", "-c", "ls /usr/share /usr/local /nix/var /root /var/lib 2> /dev/null")[1] == ""
    assert Path("/usr/share").is_dir()


def test_the_python_of_the_first_process_starts_by_its_own_loader(bottle: Bottle) -> None:
    command = bottle.run("cat", "/proc/1/cmdline")[1].split("\0")
    assert command[0].startswith("/opt/bottle/lib/ld-")
    assert command[1:4] == ["--library-path", "/opt/bottle/lib", "/opt/bottle/python/bin/python3"]
