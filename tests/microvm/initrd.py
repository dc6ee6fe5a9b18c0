"""The first file system of a kernel: a static busybox and the modules that find the disk, in loading order."""

import io
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

MODULES = (
    "virtio_pci", "virtio_blk", "ext4", "9pnet_virtio", "9p", "kvm-amd", "overlay", "fuse", "tun", "virtio_net", "loop",
)  # fmt: skip


def write(path: Path, *, modules: Path, busybox: Path, init: Path) -> None:
    """An uncompressed archive: to unpack a compressed one would cost the emulated processor seconds."""
    files = [(f"modules/{number:02}-{ko.name}", ko.read_bytes()) for number, ko in enumerate(_ordered(modules))]
    archive = io.BytesIO()
    for name in ("bin", "dev", "modules", "root"):
        _member(archive, name, stat.S_IFDIR | 0o755, b"")
    for name, content in (("bin/busybox", busybox.read_bytes()), ("init", init.read_bytes()), *files):
        _member(archive, name, stat.S_IFREG | 0o755, content)
    _member(archive, "TRAILER!!!", 0, b"")
    path.write_bytes(archive.getvalue())


def _member(archive: io.BytesIO, name: str, mode: int, content: bytes) -> None:
    """One member in the "newc" form of cpio, see the kernel's Documentation/driver-api/early-userspace."""
    encoded = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    for part in (b"070701" + "".join(f"{field:08x}" for field in fields).encode() + encoded, content):
        archive.write(part)
        archive.write(b"\0" * (-archive.tell() % 4))


def _ordered(folder: Path) -> Sequence[Path]:
    """Each wanted module after those that it names as needed; what is built into the kernel has no file."""
    found = {_plain(path.stem): path for path in folder.rglob("*.ko")}
    order: dict[str, Path] = {}

    def place(name: str) -> None:
        if name in found and name not in order:
            for needed in _depends(found[name]):
                place(needed)
            order[name] = found[name]

    for name in MODULES:
        place(_plain(name))
    return [*order.values()]


def _depends(module: Path) -> Iterator[str]:
    """Read from the module's own `depends=a,b` line, which modinfo shows."""
    _, _, rest = module.read_bytes().partition(b"\0depends=")
    names = rest.partition(b"\0")[0].decode()
    yield from (_plain(name) for name in names.split(",") if name)
    if "crc32c" in names or _plain(module.stem) == "ext4":  # asked for by name at run time, so no line tells
        yield "crc32c_generic"


def _plain(name: str) -> str:
    return name.replace("-", "_")
