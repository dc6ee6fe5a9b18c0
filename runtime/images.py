"""Images are built once per content: the tag is the hash of all that goes in, so equal content is never built twice."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bottlegen import nar
from bottlegen.bundle import Bundle
from bottlegen.errors import RuntimeFailure
from runtime.artifacts import ArtifactStore
from runtime.base import Progress, Step
from runtime.extract import Member, members
from runtime.machine import for_platform, platforms

if TYPE_CHECKING:
    from bottlegen.manifest import ArtifactSpec, ImageSpec

REPOSITORY = "bottlegen"
ROOTFS_FORM = 1
"""Counts changes of what is put around a rootfs: an engine's copy made the other way is not taken for it."""
_ARTIFACT_FOLDERS = ("agent", "agent/bin")
"""There even when no artifact fills them: a Dockerfile cannot COPY what may be missing."""

PROXY_ARGS = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""Build arguments that every Dockerfile knows and that the engine keeps out of history and cache."""

_STEP_LINE = re.compile(r"Step (\d+)/(\d+) : (.*)")
_CHATTER = re.compile(r"Successfully (?:built|tagged) |sha256:|--->|Removing intermediate container ")
"""What the engine says of its own bookkeeping: of no use to who waits."""

_LAST_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """One image to have: its tag says everything that went in.

    `rootfs` is the image that its root comes from, where that is a tree of the user's own: it has to be there first.
    """

    service: str
    tag: str
    base: str
    spec: ImageSpec
    artifacts: tuple[ArtifactSpec, ...]
    rootfs: str = ""


def plan_image(bundle: Bundle, service: str, *, base: str, base_id: str, platform: str) -> ImagePlan:
    """The image of `service` on an engine of `platform` (`linux/amd64`) over the base image with the id `base_id`."""
    spec = bundle.manifest.services[service].image
    artifacts = for_platform(spec.artifacts, platform)
    if artifacts is None:
        raise RuntimeFailure(
            f"service '{service}' has no artifacts for {platform}, the engine's platform",
            fix=f"use an engine on {platforms(spec.artifacts)}",
        )
    digest = hashlib.sha256()
    for file in bundle.below(spec.context):
        digest.update(f"{file.path}\0{file.mode:o}\0{len(file.data)}\0".encode() + file.data)
    for artifact in sorted(artifacts, key=lambda artifact: (artifact.filename, artifact.integrity)):
        digest.update(f"{artifact.integrity}\0{sorted(artifact.members.items())}\0".encode())
        digest.update(artifact.layout.encode() if artifact.layout != "plain" else b"")
    digest.update(base_id.encode())
    rootfs = _rootfs(spec)
    digest.update(rootfs.encode())
    tag = f"{REPOSITORY}/{service}:{nar.base32(digest.digest())}"
    return ImagePlan(service=service, tag=tag, base=base, spec=spec, artifacts=artifacts, rootfs=rootfs)


def _rootfs(spec: ImageSpec) -> str:
    """The name of the image that is nothing but the spec's rootfs; empty without one."""
    digest = nar.parse_sri(spec.rootfs.hash) if spec.rootfs else None
    return f"{REPOSITORY}/rootfs:{nar.base32(digest)}-{ROOTFS_FORM}" if digest else ""


def write_context(
    out: IO[bytes], bundle: Bundle, plan: ImagePlan, archives: Mapping[str, Path], build_ca: bytes
) -> None:
    """The build context as a tar. Times, owners and order are fixed, so that the engine's layer cache hits."""
    prefix = f"{plan.spec.context}/"
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for folder in _ARTIFACT_FOLDERS:
            tar.addfile(_entry(folder, 0o755, kind=tarfile.DIRTYPE))
        for file in bundle.below(plan.spec.context):
            _add(tar, file.path.removeprefix(prefix), 0o755 if file.mode & 0o100 else 0o644, file.data)
        # Always there, though mostly empty, for the same reason.
        _add(tar, "build-ca.crt", 0o644, build_ca)
        for artifact in plan.artifacts:
            for member in members(archives[artifact.integrity], artifact.members, artifact.layout):
                _add_member(tar, member)


def _add(tar: tarfile.TarFile, path: str, mode: int, data: bytes) -> None:
    tar.addfile(_entry(path, mode, size=len(data)), io.BytesIO(data))


def _add_member(tar: tarfile.TarFile, member: Member) -> None:
    tar.addfile(_entry(member.path, 0o755 if member.executable else 0o644, size=member.size), member.stream)


def _entry(path: str, mode: int, *, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.mode, info.size, info.type = mode, size, kind
    return info


class ImageBuilder:
    """Builds through an engine's API client (docker.APIClient), with what this host adds to downloads and builds."""

    def __init__(self, api: Any, store: ArtifactStore, env: Mapping[str, str], build_ca: bytes = b"") -> None:
        self._api = api
        self._store = store
        self._env = env
        self._build_ca = build_ca

    def build(self, bundle: Bundle, plan: ImagePlan, progress: Progress, labels: Mapping[str, str]) -> None:
        """Make `plan.tag`; RuntimeFailure ends with the last lines of the build's output."""
        archives = self._store.fetch_all(plan.artifacts, progress)
        with progress.step(f"build the {plan.service} image") as step, tempfile.TemporaryFile() as context:
            write_context(context, bundle, plan, archives, self._build_ca)
            context.seek(0)
            self._run(plan, context, step, labels)

    def _run(self, plan: ImagePlan, context: IO[bytes], step: Step, labels: Mapping[str, str]) -> None:
        events = self._api.build(
            fileobj=context, custom_context=True, tag=plan.tag, rm=True, forcerm=True, decode=True,
            buildargs={"BASE": plan.base}
            | ({"ROOTFS": plan.rootfs} if plan.rootfs else {})
            | {name: self._env[name] for name in PROXY_ARGS if self._env.get(name)},
            labels=dict(labels),
        )  # fmt: skip
        lines: list[str] = []
        failure = ""
        for event in events:
            failure = failure or str(event.get("error", ""))
            lines.extend(_output(event))
            _show(lines, step)
            del lines[:-_LAST_LINES]
        if failure:
            last = "\n".join(f"  | {line}" for line in lines)
            raise RuntimeFailure(
                f"the image of service '{plan.service}' cannot be built: {failure}\n{last}", fix=_build_fix(lines, plan)
            )


def _output(event: Mapping[str, object]) -> Iterator[str]:
    for line in str(event.get("stream", "")).splitlines():
        if text := re.sub(r"\x1b\[[0-9;]*m", "", line).strip():
            yield text


def _show(lines: list[str], step: Step) -> None:
    if not lines:
        return
    if match := _STEP_LINE.match(lines[-1]):
        step.advance(int(match[1]) - 1, int(match[2]))
        step.note(match[3])
    elif not _CHATTER.match(lines[-1]):
        step.note(lines[-1])


def _build_fix(lines: list[str], plan: ImagePlan) -> str:
    text = "\n".join(lines)
    if "certificate" in text.lower():
        return "if this network inspects TLS, set SSL_CERT_FILE to its CA, or [upstream] ca_file in host.toml"
    if re.search(r"resolv|connect|network|fetch", text, re.IGNORECASE):
        return "builds need the package mirrors of the base image: check the engine's network, or set HTTP_PROXY"
    if "not found" in text:
        return f"the base image '{plan.base}' must be Debian-like (apt): [images] base in host.toml"
    return "read the lines above"
