"""The Python that runs bottlegen, for a root that has none: nothing of the root around it is used.

Its program, its standard library and the shared objects that it has loaded come into a folder of their own, and are
started by their own loader: what the root has of the same names is another build, or not there.
"""

import ctypes
import importlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from runtime.bubblewrap.tools import Tools

_LOADERS = ("ld-", "ld.so", "ld64")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPython:
    """`files` are host path and path inside; `argv` starts it."""

    files: tuple[tuple[Path, str], ...]
    argv: tuple[str, ...]


@cache
def own_python(tools: Tools, folder: str, module: str) -> OwnPython:
    """What has to be in `folder` so that `module` can run there."""
    importlib.import_module(module)  # here, so that all the objects it needs are loaded and thereby known
    library = Path(os.__file__).resolve().parent
    inside = f"{folder}/python/{library.relative_to(Path(sys.base_prefix).resolve()).as_posix()}"
    program = f"{folder}/python/bin/python3"
    objects = {Path(name).name: Path(name).resolve() for name in _loaded() if not _comes_along(Path(name), library)}
    loader = next((name for name in objects if name.startswith(_LOADERS)), "")
    files = (
        (tools.python, program),
        (library, inside),
        *((path, f"{folder}/lib/{name}") for name, path in sorted(objects.items())),
    )
    begin = (f"{folder}/lib/{loader}", "--library-path", f"{folder}/lib") if loader else ()
    return OwnPython(files=files, argv=(*begin, program))


def _comes_along(path: Path, library: Path) -> bool:
    """Modules of the standard library lie in it; those of packages are not needed inside."""
    return path.resolve().is_relative_to(library) or "site-packages" in path.parts or "dist-packages" in path.parts


class _Object(ctypes.Structure):
    """The beginning of dl_phdr_info, dl_iterate_phdr(3)."""

    _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))


def _loaded() -> Iterator[str]:
    """The shared objects of this process under the names by which they are looked for."""
    found: list[str] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Object), ctypes.c_size_t, ctypes.c_void_p)
    def tell(this, _size, _data):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 - ctypes calls it
        found.append(os.fsdecode(this.contents.name or b""))
        return 0

    ctypes.CDLL(None).dl_iterate_phdr(tell, None)
    # The program itself has no name, the kernel's own object no path.
    yield from (name for name in found if name.startswith("/") and Path(name).exists())
