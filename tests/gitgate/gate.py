"""The real gate as a process of this machine, on a loopback address of its own: bundle's scripts, bundle's rules."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bottlegen.bundle import Bundle
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from bottlegen.secret import Secret
from bottlegen.sidecars import git_gate
from runtime.ca import Authority
from runtime.sidecars import git_gate as material
from runtime.sidecars.begin import EXTRA_CA, Begin
from tests.pretend.git_host import GitHost

HOST = "git.example.com"
BOTTLE = "test-bottle"


def bundle_of(folder: Path, remotes: str) -> Bundle:
    """The bundle of a shell profile with these `[[git.remotes]]`."""
    path = folder / "gated.toml"
    path.write_text(f'[agent_provider]\ntemplate = "shell"\n{remotes}')
    return build(load_profile(str(path)), load_pins())


@dataclass
class Gate:
    """A running gate: `address` is where it listens, `process` its first."""

    folder: Path
    bundle: Bundle
    address: str
    process: subprocess.Popen[bytes]

    def place(self, files: Any) -> None:
        _place(self.folder, files)

    def audit(self) -> list[dict[str, Any]]:
        lines = (self.folder / "out").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def said(self) -> str:
        """Everything that it wrote, its errors last."""
        return (self.folder / "out").read_text() + (self.folder / "errors").read_text()

    def peak(self) -> int:
        """Bytes of the largest process that it has waited for, and its own."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM"))


@contextlib.contextmanager
def running(
    folder: Path, bundle: Bundle, host: GitHost | None, values: Mapping[str, str], *, path: str = "",
    way_out: str = "", **changes: Any,
) -> Iterator[Gate]:  # fmt: skip
    """The gate of `bundle` with the host's address and trust, until the end of the block; `way_out` is pipelock's."""
    for name in ("base", "scratch", "code", "tmp"):
        (folder / name).mkdir()
    # Any address of 127/8 is this machine's: one of its own lets the port be what it is everywhere.
    address = "127." + ".".join(str(1 + byte % 254) for byte in os.urandom(3))
    addresses = {"git-gate": address, "pipelock": way_out}
    _place(folder, material.material(_begin(bundle, host, values, {"addresses": addresses} | changes)))
    trust = (folder / "base" / EXTRA_CA).read_bytes()
    (folder / "base" / "upstream-ca.pem").write_bytes(trust)
    for file in bundle.below("images/git-gate"):
        made = folder / "code" / Path(file.path).name
        made.write_bytes(file.data)
        made.chmod(file.mode)
    argv = [sys.executable, "-E", "-s", "-S", "-B", str(folder / "code" / "serve.py")]
    env = {"PATH": path or os.environ["PATH"], "BOTTLEGEN_BOTTLE": BOTTLE, "BOTTLEGEN_BUNDLE": bundle.hash}
    with (folder / "out").open("wb") as out, (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [*argv, str(folder / "base"), str(folder / "scratch")], stdout=out, stderr=errors, env=env, cwd="/"
        )
    try:
        _wait(process, address, folder)
        yield Gate(folder=folder, bundle=bundle, address=address, process=process)
    finally:
        process.terminate()
        process.wait(10)


def _begin(bundle: Bundle, host: GitHost | None, values: Mapping[str, str], changes: Any) -> Begin:
    tokens = json.loads(bundle.data("tokens.json"))
    static = {HOST: f"{host.address[0]}:{host.address[1]}"} if host else {}
    told: dict[str, Any] = {
        "bundle": bundle,
        "authority": Authority(certificate=b"", leaves=()),
        "listens": {},
        "signer": None,
        "every_value": (),
        "values": {slot: Secret(values[ref]) for slot, ref in tokens.items()},
        "static_hosts": static,
        "extra_trust": host.authority.pem.encode() if host else b"",
    }
    return Begin(**(told | changes))


def _place(folder: Path, files: Any) -> None:
    for file in files:
        path = folder / "base" / file.path.removeprefix(git_gate.BASE + "/")
        path.parent.mkdir(exist_ok=True)
        new = path.with_name(path.name + ".new")
        new.write_bytes(file.data)
        new.chmod(file.mode)
        new.replace(path)


def _wait(process: subprocess.Popen[bytes], address: str, folder: Path) -> None:
    end = time.monotonic() + 15
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((address, git_gate.PORT), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"the gate did not start:\n{(folder / 'errors').read_text()[-3000:]}")
