"""Image archives in the shapes that `docker save`, Nix's dockerTools and the OCI image layout have."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Entry = tuple[str, Any]
"""A name and what it is: bytes (with a mode), `->target` of a symbolic link, `=>target` of a hard one, None for a
folder, a type of tarfile's."""


def raise_rights(path: Path) -> None:
    """A program that would run as its owner, except in a Nix build, where nobody can make one."""
    try:
        path.chmod(0o6755)
    except PermissionError:
        path.chmod(0o755)


def layer(*entries: Entry) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, what in entries:
            _add(tar, name, what)
    return out.getvalue()


def _add(tar: tarfile.TarFile, name: str, what: Any) -> None:
    info = tarfile.TarInfo(name)
    info.mtime, info.mode = 1, 0o555 if name.endswith("!") else 0o444
    info.name = name.removesuffix("!")
    if isinstance(what, tuple):  # a file's bytes and mode
        what, info.mode = what
    if what is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif isinstance(what, bytes) and what.startswith((b"->", b"=>")):
        info.type = tarfile.SYMTYPE if what.startswith(b"->") else tarfile.LNKTYPE
        info.linkname = what[2:].decode()
    elif isinstance(what, bytes) and what in (tarfile.CHRTYPE, tarfile.FIFOTYPE):
        info.type = what
    else:
        info.size = len(what)
        tar.addfile(info, io.BytesIO(what))
        return
    tar.addfile(info)


def save(path: Path, layers: Iterable[bytes], **changes: Any) -> Path:
    """As dockerTools and `docker save` before 25: a folder a layer, the manifest last, all of it packed."""
    files: list[Entry] = []
    names = []
    for data in layers:
        name = hashlib.sha256(data).hexdigest()
        names.append(f"{name}/layer.tar")
        files += [(f"{name}/VERSION", b"1.0"), (names[-1], data)]
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]}}).encode()
    manifest = {"Config": "config.json", "RepoTags": ["agent:1"], "Layers": names} | changes
    files += [("config.json", config), ("manifest.json", json.dumps([manifest]).encode())]
    packed = gzip.compress(layer(*files), 1, mtime=0) if path.suffix == ".gz" else layer(*files)
    path.write_bytes(packed)
    return path


def oci(path: Path, layers: Iterable[bytes], platforms: Iterable[str] = ("linux/amd64",)) -> Path:
    """An image layout with one manifest a platform; layers packed with gzip."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> dict[str, Any]:
        name = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{name}"] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{name}", "size": len(data)}

    packed = [blob(gzip.compress(data, 1, mtime=0), "layer.v1.tar+gzip") for data in layers]
    entries = []
    for platform in platforms:
        os_name, _, machine = platform.partition("/")
        manifest = {"schemaVersion": 2, "config": blob(platform.encode(), "config.v1+json"), "layers": packed}
        entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
        entries.append(entry | {"platform": {"os": os_name, "architecture": machine}})
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    path.write_bytes(layer(("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", index), *blobs.items()))
    return path


def image_archive(path: Path, root: Path) -> Path:
    """The tree at `root` as dockerTools would write it: `nix/store` in a layer below, the rest above."""
    store = [_entry(root, found) for found in sorted((root / "nix").rglob("*"))]
    rest = [_entry(root, found) for found in sorted(root.rglob("*")) if not found.is_relative_to(root / "nix")]
    return save(path, [layer(("./nix", None), *store), layer(("./", None), *rest)])


def _entry(root: Path, path: Path) -> Entry:
    name = f"./{path.relative_to(root).as_posix()}"
    if path.is_symlink():
        return name, b"->" + os.fsencode(path.readlink())
    if path.is_dir():
        return name, None
    return name, (path.read_bytes(), path.stat().st_mode & 0o7777)
