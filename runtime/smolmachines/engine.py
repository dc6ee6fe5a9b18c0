"""The engine of microVMs, reached through its SDK: the one place that knows what of it is documented and what is not.

Not promised by its makers, and therefore held by tests/microvm: that a name after `=` in `allow_hosts` is matched
whole, that the wheel carries its command line as `smol-vmm`, and that SMOLVM_KRUN_LOG_LEVEL=1 gives a failed boot its
reason.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import smol

from bottlegen.errors import RuntimeFailure

SERIES: Final = "1.32."
"""The releases whose undocumented parts were looked at."""

LOCAL: Final = smol.ConnectOptions(target="local")
"""Said in every call: without it a token in the environment sends a bottle to the makers' cloud."""

UNMOUNTABLE: Final = ("/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/usr", "/var/log")
"""What the engine refuses to mount in a machine, with all that is below."""

_PROBE: Final = "bottlegen-boot-probe"
_DENIALS = 1000

_WORDS = (
    ("already exists", "bottlegen down --name with the bottle's name, or take another --name"),
    ("kvm permission denied", "sudo usermod -aG kvm $USER, then log in again"),
    ("KVM_EXIT_INTERNAL_ERROR", "this host cannot boot microVMs: use --runtime docker or bubblewrap"),
    ("kvm not available", "this host cannot boot microVMs: use --runtime docker or bubblewrap"),
    ("did not become ready", "resources.memory in the profile may be more than this host can give"),
    ("not found in $PATH", "the image needs python3 and sh: name another in [smolmachines] rootfs of host.toml"),
)


def exactly(name: str) -> str:
    """The host `name` and none of its subdomains, as the engine stores it; the SDK documents only the wider form."""
    return f"={name}"


def cli() -> Path:
    return Path(smol.__file__).parent / "smol-vmm"


def version() -> str:
    return metadata.version("smolmachines")


def cli_version() -> str:
    """What the command line says it is, empty when it cannot be run."""
    try:
        done = subprocess.run([str(cli()), "-V"], capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().rpartition(" ")[2]


def availability() -> tuple[bool, str, str]:
    """Whether this host has what a boot begins with, a code and a reason if not; true does not mean that one ends."""
    fine, code, reason = smol.local_availability()
    return fine, code or "", reason or ""


def create(config: smol.MachineConfig) -> None:
    """Make the machine, boot it and start its workload; what could not be started is deleted by the SDK."""
    with _speaking(), translated(f"start the machine '{config.name}'"):
        smol.Machine.create(config, LOCAL)


def machines(labels: Mapping[str, str]) -> tuple[smol.MachineSummary, ...]:
    """The machines that carry all of these labels, in any state."""
    with translated("list machines"):
        return tuple(smol.Machine.list(LOCAL, labels=dict(labels)))


def delete(name: str) -> None:
    """Remove the machine in whatever state; one that is not there is as good as removed."""
    with translated(f"remove the machine '{name}'"):
        smol.Machine.delete_by_name(name, LOCAL)


def denials(name: str) -> list[dict[str, Any]]:
    """What the machine's monitor refused by its allow list; the SDK has no call for it."""
    argv = [str(cli()), "machine", "egress-events", "--name", name, "--json", "--limit", str(_DENIALS)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return []
    return [event for event in found if isinstance(event, dict)] if isinstance(found, list) else []


def output(name: str) -> str:
    """The last that the machine's first process printed; the SDK has no call for it either."""
    argv = [str(cli()), "machine", "logs", "--name", name, "--tail", "15"]
    return subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False).stdout.strip()


def probe() -> str:
    """Boot the smallest machine there is and remove it; why that did not work, or nothing. Half a minute at most."""
    config = smol.MachineConfig(
        name=f"{_PROBE}-{os.getpid()}", resources=smol.ResourceSpec(cpus=1, memory_mb=256), ready_timeout_seconds=40
    )
    try:
        with _speaking():
            smol.Machine.create(config, LOCAL).delete()
    except smol.SmolError as e:
        return str(e.message)
    return ""


@contextmanager
def _speaking() -> Iterator[None]:
    """A boot that fails says why only at this log level."""
    name = "SMOLVM_KRUN_LOG_LEVEL"
    before = os.environ.get(name)
    os.environ.setdefault(name, "1")
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """A failure of the engine as one of ours; it mostly has one code, so its words say what to do."""
    try:
        yield
    except smol.SmolError as e:
        fix = next((fix for words, fix in _WORDS if words in e.message), f"{cli()} machine ls")
        raise RuntimeFailure(f"cannot {doing}: {e.message.strip()}", fix=fix) from e
