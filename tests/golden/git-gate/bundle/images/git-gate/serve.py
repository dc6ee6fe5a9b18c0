"""The gate's first process: takes connections of git's own protocol and hands each to a git daemon; holds no secret.

`python3 serve.py BASE SCRATCH`: BASE is memory with rules, trust and credentials, SCRATCH a folder for the mirrors.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import mirror
import relay
from settings import (
    AUDIT_VARIABLE,
    BASE_VARIABLE,
    GIT_VARIABLE,
    LOCKS_VARIABLE,
    PROXY_VARIABLE,
    PYTHON_VARIABLE,
    SCRATCH_VARIABLE,
    SINCE_VARIABLE,
    Settings,
    load,
)
from upstream import CODE, PYTHON

_AT_ONCE = 16
"""Connections that are served together; others wait."""

_LINGER = 30.0
"""Seconds for a client that sends on after it was refused."""

_CONFIG = """\
[core]
	hooksPath = {code}
	bigFileThreshold = 1m
	packedGitLimit = 128m
	packedGitWindowSize = 8m
	deltaBaseCacheLimit = 32m
	fsync = none
[pack]
	threads = 1
	windowMemory = 64m
	deltaCacheSize = 32m
[gc]
	auto = 0
[maintenance]
	auto = false
[init]
	defaultBranch = main
[protocol]
	version = 2
	allow = never
[protocol "https"]
	allow = always
[protocol "ssh"]
	allow = always
[http]
	sslCAInfo = {base}/upstream-ca.pem
	sslVerify = true
	followRedirects = false
	lowSpeedLimit = 1
	lowSpeedTime = 120
[receive]
	autogc = false
	advertiseAtomic = true
	denyCurrentBranch = ignore
	denyDeleteCurrent = ignore
	unpackLimit = 1
[uploadpack]
	allowFilter = true
	allowAnySHA1InWant = true
"""
"""Large objects are copied and never compared with others, which would take memory by their size."""


def main() -> None:
    base, scratch = map(Path, sys.argv[1:3])
    os.umask(0o077)
    settings = load(base, scratch)
    _prepare(settings)
    if settings.proxy:
        os.environ[PROXY_VARIABLE] = relay.offered(settings.proxy)
    mirror.make(settings)
    listener, daemon = _listen(settings), _daemon(settings)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    free = threading.BoundedSemaphore(_AT_ONCE)
    while True:
        free.acquire()
        stream, _ = listener.accept()
        threading.Thread(target=_serve, args=(settings, daemon, stream, free), daemon=True).start()


def _prepare(settings: Settings) -> None:
    """Everything that git and its hooks are told, for this process and what it starts. No value is in it."""
    settings.gitconfig.write_text(_CONFIG.format(code=CODE, base=settings.base))
    for remote in settings.remotes:
        keys = settings.known_hosts(remote)
        keys.parent.mkdir(exist_ok=True)
        keys.write_text("".join(f"{remote.host} {key}\n" for key in remote.known_hosts))
    kept = {name: os.environ[name] for name in ("PATH", "BOTTLEGEN_BOTTLE", "BOTTLEGEN_BUNDLE") if name in os.environ}
    os.environ.clear()
    os.environ.update(kept)
    os.environ.update({
        "GIT_CONFIG_GLOBAL": str(settings.gitconfig), "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(settings.base),
        "LC_ALL": "C", "GIT_NO_REPLACE_OBJECTS": "1",
        BASE_VARIABLE: str(settings.base), SCRATCH_VARIABLE: str(settings.scratch),
        AUDIT_VARIABLE: str(os.dup(1)), PYTHON_VARIABLE: PYTHON[0], GIT_VARIABLE: _git(),
    })  # fmt: skip


def _git() -> str:
    """Git's own program: the gate's folder has another of its name, and is first where programs are looked for."""
    folders = [folder for folder in os.environ["PATH"].split(":") if Path(folder).resolve() != CODE]
    return str(shutil.which("git", path=":".join(folders)))


def _listen(settings: Settings) -> socket.socket:
    if settings.address.startswith("/"):
        path = Path(settings.address, str(settings.port))
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        path.chmod(0o666)  # who sees the folder may connect: the runtime shows it to the bottle's agent alone
    else:
        listener = socket.create_server((settings.address, settings.port))
    listener.listen(64)
    return listener


def _serve(settings: Settings, daemon: list[str], stream: socket.socket, free: threading.BoundedSemaphore) -> None:
    audit = int(os.environ[AUDIT_VARIABLE])
    locks = [
        os.open(settings.scratch / f"{remote.name}.lock", os.O_RDWR | os.O_CREAT, 0o600) for remote in settings.remotes
    ]
    env = {
        **os.environ, "PATH": f"{CODE}:{os.environ['PATH']}", "GIT_EXEC_PATH": str(CODE),
        LOCKS_VARIABLE: ",".join(map(str, locks)), SINCE_VARIABLE: str(time.monotonic()),
    }  # fmt: skip
    both = stream.fileno()
    try:
        subprocess.run(daemon, stdin=both, stdout=both, env=env, pass_fds=(audit, *locks), check=False)
        _drain(stream)
    finally:
        for lock in locks:
            os.close(lock)
        stream.close()
        free.release()


def _drain(stream: socket.socket) -> None:
    """Take what is still being sent, for a while: an end with unread bytes throws the answer away before its reader."""
    end = time.monotonic() + _LINGER
    with contextlib.suppress(OSError):
        stream.shutdown(socket.SHUT_WR)
        stream.settimeout(_LINGER)
        while stream.recv(1 << 20) and time.monotonic() < end:
            pass


def _daemon(settings: Settings) -> list[str]:
    own = subprocess.run(["git", "--exec-path"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return [
        f"{own}/git-daemon", "--inetd", "--log-destination=none", "--informative-errors", "--export-all",
        f"--base-path={settings.scratch}/remotes", f"--access-hook={CODE}/access", "--enable=receive-pack",
        "--disable=upload-archive", "--forbid-override=receive-pack", "--init-timeout=60",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
