"""What a start came to know and a later process must know again, kept beside the bundle of the run; never a secret.

It is this user's own file, yet what is read is checked: who could write it could make `verify` expect anything.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bottlegen.bundle import Bundle
from bottlegen.errors import BundleError
from runtime.base import Endpoints, LaunchSpec, Run
from runtime.start import run_of
from runtime.workspace import Bind


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Bind(_Strict):
    source: Path
    target: str
    read_only: bool


class _Record(_Strict):
    """The fields of `LaunchSpec` that a comparison needs, and those of `Run`."""

    bottle: str
    session: str
    command: tuple[str, ...]
    tty: bool
    interactive: bool
    workspace: Path | None
    home: Path | None
    base_image: str
    outside_network: str
    terminal_env: tuple[tuple[str, str], ...]
    spec_hosts: tuple[tuple[str, str], ...]
    image_mirror: str
    oci_runtime: str
    rootfs: Path | None
    binds: tuple[_Bind, ...]
    addresses: dict[str, str]
    listens: dict[str, str]
    static_hosts: dict[str, str]
    extra_trust: str


def save(run: Run, path: Path) -> None:
    """Write it for this user alone, whole or not at all."""
    spec = run.spec
    record = _Record(
        bottle=spec.bottle, session=spec.session, command=spec.command, tty=spec.tty, interactive=spec.interactive,
        workspace=spec.workspace, home=spec.home, base_image=spec.base_image, outside_network=spec.outside_network,
        terminal_env=spec.terminal_env, spec_hosts=spec.static_hosts, image_mirror=spec.image_mirror,
        oci_runtime=spec.oci_runtime, rootfs=spec.rootfs, extra_trust=run.extra_trust.decode("latin-1"),
        binds=tuple(_Bind(source=bind.source, target=bind.target, read_only=bind.read_only) for bind in spec.binds),
        addresses=dict(run.endpoints.addresses), listens=dict(run.endpoints.listens),
        static_hosts=dict(run.static_hosts),
    )  # fmt: skip
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(record.model_dump_json(indent=1))
    new.replace(path)


def load(path: Path, bundle: Bundle) -> Run:
    """The run as it began; BundleError when nothing tells, or not in this form."""
    fix = "bottlegen down, then up (or verify with the XDG_STATE_HOME that up had)"
    try:
        record = _Record.model_validate_json(path.read_bytes())
    except OSError as e:
        raise BundleError(
            f"'{path}' cannot be read, so how the bottle began is not known: {e.strerror}", fix=fix
        ) from e
    except ValidationError as e:
        raise BundleError(f"'{path}' is not as this version of bottlegen writes it", fix=fix) from e
    spec = LaunchSpec(
        bottle=record.bottle, session=record.session, bundle=bundle, command=record.command, tty=record.tty,
        interactive=record.interactive, workspace=record.workspace, home=record.home, base_image=record.base_image,
        outside_network=record.outside_network, terminal_env=record.terminal_env, static_hosts=record.spec_hosts,
        image_mirror=record.image_mirror, oci_runtime=record.oci_runtime, rootfs=record.rootfs,
        binds=tuple(Bind(source=bind.source, target=bind.target, read_only=bind.read_only) for bind in record.binds),
    )  # fmt: skip
    endpoints = Endpoints(addresses=record.addresses, listens=record.listens)
    return run_of(spec, endpoints, record.static_hosts, record.extra_trust.encode("latin-1"))
