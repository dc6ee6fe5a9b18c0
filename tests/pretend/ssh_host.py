"""A host of git repositories that is reached by ssh: OpenSSH's own server on loopback, with keys made for the test."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
USER = getpass.getuser()
"""Whom a server that is no service of the machine can log in."""

_CONFIG = """\
ListenAddress {address}:{port}
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/client.pub
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
LogLevel VERBOSE
ForceCommand {folder}/serve
"""
_SERVE = """\
#!/bin/sh
# What a forge does: the service that was asked for, on the repository of that name.
set -- $SSH_ORIGINAL_COMMAND
exec "$1" "{root}/$(echo "$2" | tr -d "'")"
"""


class SshHost:
    """Serves the bare repositories below `root` to who has `key`; `public` is what the host itself shows."""

    def __init__(self, folder: Path, root: Path, address: str = "127.0.0.1") -> None:
        assert SSHD
        self._folder = folder
        for name in ("host", "client"):
            make_key(folder / name)
        self.key = (folder / "client").read_text().rstrip("\n")
        self.public = " ".join((folder / "host.pub").read_text().split()[:2])
        with socket.create_server((address, 0)) as probe:
            self.address: tuple[str, int] = probe.getsockname()
        (folder / "config").write_text(_CONFIG.format(folder=folder, address=address, port=self.address[1]))
        (folder / "serve").write_text(_SERVE.format(root=root))
        (folder / "serve").chmod(0o755)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it has its unprivileged part stand

    def said(self) -> str:
        return (self._folder / "log").read_text()

    def __enter__(self) -> Self:
        argv = [str(SSHD), "-D", "-e", "-f", str(self._folder / "config")]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 10
        while self._process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(self.address, 1):
                return self
            time.sleep(0.02)
        raise AssertionError(f"sshd did not start:\n{self.said()}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(10)


def make_key(path: Path) -> str:
    """A key pair of no passphrase in `path` and `path`.pub; the private one."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)
    return path.read_text().rstrip("\n")
