"""An image's tag says everything that went in and nothing else, and a failed build says its last words."""

import base64
import hashlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bottlegen.bundle import Bundle, assemble
from bottlegen.errors import RuntimeFailure
from bottlegen.manifest import ArtifactSpec
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from bottlegen.plan import RenderedFile
from runtime.artifacts import ArtifactStore
from runtime.images import ImageBuilder, ImagePlan, plan_image, write_context
from runtime.machine import for_platform, platforms

PROFILE = Path(__file__).parents[2] / "profiles" / "codex.toml"
AMD64 = "linux/amd64"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return build(load_profile(str(PROFILE)), load_pins())


def _tag(bundle: Bundle, service: str = "agent", base_id: str = "sha256:1", platform: str = AMD64) -> str:
    return plan_image(bundle, service, base="debian", base_id=base_id, platform=platform).tag


def _with_file(bundle: Bundle, path: str, data: bytes, mode: int = 0o644) -> Bundle:
    files = {**bundle.files, path: RenderedFile(path=path, data=data, mode=mode)}
    del files["manifest.json"]
    return assemble(bundle.manifest.model_dump(mode="json"), files.values())


def test_a_tag_is_content(bundle: Bundle) -> None:
    tag = _tag(bundle)
    assert tag.startswith("bottlegen/agent:")
    assert len(tag.partition(":")[2]) == 52
    assert tag == _tag(bundle)
    assert tag == _tag(_with_file(bundle, "README", b"beside the context"))


def test_whatever_goes_in_changes_the_tag(bundle: Bundle) -> None:
    artifact = bundle.manifest.services["agent"].image.artifacts[0]
    tags = [
        _tag(bundle),
        _tag(bundle, base_id="sha256:2"),
        _tag(bundle, "egress"),
        _tag(bundle, platform="linux/arm64"),
        _tag(_with_file(bundle, "images/agent/entry.sh", b"#!/bin/sh\n", 0o755)),
        _tag(_with_file(bundle, "images/agent/entry.sh", b"#!/bin/sh\n", 0o644)),
        _tag(_with_file(bundle, "images/agent/new", b"")),
        _tag(_with_artifact(bundle, artifact.model_copy(update={"integrity": "sha256-AAAA"}))),
        _tag(_with_artifact(bundle, artifact.model_copy(update={"members": {"a": "b"}}))),
    ]
    assert len(set(tags)) == len(tags)


def _with_artifact(bundle: Bundle, artifact: ArtifactSpec) -> Bundle:
    agent = bundle.manifest.services["agent"]
    image = agent.image.model_copy(update={"artifacts": [artifact]})
    services = {**bundle.manifest.services, "agent": agent.model_copy(update={"image": image})}
    manifest = bundle.manifest.model_copy(update={"services": services})
    return assemble(
        manifest.model_dump(mode="json"), [file for path, file in bundle.files.items() if path != "manifest.json"]
    )


def test_a_platform_without_artifacts_is_refused(bundle: Bundle) -> None:
    with pytest.raises(RuntimeFailure, match=r"service 'agent' has no artifacts for linux/riscv64") as caught:
        _tag(bundle, platform="linux/riscv64")
    assert caught.value.problems[0].fix == "use an engine on linux/amd64, linux/arm64"


def test_what_holds_no_machine_code_is_for_every_platform_that_the_rest_is_for(bundle: Bundle) -> None:
    native, *_ = bundle.manifest.services["agent"].image.artifacts
    script = native.model_copy(update={"platform": "any", "filename": "script.tgz"})
    assert for_platform([script, native], native.platform) == (script, native)
    assert for_platform([script], "linux/riscv64") == (script,)
    assert for_platform([script, native], "linux/riscv64") is None
    assert platforms([script, native]) == native.platform


def _archive(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("tool")
        info.size, info.mode, info.mtime, info.uid = 4, 0o755, 1234567, 501
        tar.addfile(info, io.BytesIO(b"TOOL"))
    return path


def _small(bundle: Bundle, archive: Path) -> tuple[Bundle, ImagePlan]:
    integrity = "sha256-" + base64.b64encode(hashlib.sha256(archive.read_bytes()).digest()).decode()
    artifact = (
        bundle.manifest.services["agent"]
        .image.artifacts[0]
        .model_copy(update={"filename": archive.name, "integrity": integrity, "members": {"tool": "agent/bin/tool"}})
    )
    changed = _with_artifact(bundle, artifact)
    return changed, plan_image(changed, "agent", base="debian", base_id="x", platform=artifact.platform)


def test_the_context_holds_files_and_members_and_nothing_of_the_host(bundle: Bundle, tmp_path: Path) -> None:
    archive = _archive(tmp_path / "tool.tgz")
    changed, plan = _small(bundle, archive)
    written = io.BytesIO()
    write_context(written, changed, plan, {plan.artifacts[0].integrity: archive}, b"extra CA")
    written.seek(0)
    with tarfile.open(fileobj=written) as tar:
        entries = {info.name: info for info in tar}
        assert entries["agent/bin/tool"].mode == 0o755
        assert tar.extractfile("agent/bin/tool").read() == b"TOOL"  # type: ignore[union-attr]
        assert tar.extractfile("build-ca.crt").read() == b"extra CA"  # type: ignore[union-attr]
    assert {"Dockerfile", "packages.sh", "entry.sh", "place.sh", "agent", "agent/bin"} < set(entries)
    assert {(info.uid, info.gid, info.mtime, info.uname) for info in entries.values()} == {(0, 0, 0, "")}
    assert entries["entry.sh"].mode == 0o755


class _Api:
    def __init__(self, *events: dict[str, object]) -> None:
        self._events = events
        self.arguments: dict[str, Any] = {}

    def build(self, **arguments: object) -> Iterator[dict[str, object]]:
        self.arguments = arguments
        return iter(self._events)


class _Progress:
    def __init__(self) -> None:
        self.titles: list[str] = []
        self.notes: list[str] = []
        self.advanced: list[tuple[int, int]] = []

    @contextmanager
    def step(self, title: str) -> Iterator["_Progress"]:
        self.titles.append(title)
        yield self

    def note(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, done: int, total: int) -> None:
        self.advanced.append((done, total))


def _build(bundle: Bundle, folder: Path, api: _Api, env: dict[str, str] | None = None) -> _Progress:
    archive = _archive(folder / "tool.tgz")
    changed, plan = _small(bundle, archive)
    store = ArtifactStore(folder, {})
    kept = store.path(plan.artifacts[0])
    kept.parent.mkdir(parents=True)
    archive.rename(kept)
    progress = _Progress()
    ImageBuilder(api, store, env or {}).build(changed, plan, progress, {})
    return progress


def test_progress_goes_by_step(bundle: Bundle, tmp_path: Path) -> None:
    api = _Api({"stream": "Step 2/8 : COPY a b\n"}, {"stream": " ---> abc\n"}, {"stream": "\x1b[32mpiece\x1b[0m\n"})
    progress = _build(bundle, tmp_path, api, {"HTTP_PROXY": "http://p:1", "HOME": "/root"})
    assert progress.titles == ["download tool.tgz", "build the agent image"]
    assert progress.advanced == [(1, 8)]
    assert progress.notes == ["COPY a b", "piece"]
    assert api.arguments["buildargs"] == {"BASE": "debian", "HTTP_PROXY": "http://p:1"}


def test_a_failed_build_shows_its_last_lines(bundle: Bundle, tmp_path: Path) -> None:
    lines: list[dict[str, object]] = [{"stream": f"line {number}\n"} for number in range(40)]
    api = _Api(*lines, {"stream": "E: Failed to fetch http://deb\n"}, {"error": "returned a non-zero code: 100"})
    with pytest.raises(RuntimeFailure, match="'agent' cannot be built: returned a non-zero code: 100") as caught:
        _build(bundle, tmp_path, api)
    problem = caught.value.problems[0]
    assert problem.what.splitlines()[-1] == "  | E: Failed to fetch http://deb"
    assert "line 26" in problem.what
    assert "line 25" not in problem.what
    assert "package mirrors" in problem.fix
