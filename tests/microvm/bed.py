"""The bed: a Debian disk, its kernel and initrd, in a folder named by what they are made from, whole or not there."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.microvm import initrd, packages, tools

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
USER = "tester"
VENV = "/opt/venv"
AGENT_ROOT = "/srv/rootfs"
"""A root for agents inside a microVM: Debian with Python and git, as the disk's own."""

_PACKAGES = (
    "?essential", "mount", "passwd", "netbase", "python3", "python3-venv", "git", "ca-certificates", "curl",
    "iproute2", "procps",
)  # fmt: skip
_UNUSED = ("ruff", "mypy", "import-linter", "pytest-cov", "hypothesis", "types-docker", "types-pyyaml", "hatchling")
_SITE = Path("lib/python3.11/site-packages")
_TEMPLATES = ("storage-template.ext4.zst", "overlay-template.ext4.zst")
_KEPT_SECONDS = 86400  # another checkout, with another lock, may be using its bed
_DISK = "6G"  # sparse


def folder() -> Path:
    """Where the bed for this checkout's inputs lies, or will."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "bottlegen" / "microvm" / _inputs()


def ready() -> Path:
    """The bed's folder, built when it is not there."""
    target = folder()
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the second builder waits and then finds it
        if not target.is_dir():
            build(target)
    return target


def build(target: Path) -> None:
    """Build aside and rename at the end; beds of older inputs go."""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _build(partial)
        for path in [*partial.iterdir()]:
            if path.name not in {"disk", "initrd", "vmlinuz"}:
                shutil.rmtree(path)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for other in target.parent.iterdir():
        left = other.name.startswith(".") or other.stat().st_mtime < time.time() - _KEPT_SECONDS
        if other.is_dir() and other != target and left:
            shutil.rmtree(other)


def _build(work: Path) -> None:
    root, kernel, apt_folder = work / "root", work / "kernel", work / "apt"
    with ThreadPoolExecutor(1) as pool:
        wheels = pool.submit(_install_wheels, work / "venv")
        expanded = pool.submit(_expand_templates, work / "venv" / _SITE / "smol")
        with _step("packages"):
            apt = packages.Apt(apt_folder)
            archives = apt.fetch(_PACKAGES)
            loose = [apt.fetch_alone(name) for name in (apt.newest_kernel(), "busybox-static")]
        with _step("unpacked"):
            for name in ("bin", "sbin", "lib", "lib64"):
                (root / "usr" / name).mkdir(parents=True, exist_ok=True)
                (root / name).symlink_to(f"usr/{name}")
            packages.unpack(archives, root)
            packages.unpack(loose[:1], kernel, "./boot/vmlinuz*", "*.ko")
            packages.unpack(loose[1:], kernel)
        with _step("wheels"):
            wheels.result()
            expanded.result()
    with _step("settled"):
        _settle(root)
        (root / AGENT_ROOT[1:]).parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-al", root, work / "agent"], check=True)
        (work / "agent").rename(root / AGENT_ROOT[1:])
        (work / "venv").rename(root / VENV[1:])
        _compile(root)
        _unpack_agent(root)
    with _step("disk"):
        next((kernel / "boot").glob("vmlinuz*")).rename(work / "vmlinuz")
        initrd.write(work / "initrd", modules=kernel, busybox=kernel / "bin/busybox", init=HERE / "guest/initrd")
        shutil.copy(HERE / "guest/bed-init", root / "usr/sbin/bed-init")
        _make_disk(root, work / "disk")


def _install_wheels(venv: Path) -> None:
    """What uv.lock names for the tests, laid out as the environment of the disk's own Python."""
    listed = _uv("export", "--locked", "--no-emit-project", *(f"--prune={name}" for name in _UNUSED))
    names = venv.with_suffix(".txt")
    names.write_text(listed)
    place = ("--python-version=3.11", "--python-platform=x86_64-manylinux_2_36", f"--prefix={venv}")
    _uv("pip", "install", "--require-hashes", "--no-deps", f"--requirements={names}", *place)
    names.unlink()
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    for script in (venv / "bin").iterdir():
        if script.is_file() and (text := script.read_bytes()).startswith(b"#!") and b"python" in text.split(b"\n")[0]:
            script.write_bytes(f"#!{VENV}/bin/python\n".encode() + text.partition(b"\n")[2])
    for name in ("python", "python3"):
        (venv / "bin" / name).unlink(missing_ok=True)
        (venv / "bin" / name).symlink_to("/usr/bin/python3")


def _settle(root: Path) -> None:
    """What the scripts of Debian's packages would have done, as far as tests need it."""
    uid = _uid()
    shutil.copytree(root / "usr/share/base-passwd", root / "etc", dirs_exist_ok=True)
    for name in ("passwd", "group"):
        (root / f"etc/{name}.master").rename(root / f"etc/{name}")
    with (root / "etc/passwd").open("a") as passwd:
        passwd.write(f"{USER}:x:{uid}:{uid}::/home/{USER}:/bin/bash\n")
    with (root / "etc/group").open("a") as group:
        group.write(f"{USER}:x:{uid}:\nkvm:x:994:{USER}\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost bed\n::1 localhost\n")
    (root / "etc/hostname").write_text("bed\n")
    roots = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    (root / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
    (root / "etc/ssl/certs/ca-certificates.crt").write_bytes(b"".join(path.read_bytes() for path in roots))
    if not (root / "usr/bin/awk").is_symlink():
        (root / "usr/bin/awk").symlink_to("mawk")
    for name in ("proc sys dev run tmp mnt opt srv root job artifacts home/" + USER).split():
        (root / name).mkdir(exist_ok=True, parents=True)
    (root / "tmp").chmod(0o1777)


def _compile(root: Path) -> None:
    """Byte code by the disk's own Python, run from where it lies: the emulated processor would take minutes."""
    libraries = root / "usr/lib/x86_64-linux-gnu"
    python: list[str | Path] = [
        libraries / "ld-linux-x86-64.so.2",
        "--library-path",
        libraries,
        root / "usr/bin/python3.11",
    ]
    folders = [root / "usr/lib/python3.11", root / VENV[1:] / _SITE]
    subprocess.run(
        [*python, "-m", "compileall", "-q", "-q", "-j0", "-s", root, *folders],
        env={"PYTHONHOME": str(root / "usr"), "PATH": "/usr/bin:/bin"}, check=False,
    )  # fmt: skip


def _unpack_agent(root: Path) -> None:
    """The engine's own small system, where its first start would unpack it: named by the archive's size and time."""
    archive = root / VENV[1:] / _SITE / "smol/agent-rootfs.tar.zst"
    home = root / "home" / USER
    known = archive.stat()
    target = home / f".cache/smolvm/rootfs/{known.st_size:x}-{int(known.st_mtime):x}"
    target.mkdir(parents=True)
    with zstd.open(archive) as stream:
        subprocess.run(["tar", "-x", "--no-same-owner", "-C", target], input=stream.read(), check=True)
    (target / ".extracted").touch()
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{_uid()}:{_uid()}", home], check=True)


def _expand_templates(folder: Path) -> None:
    """The engine's disk templates beside their archives, where its first start would write them: minutes of holes."""
    for name in _TEMPLATES:
        _expand(folder / name)


def _expand(archive: Path) -> None:
    zeros = bytes(1 << 22)
    with zstd.open(archive) as stream, archive.with_suffix("").open("wb") as disk:
        while chunk := stream.read(len(zeros)):
            if chunk == zeros[: len(chunk)]:
                disk.seek(len(chunk), os.SEEK_CUR)
            else:
                disk.write(chunk)
        disk.truncate(disk.tell())


def _make_disk(root: Path, disk: Path) -> None:
    options = ("-q", "-q", "-F", "-t", "ext4", "-m0", "-O", "^has_journal", "-E", "lazy_itable_init=1,root_owner=0:0")
    subprocess.run([tools.path("mke2fs"), *options, "-d", root, disk, _DISK], check=True)


def _uid() -> int:
    """Who built the disk owns its files, so that needs no privilege; root hands the home over instead."""
    return os.geteuid() or 1000


def _uv(*words: str) -> str:
    fetched = sorted(ROOT.glob(".inv/uv==*/bin/uv"))
    uv = shutil.which("uv") or (str(fetched[0]) if fetched else "uv")
    command = [uv, *words, "--quiet", f"--project={ROOT}"]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=300, check=True).stdout


def _inputs() -> str:
    """Everything but the packages themselves, of which each build takes the newest."""
    found = hashlib.sha256(f"{_uid()}".encode())
    sources = [HERE / f"{name}.py" for name in ("bed", "initrd", "packages")]
    for path in (ROOT / "uv.lock", *sorted(HERE.glob("guest/*")), *sources):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


@contextmanager
def _step(title: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    print(f"microvm bed: {title} ({time.monotonic() - begun:.1f} s)", flush=True)


if __name__ == "__main__":
    with _step("ready"):
        tools.check()
        ready()
