"""A bottle on a root of the user's own, on every runtime: nothing of this host in it, no Python and no bash needed."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bottlegen import nar
from bottlegen.bundle import Bundle
from bottlegen.errors import RuntimeFailure
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime import tree
from runtime.base import LaunchSpec
from runtime.host import Host, HostConfig
from runtime.progress import make_progress
from runtime.start import start
from tests.contract import small_root
from tests.contract.bottle import CACHE, Bottle
from tests.engine.bottle import LOCAL_BASE, OWNER
from tests.unit.archives import image_archive

ROOT = Path(__file__).parents[2]
UID = OWNER if os.getuid() == 0 else os.getuid()
Maker = Callable[..., Bottle]
_numbers = itertools.count()


@pytest.fixture(
    params=[
        pytest.param("docker", marks=pytest.mark.engine),
        pytest.param("bubblewrap", marks=pytest.mark.namespaces),
    ]
)
def kind(request: pytest.FixtureRequest) -> str:
    """Without the pretend machines, whose guests need a whole Debian: theirs is tests/microvm."""
    return str(request.param)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tree `root` that nobody changes, and a cache that the starts of this module share."""
    folder = tmp_path_factory.mktemp("project")
    small_root.make(folder / "root")
    for kept in ("artifacts", "programs"):  # downloads are made once per machine, not per run
        (CACHE / kept).mkdir(parents=True, exist_ok=True)
        (folder / "cache" / "bottlegen").mkdir(parents=True, exist_ok=True)
        (folder / "cache" / "bottlegen" / kept).symlink_to(CACHE / kept)
    for parent in (folder, folder.parent):
        parent.chmod(0o755)
    return folder


def bundle_of(kind: str, name: str, path: Path, template: str = "shell") -> Bundle:
    text = (
        f'[agent_provider]\ntemplate = "{template}"\n[rootfs]\n{kind} = "{name}"\n'
        f'hash = "{nar.sri(tree.digest(path.resolve()))}"\n[[egress.routes]]\nhost = "api.example.invalid"\n'
    )
    return build(load_profile("rooted.toml", lambda _: text.encode()), load_pins())


@pytest.fixture(scope="module")
def bundle(project: Path) -> Bundle:
    return bundle_of("directory", "root", project / "root")


@pytest.fixture
def up(bundle: Bundle, project: Path, runtime: Any) -> Iterator[Maker]:
    made: list[str] = []

    def make(folder: Path | None = None, **changes: Any) -> Bottle:
        made.append(f"rooted-{os.getpid()}-{next(_numbers)}")
        values: dict[str, Any] = {
            "bottle": made[-1], "session": "s", "bundle": bundle, "command": ("sleep", "600"), "tty": False,
            "interactive": False, "workspace": folder, "home": None, "base_image": LOCAL_BASE, "outside_network": "",
            "terminal_env": (), "rootfs_at": (project / "root",),
        }  # fmt: skip
        spec = LaunchSpec(**(values | changes))
        host = Host(env={"XDG_CACHE_HOME": str(project / "cache")}, home=project, config=HostConfig())
        start(spec, runtime, host, make_progress())
        runtime.release_agent(spec.bottle)
        return Bottle(spec=spec, runtime=runtime)

    yield make
    for name in made:
        runtime.remove(name)


def test_the_root_is_the_tree_and_nothing_of_this_host(up: Maker, folder: Path, project: Path, kind: str) -> None:
    bottle = up(folder)
    own = {"dev", "etc", "home", "opt", "proc", "run", "sys", "tmp", "usr", "var", "workspace"} - (
        {"sys"} if kind == "bubblewrap" else set()
    )
    listed = set(bottle.run("ls", "-A", "/")[1].split()) - {".dockerenv"}
    assert listed == own | {path.name for path in (project / "root").iterdir()}
    programs = set(bottle.run("ls", "/usr/bin")[1].split()) - {"docker-init"}  # the engine's own first process
    assert programs == {*small_root.PROGRAMS, "raised"}
    assert bottle.run("sh", "-c", "id -u; id -un; pwd; cat /etc/motd; echo $HTTPS_PROXY") == (
        0, f"{UID}\nagent\n/workspace\nof the tree\nhttp://egress:3128\n"
    )  # fmt: skip
    assert bottle.run("python3", "-c", "pass")[0] in (126, 127)
    assert bottle.run("sh", "-c", "touch /tmp/x ~/x /workspace/x /var/tmp/x") == (0, "")
    assert (folder / "x").stat().st_uid == UID
    for refused in ("touch /usr/x", "touch /etc/x", "touch /x", "touch /opt/x"):
        assert bottle.run("sh", "-c", refused)[0] != 0, refused


def test_links_and_rights_of_the_tree_lead_nowhere(up: Maker, folder: Path, kind: str) -> None:
    """What the hash does not cover is not there, and a link is followed inside of the bottle alone."""
    bottle = up(folder)
    assert bottle.run("stat", "-c", "%a", "/usr/bin/raised") == (0, "755\n")
    assert bottle.run("raised") == (0, f"{UID}\n")
    assert bottle.run("cat", "/usr/closed") == (0, "of its owner\n")
    assert bottle.run("cat", "/usr/out")[0] != 0
    assert bottle.run("ls", "/opt")[1].split() == ["agent", "bottle", "theirs"]
    # The tree's /etc is a link to a folder in its /nix; what the bottle makes itself is the bottle's all the same.
    assert bottle.run("cat", "/etc/relative", "/etc/ssl/certs/one.pem") == (0, "beside etc\nan authority\n")
    assert bottle.run("sh", "-c", "! cat /etc/ld.so.preload 2> /dev/null")[0] == 0
    assert "of the tree" not in bottle.run("cat", "/etc/passwd")[1]
    assert "BEGIN CERTIFICATE" in bottle.run("cat", "/etc/ssl/certs/ca-certificates.crt")[1]
    assert not Path("/tmp/bottle").exists()


def test_the_way_out_is_the_same(up: Maker, folder: Path) -> None:
    """curl of the tree trusts the egress and is told no: by name through the proxy, and past it."""
    bottle = up(folder)
    refused = bottle.run("curl", "-sS", "https://not-allowed.test/")
    assert (refused[0] != 0, "403" in refused[1]) == (True, True)
    env = ("SSL_CERT_FILE", "CURL_CA_BUNDLE")
    past = (
        "unset " + " ".join(env) + "; curl -s -o /dev/null -w '%{http_code}' --noproxy '*' https://api.example.invalid/"
    )
    assert bottle.run("sh", "-c", past)[1] in ("502", "503", "504")  # the egress's own answer: there is no such host


def test_material_is_replaced_and_the_agent_waits_at_its_gate(up: Maker, folder: Path) -> None:
    from runtime.base import MaterialFile

    bottle = up(folder, command=("sh", "-c", "touch /workspace/ran; sleep 600"))
    bottle.runtime.place(bottle.name, "agent", [MaterialFile(path="/home/agent/.later", mode=0o640, data=b"second")])
    assert bottle.run("sh", "-c", "cat ~/.later; stat -c ' %a %u' ~/.later") == (0, f"second 640 {UID}\n")
    assert (folder / "ran").exists()


def test_what_is_changed_in_the_original_reaches_no_bottle(
    up: Maker, runtime: Any, tmp_path: Path, project: Path
) -> None:
    """Neither one that runs nor one that starts: the next start names both hashes."""
    here = tmp_path / "mine"
    subprocess.run(["cp", "-a", str(project / "root"), str(here)], check=True)
    bottle = up(rootfs_at=(here,))
    (here / "usr" / "bin" / "ls").write_text("#!/bin/sh\necho other\n")
    assert bottle.run("ls", "/opt")[1].split() == ["agent", "bottle", "theirs"]
    with pytest.raises(RuntimeFailure, match="is not the one that was declared") as caught:
        up(rootfs_at=(here,))
    what = caught.value.problems[0].what
    assert f"found    {nar.sri(tree.digest(here))}" in what
    assert f"declared {bottle.spec.bundle.manifest.rootfs.hash}" in what  # type: ignore[union-attr]
    assert not any(status.bottle.endswith("-never") for status in runtime.list())


def test_an_archive_as_nix_makes_it(up: Maker, folder: Path, tmp_path: Path, project: Path) -> None:
    archive = image_archive(tmp_path / "image.tar.gz", project / "root")
    made = bundle_of("archive", "images/agent.tar.gz", archive)
    bottle = up(folder, bundle=made, rootfs_at=(archive,))
    assert bottle.run("sh", "-c", "cat /etc/motd; ls /opt; id -u")[1] == f"of the tree\nagent\nbottle\ntheirs\n{UID}\n"


def test_from_profile_to_agent_with_the_real_commands(kind: str, project: Path, tmp_path: Path) -> None:
    """Hash, declare, build, up; then the tree is touched, and put elsewhere."""
    here = tmp_path / "team"
    (here / "profiles").mkdir(parents=True)
    subprocess.run(["cp", "-a", str(project / "root"), str(here / "agent-root")], check=True)
    host = tmp_path / "host.toml"
    base = f'[images]\nbase = "{LOCAL_BASE}"\n'
    host.write_text(base)

    env = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST", "SSL_CERT_FILE") if name in os.environ}
    env |= {
        "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(project / "cache"),
        "BOTTLEGEN_HOST_CONFIG": str(host),
    }  # fmt: skip

    def run(*argv: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "runtime.cli", *argv]
        done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, timeout=180, check=False)
        return done.returncode, done.stdout, done.stderr

    def up() -> tuple[int, str, str]:
        name = f"rooted-{os.getpid()}-{next(_numbers)}"
        words = ("--name", name, "--runtime", kind)
        return run("up", "--profile", "rooted", *words, "--", "cat", "/etc/motd")

    profile = here / "profiles" / "rooted.toml"
    body = '[agent_provider]\ntemplate = "shell"\n[workspace]\nmode = "none"\n[rootfs]\ndirectory = "agent-root"\n'
    profile.write_text(body + f'hash = "{run("hash", "--path", "agent-root")[1].strip()}"\n')
    assert run("build", "--profile", "rooted")[0] == 0
    assert up()[:2] == (0, "of the tree\n")

    (here / "agent-root" / "planted").touch()
    status, _, said = up()
    assert status == 16
    assert "agent-root' is not the one that was declared:\n  declared sha256-" in said
    assert "--> profiles/rooted.toml:7  rootfs.hash\n" in said
    assert run("ps")[1].count("rooted-") == 0

    (here / "agent-root" / "planted").unlink()
    (here / "agent-root").rename(tmp_path / "elsewhere")
    host.write_text(f'{base}[rootfs]\nagent-root = "{tmp_path}/elsewhere"\n')
    assert up()[:2] == (0, "of the tree\n")
    host.write_text(f'{base}[rootfs]\nagent-root = "{tmp_path}/nowhere"\n')
    env["XDG_CACHE_HOME"] = str(tmp_path / "empty")
    status, _, said = up()
    assert (status, f"looked for '{tmp_path}/nowhere'" in said) == (16, True)
    assert "--> profiles/rooted.toml:6  rootfs.directory\n" in said
