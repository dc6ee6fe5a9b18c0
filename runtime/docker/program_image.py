"""A pinned program out of an image that host.toml names by digest: asked for its version, then copied out of it."""

import io
import tarfile
from typing import Any

from bottlegen.errors import RuntimeFailure
from bottlegen.manifest import ArtifactSpec
from runtime import go_program
from runtime.artifacts import ArtifactStore
from runtime.docker.engine import Engine, translated

_SECONDS = 30
_LABEL = {"bottlegen.service": "program-image"}


def take(engine: Engine, store: ArtifactStore, spec: ArtifactSpec, reference: str) -> None:
    """Put the program into the store, where the build looks for it first; RuntimeFailure when it is another version."""
    program = go_program.program_of(spec)
    folder = store.path(spec).parent
    if go_program.archive_of(spec, folder).is_file():
        return
    with translated(f"take '{program}' out of image '{reference}'"):
        told, data = _ask(engine.api, reference, program)
    if spec.version not in {word.removeprefix("v") for word in told.partition("\n")[0].split()}:
        said = told.strip()[:200] or "it says nothing"
        raise RuntimeFailure(
            f"image '{reference}' holds another '{program}' than {spec.version}: {said}",
            fix=f"[images.programs] {program} in host.toml: the digest of {spec.version}",
        )
    folder.mkdir(parents=True, exist_ok=True)
    go_program.pack(spec, folder, data)


def _ask(api: Any, reference: str, program: str) -> tuple[str, bytes]:
    """What the program says of its version, in a container without network or rights, and its bytes."""
    limits = api.create_host_config(
        network_mode="none", cap_drop=["ALL"], security_opt=["no-new-privileges:true"], read_only=True, mem_limit="512m"
    )
    made = api.create_container(
        reference, ["version"], entrypoint=[f"/{program}"], host_config=limits, user="65532:65532", labels=_LABEL
    )["Id"]
    try:
        api.start(made)
        api.wait(made, timeout=_SECONDS)
        told = api.logs(made).decode(errors="replace")
        chunks, _ = api.get_archive(made, f"/{program}")
        return told, _only_file(b"".join(chunks), program)
    finally:
        api.remove_container(made, force=True)


def _only_file(archive: bytes, program: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(program) if tar.getmember(program).isfile() else None
        if file is None:
            raise RuntimeFailure(f"'/{program}' of the image is no file", fix="name another image")
        return file.read()
