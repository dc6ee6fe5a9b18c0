"""A base image through a real registry on this host: pushed by the engine, locked by digest, pulled by it, or not.

The registry is Debian's docker-registry (the distribution project's server), on a port of loopback.
"""

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bottlegen.errors import RuntimeFailure
from bottlegen.manifest import ArtifactSpec
from bottlegen.pins import load as load_pins
from runtime.artifacts import ArtifactStore
from runtime.docker.build import Images
from runtime.docker.engine import connect
from runtime.extract import members
from runtime.image_reference import ImageReference
from runtime.progress import make_progress
from tests.engine.bottle import CACHE, LOCAL_BASE, make_folder

ROOT = Path(__file__).parents[2]
REPOSITORY = "library/debian"
TAG = ImageReference.parse(LOCAL_BASE).tag


class Server:
    """One registry, its files below `folder`; its port stays the same when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        (folder / "config.yml").write_text(
            f"version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http: {{addr: '{self.address}'}}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("docker-registry")
        assert program
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "serve", str(self.folder / "config.yml")], stdout=log, stderr=log, env={"PATH": "/usr/bin"}
            )
        until = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/v2/", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not shutil.which("docker-registry"):
        pytest.skip("no docker-registry command: apt-get install docker-registry")
    made = Server(tmp_path_factory.mktemp("registry"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def push(server: Server, api: Any) -> Callable[[str], str]:
    """Pushes an image of the engine under the tag and forgets that name of it; its digest in the registry."""
    name = f"{server.address}/{REPOSITORY}"

    def pushed(image: str) -> str:
        assert api.tag(image, name, TAG)
        try:
            events = list(api.push(name, tag=TAG, stream=True, decode=True))
        finally:
            api.remove_image(f"{name}:{TAG}", noprune=True)
        assert not [event for event in events if "error" in event], events[-1]
        (digest,) = [event["aux"]["Digest"] for event in events if "aux" in event]
        return str(digest)

    return pushed


@pytest.fixture(scope="module")
def small(api: Any) -> Iterator[tuple[str, str]]:
    """Two images that are quickly made and pushed."""
    names = (f"bottlegen-test/small-{os.getpid()}:1", f"bottlegen-test/small-{os.getpid()}:2")
    for name in names:
        text = f"FROM scratch\nLABEL of={name}\n".encode()
        made = list(api.build(fileobj=io.BytesIO(text), tag=name, rm=True, decode=True))
        assert not [event for event in made if "error" in event], made[-1]
    yield names
    for name in names:
        api.remove_image(name)


class Project:
    """A project whose host asks the server instead of Docker Hub."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        make_folder(folder)
        (folder / "profiles").mkdir()
        (folder / "profiles" / "dev.toml").write_text('[agent_provider]\ntemplate = "shell"\n')
        self.host = folder.parent / "host.toml"
        self.host.write_text(f'[images]\nmirror = "{server.address}"\n')

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder.parent), "PYTHONPATH": str(ROOT),
            "BOTTLEGEN_HOST_CONFIG": str(self.host), "XDG_CACHE_HOME": str(CACHE.parent),
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "-m", "runtime.cli", *argv], cwd=self.folder, env=env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def ok(self, *argv: str) -> str:
        done = self.run(*argv)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def lock(self) -> str:
        return (self.folder / "bottlegen.lock").read_text()


@pytest.fixture
def project(tmp_path: Path, server: Server) -> Project:
    return Project(tmp_path / "project", server)


def test_locked_by_digest_and_pulled_by_it(
    project: Project, server: Server, push: Callable[[str], str], api: Any
) -> None:
    digest = push(LOCAL_BASE)
    assert f"base       new -> {digest}\n" in project.ok("lock", "--update", "base")
    assert f'[image.base]\nreference = "{LOCAL_BASE}"\ndigest = "{digest}"\n' in project.lock
    assert server.address not in project.lock
    project.ok("build")
    assert f'"base": "{LOCAL_BASE}@{digest}"' in (project.folder / "bundles" / "dev" / "manifest.json").read_text()
    pulled = f"{server.address}/{REPOSITORY}@{digest}"
    assert not api.images(pulled)
    name = f"lock-{os.getpid()}"
    try:
        project.ok("up", "--profile", "dev", "--detach", "--name", name, "--runtime", "docker", "--", "sleep", "60")
        (found,) = api.images(pulled)
        assert found["Id"] == api.inspect_image(LOCAL_BASE)["Id"]
    finally:
        project.ok("down", "--name", name, "--purge")
        if api.images(pulled):
            api.remove_image(pulled, noprune=True)


def test_a_tag_that_moves_moves_nothing_until_the_lock_is_updated(
    project: Project, server: Server, push: Callable[[str], str], small: tuple[str, str]
) -> None:
    before = push(small[0])
    project.ok("lock", "--update", "base")
    project.ok("build")
    first = project.lock
    after = push(small[1])
    assert after != before
    project.ok("lock")
    project.ok("build", "--check")
    assert project.lock == first
    assert f"base       {before} -> {after}\n" in project.ok("lock", "--update", "base")
    assert project.lock == first.replace(before, after)
    assert project.run("build", "--check").returncode == 13
    project.ok("build")
    second = project.lock
    server.stop()  # from here on nobody answers
    try:
        project.ok("build", "--check")
        project.ok("lock", "--check")
        refused = project.run("lock", "--update", "base")
        assert (refused.returncode, "[images] mirror in host.toml" in refused.stderr) == (17, True), refused.stderr
        assert project.lock == second
        gone = project.run("up", "--profile", "dev", "--detach", "--runtime", "docker", "--", "true")
        assert gone.returncode == 16
        assert f"the base image '{server.address}/{REPOSITORY}@{after}' cannot be had" in gone.stderr
        assert re.search(r"fix: docker pull .*\n +or name one that this engine has", gone.stderr)
    finally:
        server.start()


def test_a_registry_whose_bytes_were_changed_is_not_believed(
    project: Project, server: Server, push: Callable[[str], str], small: tuple[str, str]
) -> None:
    digest = push(small[0])
    project.ok("lock", "--update", "base")
    before = project.lock
    hexadecimal = digest.partition(":")[2]
    blob = server.folder / "data/docker/registry/v2/blobs/sha256" / hexadecimal[:2] / hexadecimal / "data"
    sound = blob.read_bytes()
    assert digest in before
    try:
        blob.write_bytes(sound + b"\n")
        server.stop()  # it keeps what it has read
        server.start()
        refused = project.run("lock", "--update", "base")
        assert refused.returncode == 17, refused.stdout
        assert project.lock == before
    finally:
        blob.write_bytes(sound)
        server.stop()
        server.start()
    assert f"base       {digest}\n" in project.ok("lock", "--update", "base")


def _program_image(api: Any, version: str) -> str:
    """The base image with a program that says its version where pipelock says it."""
    script = f"#!/bin/sh\necho pipelock version {version} >&2\n".encode()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, data, mode in (
            ("Dockerfile", f"FROM {LOCAL_BASE}\nCOPY pipelock /pipelock\n".encode(), 0o644),
            ("pipelock", script, 0o755),
        ):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            tar.addfile(info, io.BytesIO(data))
    context.seek(0)
    tag = f"bottlegen-test/program-{os.getpid()}:{version}"
    made = list(api.build(fileobj=context, custom_context=True, tag=tag, rm=True, decode=True))
    assert not [event for event in made if "error" in event], made[-1]
    return tag


def test_a_program_comes_out_of_the_image_that_the_host_names(
    api: Any, server: Server, push: Callable[[str], str], tmp_path: Path
) -> None:
    """Pulled by digest and asked for its version; another version leaves nothing in the store."""
    spec = next(
        ArtifactSpec(**{**asdict(artifact), "members": dict(artifact.members)})
        for artifact in load_pins().artifacts("pipelock")
    )
    engine = connect(dict(os.environ))
    for version, fits in ((spec.version, True), ("9.9.9", False)):
        tag = _program_image(api, version)
        reference = f"{server.address}/{REPOSITORY}@{push(tag)}"
        api.remove_image(tag)
        store = ArtifactStore(tmp_path / version, {})
        images = Images(engine, store, dict(os.environ), None)
        plan = SimpleNamespace(artifacts=(spec,))
        launch = SimpleNamespace(program_images=(("pipelock", reference),))
        if fits:
            images._take_programs(launch, plan, make_progress())  # type: ignore[arg-type]
            with make_progress().step("fetch") as step:
                archive = store.fetch(spec, step)
            assert [b"pipelock version" in member.stream.read() for member in members(archive, spec.members)] == [True]
        else:
            with pytest.raises(RuntimeFailure, match=f"another 'pipelock' than {spec.version}: pipelock version 9.9.9"):
                images._take_programs(launch, plan, make_progress())  # type: ignore[arg-type]
            assert not [path for path in (tmp_path / version).rglob("*") if path.is_file()]
        assert not api.containers(all=True, filters={"label": "bottlegen.service=program-image"})
        api.remove_image(reference)
    engine.api.close()
