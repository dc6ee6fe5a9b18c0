"""Material as a tar in memory: it goes to a service over a stream and is never a file on this side."""

import io
import tarfile
from collections.abc import Sequence

from runtime.base import MaterialFile


def pack(files: Sequence[MaterialFile], suffix: str = "") -> bytes:
    """`files` under their absolute paths plus `suffix`, owned by whoever unpacks."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for file in files:
            info = tarfile.TarInfo(file.path.lstrip("/") + suffix)
            info.mode, info.size = file.mode, len(file.data)
            tar.addfile(info, io.BytesIO(file.data))
    return out.getvalue()
