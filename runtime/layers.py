"""An image archive as one tree: layers applied in their order, each entry inside of the tree whatever links it holds.

Read are what `docker save` and Nix's dockerTools write (`manifest.json`), and the OCI image layout (`index.json`). As
in a Nix archive, a file's execute bit counts and no other mode, no owner, no time; devices and pipes are left out.
"""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bottlegen.errors import RuntimeFailure
from runtime.tree import DEEPEST, make_folder

_MAX_DOCUMENT = 4 * 1024 * 1024
_MAX_LINKS = 40
_ZSTD = b"\x28\xb5\x2f\xfd"
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
"""OCI image specification, "Layer": an entry that removes another, and one that empties the folder it is in."""


def unpack(archive: Path, into: Path, platform: str, scratch: Path) -> None:
    """Make the folder `into`; `platform` (`linux/amd64`) decides where there are several images, `scratch` is a folder
    for what is needed meanwhile. RuntimeFailure for what is no such archive."""
    with _translated(archive), tempfile.TemporaryDirectory(dir=scratch, prefix="members-") as folder:
        members = _members(archive, Path(folder))
        layers = _layers(members, platform)
        make_folder(into)
        for number, layer in enumerate(layers):
            _apply(layer, into, bottom=number == 0)


class _Flaw(ValueError):
    """What is wrong with an archive, and what to do about it."""

    def __init__(self, what: str, fix: str = "write it with: docker save IMAGE, or Nix's dockerTools") -> None:
        super().__init__(what)
        self.fix = fix


@contextmanager
def _translated(archive: Path) -> Iterator[None]:
    try:
        yield
    except _Flaw as e:
        raise RuntimeFailure(f"'{archive.name}' cannot be an agent's root: {e}", fix=e.fix) from e
    except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError) as e:
        raise RuntimeFailure(f"'{archive.name}' is no image archive: {e}", fix=_Flaw("").fix) from e
    except OSError as e:
        fix = "check space and permissions of the cache"
        raise RuntimeFailure(f"cannot unpack '{archive.name}': {e.strerror or e}", fix=fix) from e


def _members(archive: Path, folder: Path) -> dict[str, Path]:
    """The files of the outer archive by their names: they come in any order, so each is put down first."""
    found: dict[str, Path] = {}
    links: dict[str, str] = {}
    with tarfile.open(archive, "r|*") as tar:
        for number, member in enumerate(tar):
            name = posixpath.normpath(member.name)
            if member.isreg():
                found[name] = folder / str(number)
                with found[name].open("xb") as target:
                    shutil.copyfileobj(_stream(tar, member), target, 1 << 20)
            elif member.issym():  # `docker save` before 25 writes a layer that it has written already as a link to it
                links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
            elif member.islnk():
                links[name] = posixpath.normpath(member.linkname)
    return found | {name: found[target] for name, target in links.items() if target in found}


def _stream(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(member)
    if stream is None:
        raise _Flaw(f"'{member.name}' holds no bytes")
    return stream


def _layers(members: dict[str, Path], platform: str) -> list[Path]:
    if "manifest.json" in members:
        images = _document(members, "manifest.json")
        if len(images) != 1:
            raise _Flaw(f"it holds {len(images)} images", "save one image alone")
        names = [str(name) for name in images[0]["Layers"]]
    elif "index.json" in members:
        manifest = _one(members, _document(members, "index.json"), platform)
        names = [_blob(layer) for layer in manifest["layers"]]
    else:
        raise _Flaw("neither manifest.json nor index.json is in it")
    if missing := [name for name in names if posixpath.normpath(name) not in members]:
        raise _Flaw(f"its layer '{missing[0]}' is not in it")
    return [members[posixpath.normpath(name)] for name in names]


def _one(members: dict[str, Path], index: Any, platform: str) -> Any:
    """The manifest of the only image there is for this platform; an index may lead to another."""
    for _ in range(_MAX_LINKS):
        entries = index["manifests"]
        fitting = [entry for entry in entries if _platform(entry) in (platform, "")] if len(entries) > 1 else entries
        if len(fitting) != 1:
            raise _Flaw(f"it holds {len(fitting)} images for {platform}", "save one image alone")
        index = _document(members, _blob(fitting[0]))
        if "layers" in index:
            return index
    raise _Flaw("its index leads in circles")


def _platform(entry: Any) -> str:
    told = entry.get("platform") or {}
    return f"{told['os']}/{told['architecture']}" if told else ""


def _blob(descriptor: Any) -> str:
    algorithm, _, digest = str(descriptor["digest"]).partition(":")
    return f"blobs/{algorithm}/{digest}"


def _document(members: dict[str, Path], name: str) -> Any:
    path = members[name]
    if path.stat().st_size > _MAX_DOCUMENT:
        raise _Flaw(f"its '{name}' is larger than {_MAX_DOCUMENT >> 20} MiB")
    return json.loads(path.read_bytes())


def _apply(layer: Path, root: Path, *, bottom: bool) -> None:
    """First what the layer removes of those below, then what it holds: an entry that it has itself is never removed."""
    with layer.open("rb") as file:
        if file.read(4) == _ZSTD:
            raise _Flaw("a layer is packed with zstd", "pack it with gzip: skopeo copy --dest-compress-format gzip …")
    if not bottom:
        for name, _, _ in _entries(layer):
            _remove_below(root, name)
    for name, member, tar in _entries(layer):
        if not posixpath.basename(name).startswith(_WHITEOUT):
            _put(root, name, member, tar)


def _entries(layer: Path) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
    with tarfile.open(layer, "r|*") as tar:
        for member in tar:
            if name := _name(member.name):
                yield name, member, tar


def _name(text: str) -> str:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _Flaw(f"the entry '{text}' points outside")
    if len(parts) > DEEPEST:
        raise _Flaw(f"the entry '{text[:40]}…' is nested too deeply")
    return "/".join(parts)


def _remove_below(root: Path, name: str) -> None:
    folder, base = posixpath.split(name)
    if not base.startswith(_WHITEOUT) or (parent := resolve(root, folder)) is None:
        return
    gone = base.removeprefix(_WHITEOUT)
    if gone in ("", ".", ".."):
        raise _Flaw(f"the entry '{name}' removes what is not in its folder")
    if base != _OPAQUE:
        _drop(root / parent / gone)
    elif (root / parent).is_dir():
        for path in (root / parent).iterdir():
            _drop(path)


def _put(root: Path, name: str, member: tarfile.TarInfo, tar: tarfile.TarFile) -> None:
    path = _parent(root, posixpath.dirname(name)) / posixpath.basename(name)
    if member.isdir():
        if path.is_symlink() or not path.is_dir():
            _drop(path)
            make_folder(path)
        return
    if not (member.isreg() or member.issym() or member.islnk()):
        return  # a device, a pipe: a bottle has its own
    _drop(path)
    if member.issym():
        path.symlink_to(member.linkname)
    elif member.islnk():
        _link(root, _name(member.linkname), path)
    else:
        with path.open("xb") as target:
            shutil.copyfileobj(_stream(tar, member), target, 1 << 20)
        path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _link(root: Path, target: str, path: Path) -> None:
    folder = resolve(root, posixpath.dirname(target))
    source = root / (folder or "") / posixpath.basename(target)
    if folder is None or not os.path.lexists(source) or stat.S_ISDIR(source.lstat().st_mode):
        raise _Flaw(f"the entry '{path.relative_to(root)}' is a link to '{target}', which is not there")
    os.link(source, path, follow_symlinks=False)


def _parent(root: Path, name: str) -> Path:
    """The folder of an entry, made where it is missing; links on the way stay inside of the tree."""
    here = root
    for part in _plain(root, name).split("/"):
        here /= part
        if here.is_symlink() or not here.is_dir():
            _drop(here)
            make_folder(here)
    return here


def _plain(root: Path, name: str) -> str:
    """`name` without links: where it leads, or itself when its links lead in circles and so have to go."""
    found = resolve(root, name, missing_too=True)
    return name if found is None else found


def resolve(root: Path, name: str, *, missing_too: bool = False) -> str | None:
    """Where `name` leads in the tree, as a process whose root it is would see it; None when that is nowhere.

    With `missing_too` what is not there counts as if it were, and only links in circles lead nowhere.
    """
    done: list[str] = []
    parts = _reversed(name)
    links = 0
    while parts:
        part = parts.pop()
        if part == "..":
            del done[-1:]
            continue
        path = root.joinpath(*done, part)
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            if not missing_too:
                return None
            mode = stat.S_IFDIR
        if not stat.S_ISLNK(mode):
            done.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            return None
        target = os.readlink(path)  # noqa: PTH115 - Path would drop a doubled slash and what it means
        if target.startswith("/"):
            done.clear()
        parts.extend(_reversed(target))
    return "/".join(done)


def _reversed(name: str) -> list[str]:
    return [part for part in reversed(name.split("/")) if part not in ("", ".")]


def _drop(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
