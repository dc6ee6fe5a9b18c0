"""The images of a bundle on this engine: there already, or built now."""

from collections.abc import Mapping
from pathlib import Path

from bottlegen.errors import RuntimeFailure
from runtime.artifacts import ArtifactStore
from runtime.base import LaunchSpec, Progress
from runtime.docker import program_image
from runtime.docker.engine import Engine, translated
from runtime.docker.rootfs_tar import archive
from runtime.image_reference import ImageReference, mirrored
from runtime.images import ImageBuilder, ImagePlan, plan_image


class Images:
    """Base images are pulled only when absent, by the digest that the bundle names, or from where this host says."""

    def __init__(self, engine: Engine, store: ArtifactStore, env: Mapping[str, str], ca_file: Path | None) -> None:
        self._engine = engine
        self._store = store
        self._env = env
        self._ca_file = ca_file

    def have(self, spec: LaunchSpec, progress: Progress) -> dict[str, str]:
        """The tag of each service's image; each exists when this returns."""
        plans = [self._plan(spec, service, progress) for service in spec.bundle.manifest.services]
        for plan in plans:
            if not self._exists(plan.tag):
                self._build(spec, plan, progress)
        return {plan.service: plan.tag for plan in plans}

    def planned(self, spec: LaunchSpec) -> dict[str, ImagePlan]:
        """The image of each service as `have` names it; nothing is pulled or built."""
        return {service: self._planned(spec, service) for service in spec.bundle.manifest.services}

    def _planned(self, spec: LaunchSpec, service: str) -> ImagePlan:
        base = self._base(spec, service)
        if base_id := self._image_id(base):
            return plan_image(spec.bundle, service, base=base, base_id=base_id, platform=self._engine.platform)
        raise RuntimeFailure(
            f"the base image '{base}' is not there any more, so what bottle '{spec.bottle}' should run is not known",
            fix=f"docker pull {base}",
        )

    def have_one(self, spec: LaunchSpec, service: str, progress: Progress) -> str:
        """The tag of one service's image, which exists when this returns."""
        plan = self._plan(spec, service, progress)
        if not self._exists(plan.tag):
            self._build(spec, plan, progress)
        return plan.tag

    def _plan(self, spec: LaunchSpec, service: str, progress: Progress) -> ImagePlan:
        base = self._base(spec, service)
        base_id = self._image_id(base) or self._pull(base, progress)
        return plan_image(spec.bundle, service, base=base, base_id=base_id, platform=self._engine.platform)

    def _base(self, spec: LaunchSpec, service: str) -> str:
        return spec.base_image or mirrored(spec.bundle.manifest.services[service].image.base, spec.image_mirror)

    def _build(self, spec: LaunchSpec, plan: ImagePlan, progress: Progress) -> None:
        if plan.rootfs and not self._exists(plan.rootfs):
            self._import(spec, plan, progress)
        self._take_programs(spec, plan, progress)
        build_ca = self._extra_ca()
        builder = ImageBuilder(self._engine.api, self._store, self._env, build_ca)
        with translated(f"build the image of service '{plan.service}'"):
            builder.build(spec.bundle, plan, progress, {"bottlegen.service": plan.service})

    def _take_programs(self, spec: LaunchSpec, plan: ImagePlan, progress: Progress) -> None:
        """Programs that would be built from source, out of the images that this host names for them."""
        named = dict(spec.program_images)
        for artifact in plan.artifacts:
            if artifact.source == "go" and (reference := named.get(artifact.package.rpartition("/")[2])):
                if not self._image_id(reference):
                    self._pull(reference, progress)
                program_image.take(self._engine, self._store, artifact, reference)

    def _import(self, spec: LaunchSpec, plan: ImagePlan, progress: Progress) -> None:
        """The verified tree as an image of one layer, of the same bytes on every engine."""
        assert spec.rootfs is not None  # a start with a rootfs has verified it
        repository, _, tag = plan.rootfs.partition(":")
        with progress.step(f"hand rootfs {plan.rootfs[-12:]} to the engine"), translated("import the rootfs"):
            answer = self._engine.api._post(  # noqa: SLF001 - the SDK's own import holds all of it in memory
                self._engine.api._url("/images/create"),  # noqa: SLF001
                data=archive(spec.rootfs),
                params={"fromSrc": "-", "repo": repository, "tag": tag},
                timeout=None,
            )
            self._engine.api._raise_for_status(answer)  # noqa: SLF001
            if '"error"' in answer.text:
                raise RuntimeFailure(f"the engine takes no rootfs: {answer.text[-500:]}", fix="docker info")

    def _extra_ca(self) -> bytes:
        """The host's own CAs for package mirrors, from SSL_CERT_FILE and the file given."""
        found = [path for path in (self._env.get("SSL_CERT_FILE"), self._ca_file) if path]
        try:
            return b"".join(Path(path).read_bytes() + b"\n" for path in found)
        except OSError as e:
            raise RuntimeFailure(
                f"cannot read '{e.filename}': {e.strerror}", fix="correct or unset SSL_CERT_FILE"
            ) from e

    def _exists(self, tag: str) -> bool:
        return bool(self._image_id(tag))

    def _image_id(self, reference: str) -> str:
        """Empty when the engine has no such image."""
        from docker.errors import ImageNotFound

        with translated(f"look for image '{reference}'"):
            try:
                return str(self._engine.api.inspect_image(reference)["Id"])
            except ImageNotFound:
                return ""

    def _pull(self, base: str, progress: Progress) -> str:
        from docker.errors import APIError

        reference = ImageReference.parse(base)
        # The engine wants a name with a digest, or a name and a tag.
        name, tag = (base, "") if reference.digest else (reference.name, reference.tag or "latest")
        with progress.step(f"pull {base}") as step:
            try:
                for event in self._engine.api.pull(name, tag=tag or None, stream=True, decode=True):
                    if event.get("error"):
                        raise _no_base(base, str(event["error"]))
                    step.note(f"{event.get('id', '')} {event.get('status', '')}".strip())
            except APIError as e:
                raise _no_base(base, str(e.explanation)) from e
        return self._image_id(base)


def _no_base(base: str, reason: str) -> RuntimeFailure:
    return RuntimeFailure(
        f"the base image '{base}' cannot be had: {reason}",
        fix=f"docker pull {base}\nor name one that this engine has, or where to get it, in host.toml: "
        '[images] base = "debian:bookworm-slim", or mirror = "registry.example:5000"',
    )
