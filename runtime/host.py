"""host.toml: what this host adds at start and no bundle may hold: sources of secrets, trust, addresses, images.

Looked for at $BOTTLEGEN_HOST_CONFIG, else $XDG_CONFIG_HOME/bottlegen/host.toml, else ~/.config/bottlegen/host.toml.
"""

import errno
import ipaddress
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from bottlegen.diagnosis import unknown
from bottlegen.errors import HostError, Problem, ProfileError
from bottlegen.hostview import HostView
from bottlegen.source import Source, parse_toml
from bottlegen.wording import Keys, dotted
from runtime.regular import read_regular

CONFIG_VARIABLE = "BOTTLEGEN_HOST_CONFIG"
_MAX_BYTES = 1024 * 1024
_MAX_TRUST = 16 * 1024 * 1024


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SecretSource(_Strict):
    """Exactly one of: a variable, a file, a keyring entry `service/user`, a command whose output is the value."""

    env: str | None = None
    file: str | None = None
    keyring: str | None = None
    command: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _one(self) -> "SecretSource":
        if sum(value is not None for value in (self.env, self.file, self.keyring, self.command)) != 1:
            raise ValueError("give exactly one of env, file, keyring, command")
        if self.command is not None and not self.command:
            raise ValueError("command is empty")
        return self


class Upstream(_Strict):
    """Towards the internet: extra trust, and fixed addresses (`address` or `address:port`) as in /etc/hosts."""

    ca_file: str | None = None
    hosts: dict[str, str] = Field(default_factory=dict)

    @field_validator("hosts")
    @classmethod
    def _addresses(cls, hosts: dict[str, str]) -> dict[str, str]:
        for name, address in hosts.items():
            if not _is_address(address):
                raise ValueError(f"'{address}' of '{name}' is no IP address (with or without a port)")
        return {name.lower().rstrip("."): address for name, address in hosts.items()}


def _is_address(text: str) -> bool:
    try:
        split_address(text)
    except ValueError:
        return False
    return True


def split_address(text: str, default_port: int = 443) -> tuple[str, int]:
    """`203.0.113.5`, `203.0.113.5:8443`, `2001:db8::1` or `[2001:db8::1]:8443` as (address, port), or ValueError."""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    else:
        address, port = text, ""
    number = int(port) if port else default_port
    if not 0 < number < 65536:
        raise ValueError(f"port {number} is out of range")
    return str(ipaddress.ip_address(address)), number


class Images(_Strict):
    """`base` replaces the base image of every service. `mirror` (`host` or `host:port`) is a registry that is asked
    instead of Docker Hub, and has its images under their names there. `programs` leads a program that would be built
    from source, such as `pipelock`, to an image by digest that has it as `/NAME`."""

    base: str = ""
    programs: dict[str, Annotated[str, Field(pattern=r"^[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}$")]] = Field(
        default_factory=dict
    )
    mirror: Annotated[str, Field(pattern=r"^([A-Za-z0-9.-]+(:[0-9]+)?)?$")] = ""


class Docker(_Strict):
    """`outside_network` names an existing network that sidecars join instead of one of their own. `oci_runtime` is what
    the engine runs agents with, by the name that the engine knows it by: `runsc` is gVisor."""

    outside_network: str = ""
    oci_runtime: str = ""


class Review(_Strict):
    """Which bundles may run: those that are built, that are in HEAD too, or that are in `merged:REF` too."""

    require: Annotated[str, Field(pattern=r"^(built|committed|merged:[A-Za-z0-9][A-Za-z0-9._/-]*)$")] = "built"


class Audit(_Strict):
    """How long and how much audit is kept of runs that have ended, and how much one run may write: `max_days`, and
    megabytes for all of them and for one sidecar of one run."""

    max_days: Annotated[int, Field(ge=1, le=36500)] = 90
    max_megabytes: Annotated[int, Field(ge=1)] = 2048
    run_megabytes: Annotated[int, Field(ge=1)] = 512


class Smolmachines(_Strict):
    """`rootfs` is what agents' machines have as their root where the profile names none: an unpacked root or an image
    archive of this host. `target` "cloud" is refused, and can be written so that the refusal says why."""

    rootfs: str = ""
    target: Literal["local", "cloud"] = "local"


class HostConfig(_Strict):
    """All settings of this host; an absent file is all defaults."""

    secrets: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], SecretSource] = Field(
        default_factory=dict
    )
    upstream: Upstream = Upstream()
    images: Images = Images()
    docker: Docker = Docker()
    smolmachines: Smolmachines = Smolmachines()
    rootfs: dict[str, str] = Field(default_factory=dict)
    review: Review = Review()
    audit: Audit = Audit()
    runtime: Literal["auto", "docker", "smolmachines", "bubblewrap"] = "auto"

    @field_validator("rootfs")
    @classmethod
    def _places(cls, rootfs: dict[str, str]) -> dict[str, str]:
        for name, path in rootfs.items():
            if not path.startswith(("/", "~/")):
                raise ValueError(f"'{path}' of '{name}' does not begin with / or ~/")
        return rootfs


def config_path(env: Mapping[str, str], home: Path) -> Path:
    if given := env.get(CONFIG_VARIABLE):
        return Path(given)
    return Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "bottlegen" / "host.toml"


def load_host(env: Mapping[str, str], home: Path) -> HostConfig:
    """This host's settings; HostError lists every problem. A missing file is an error only where it was named."""
    path = config_path(env, home)
    try:
        data = read_regular(path, _MAX_BYTES)
    except FileNotFoundError as e:
        if CONFIG_VARIABLE in env:
            raise HostError(
                f"${CONFIG_VARIABLE} names '{path}', which is not there",
                fix=f"touch '{path}'",
            ) from e
        return HostConfig()
    except OSError as e:
        raise HostError(f"cannot read '{path}': {e.strerror}", fix=f"ls -l '{path}'") from e
    return parse_host(data, str(path))


def parse_host(data: bytes, name: str) -> HostConfig:
    """Read host.toml's bytes; `name` stands in messages."""
    try:
        source = parse_toml(name, data)
    except ProfileError as e:
        raise HostError(e.problems) from e
    flaws = [Problem(what=flaw.what, where=source.where(flaw.keys), fix=flaw.fix) for flaw in source.flaws]
    if flaws:
        raise HostError(flaws)
    try:
        return HostConfig.model_validate(source.data)
    except ValidationError as e:
        raise HostError([_problem(error, source) for error in e.errors(include_url=False)]) from e


def _problem(error: ErrorDetails, source: Source) -> Problem:
    keys = tuple(part for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        what, fix = unknown(keys, _fields_beside(keys))
    else:
        what, fix = (
            f"{dotted(keys)}: {_WANTED_AT.get(keys) or _in_words(error)}",
            "see docs/host.md for what stands here",
        )
    return Problem(what=what, where=source.where(keys), fix=fix)


_WANTED = {
    "string_type": "text is wanted here, in double quotes",
    "dict_type": "a table is wanted here",
    "model_type": "a table is wanted here",
    "tuple_type": "a list is wanted here",
    "string_pattern_mismatch": "not a name of the form that stands here",
}
_WANTED_AT: dict[Keys, str] = {
    ("review", "require"): '"built", "committed" or "merged:REF" is wanted here, such as "merged:origin/main"'
}


def _in_words(error: ErrorDetails) -> str:
    text = error["msg"].removeprefix("Value error, ")
    return _WANTED.get(error["type"], text[:1].lower() + text[1:])


def _fields_beside(keys: Keys) -> Iterable[str]:
    """The names that could stand where `keys` ends."""
    table: type[BaseModel] = HostConfig
    for key in keys[:-1]:
        field = table.model_fields.get(str(key))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return SecretSource.model_fields
        table = field.annotation
    return table.model_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """This host as commands need it, passed in so that a test can be one."""

    env: Mapping[str, str]
    home: Path
    config: HostConfig

    @property
    def cache(self) -> Path:
        return Path(self.env.get("XDG_CACHE_HOME") or self.home / ".cache") / "bottlegen"

    @property
    def ca_file(self) -> Path | None:
        """Trust beside the system's roots, for upstreams, downloads and builds."""
        named = self.config.upstream.ca_file or self.env.get("SSL_CERT_FILE")
        return _expanded(named) if named else None

    def view(self, now: int) -> HostView:
        """What a provider may see; `now` in seconds since the epoch."""
        return HostView(env=self.env, home=str(self.home), now=now, read=_read_or_none)

    def extra_trust(self) -> bytes:
        """The PEM certificates of `ca_file`, empty without one; HostError when they cannot be read."""
        path = self.ca_file
        if path is None:
            return b""
        try:
            data = read_regular(path, _MAX_TRUST)
        except OSError as e:
            raise HostError(
                f"cannot read the CA file '{path}': {e.strerror}",
                fix="mend SSL_CERT_FILE, or [upstream] ca_file in host.toml",
            ) from e
        if len(data) > _MAX_TRUST:
            raise HostError(f"CA file '{path}' is larger than {_MAX_TRUST} bytes", fix="name a PEM file")
        if b"-----BEGIN CERTIFICATE-----" not in data:
            raise HostError(f"CA file '{path}' holds no PEM certificate", fix="name a PEM file")
        return data


def _expanded(path: str) -> Path:
    """With `~` and `~somebody` as in a shell, where a name that nobody has stands for itself."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _read_or_none(path: str) -> bytes | None:
    try:
        data = read_regular(Path(path), _MAX_BYTES)
    except FileNotFoundError:
        return None
    if len(data) > _MAX_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return data


def this_host() -> Host:
    """The host that this process runs on."""
    env = dict(os.environ)
    home = Path.home()
    return Host(env=env, home=home, config=load_host(env, home))
