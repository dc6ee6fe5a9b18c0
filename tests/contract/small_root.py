"""A small root for agents, made of this host's own programs and the libraries they need: no Python in it, no bash."""

import os
import re
import shutil
import subprocess
from pathlib import Path

PROGRAMS = ("sh", "cat", "curl", "id", "ls", "stat", "touch", "sleep")
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


def make(root: Path) -> Path:
    """With what a tree may hold besides: links in odd places, a setuid file, a file for its owner alone."""
    for name in PROGRAMS:
        found = shutil.which(name)
        assert found, f"this host has no {name}"
        program = Path(found).resolve()
        _copy(program, root / "usr" / "bin" / name)
        for library in _LIBRARY.findall(_needs(program)):
            _copy(Path(library).resolve(), root / library.lstrip("/"))
    for name in ("bin", "sbin"):
        (root / name).symlink_to("usr/bin")
    for name, target in (("home", "/etc"), ("run", "../../../tmp"), ("workspace", "/usr"), ("opt", "usr/opt")):
        (root / name).symlink_to(target)
    _etc(root)
    (root / "usr" / "opt" / "theirs").mkdir(parents=True)
    (root / "usr" / "bin" / "raised").write_text("#!/bin/sh\nid -u\n")
    (root / "usr" / "bin" / "raised").chmod(0o6755)
    (root / "usr" / "closed").write_text("of its owner\n")
    (root / "usr" / "closed").chmod(0o600)
    (root / "usr" / "out").symlink_to("/etc/shadow")
    (root / "empty").mkdir()
    return root


def _etc(root: Path) -> None:
    """As Nix makes it: a link to a folder elsewhere, whose authorities are one more link away."""
    store = root / "nix" / "store" / "0000-etc"
    (store / "etc").mkdir(parents=True)
    (root / "etc").symlink_to("/nix/store/0000-etc/etc")
    (store / "etc" / "motd").write_text("of the tree\n")
    (store / "etc" / "passwd").write_text("root:x:0:0:of the tree:/root:/bin/sh\n")
    (store / "etc" / "relative").symlink_to("../marker")
    (store / "etc" / "ld.so.preload").write_text("/usr/lib/never.so\n")
    (store / "marker").write_text("beside etc\n")
    (root / "nix" / "store" / "0000-trust" / "certs").mkdir(parents=True)
    (root / "nix" / "store" / "0000-trust" / "certs" / "one.pem").write_text("an authority\n")
    (store / "etc" / "ssl").symlink_to("/nix/store/0000-trust")


def _needs(program: Path) -> str:
    return subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True).stdout


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copyfile(source, target)
        target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
