"""Where a secret could have been left: a byte search of a running bottle, and of the host and engine around it."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import docker

_AT_ONCE = 2000
"""Files that one grep is given: their names are far below what an argv may hold."""

_SEARCH = r"""
import os, stat, sys
since, elsewhere, *words = sys.argv[1:]
needles = [bytes.fromhex(word) for word in words]
me = str(os.getpid())
def look(path, label):
    try:
        with open(path, "rb") as file:
            tail = b""
            while chunk := file.read(1 << 20):
                data = tail + chunk
                if any(needle in data for needle in needles):
                    return print(label)
                tail = data[-4096:]
    except OSError:
        pass
for pid in filter(str.isdigit, os.listdir("/proc")):
    if pid != me:
        for part in ("environ", "cmdline"):
            look(f"/proc/{pid}/{part}", f"process {pid} {part}")
skip = {"/proc", "/sys", "/dev", *elsewhere.split(":")}
for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in skip]
    for name in names:
        path = os.path.join(folder, name)
        try:
            info = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISREG(info.st_mode) and info.st_ctime >= float(since):
            look(path, path)
"""


def search(needles: Sequence[bytes], since: float, elsewhere: Sequence[str] = ()) -> list[str]:
    """A command that prints every place in the bottle that holds a needle, but for folders that are the host's own."""
    return ["python3", "-c", _SEARCH, str(since), ":".join(elsewhere), *(needle.hex() for needle in needles)]


def said_on_host(needles: Sequence[bytes]) -> list[str]:
    """Processes of this host whose arguments or environment hold a needle; needles come from the tests' own."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        for part in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                data = (folder / part).read_bytes()
                if folder.name != str(os.getpid()) and any(needle in data for needle in needles):
                    found.append(f"host process {part}")
    return found


def found_in_container(engine: docker.DockerClient, bottle: str, needles: Sequence[bytes], since: float) -> list[str]:
    """Every place inside the agent's container, and in what the engine says of any container of the bottle.

    Files that no one changed `since` the needles came into being cannot hold them: the images are older.
    """
    containers = engine.containers.list(all=True, filters={"label": f"bottlegen.bottle={bottle}"})
    agent = next(item for item in containers if item.labels["bottlegen.service"] == "agent")
    done = agent.exec_run(search(needles, since))
    output = done.output
    assert isinstance(output, bytes)
    assert done.exit_code == 0, output
    found = [f"agent: {line}" for line in output.decode().splitlines()]
    for container in containers:
        found += [f"{container.name}: {place}" for place in _said_by_engine(engine, container, needles)]
    return found


def _said_by_engine(engine: docker.DockerClient, container: Any, needles: Sequence[bytes]) -> Iterator[str]:
    container.reload()
    said = {
        "inspect": json.dumps(container.attrs).encode(),
        "logs": container.logs(),
        "image": json.dumps(container.image.attrs).encode(),
        "history": json.dumps(container.image.history()).encode(),
        "changes": json.dumps(container.diff()).encode(),
        "top": json.dumps(container.top(ps_args="axeww -o pid,args")).encode(),
    }
    for place, data in said.items():
        if any(needle in data for needle in needles):
            yield place


def found_on_host(
    engine: docker.DockerClient | None, places: Iterable[Path], needles: Sequence[bytes], since: float
) -> list[str]:
    """Files of the given folders, and of the engine's data directory, as far as they changed `since`."""
    found = [f"state: {path}" for place in places for path in _grep(place, needles, since)]
    if engine is None:
        return found
    root = Path(engine.info()["DockerRootDir"])
    return found + [f"engine: {path}" for path in _grep(root, needles, since)]


def _grep(folder: Path, needles: Sequence[bytes], since: float) -> list[str]:
    """The changed files below `folder` that hold a needle. Patterns go by stdin, so that they stand in no argv; many
    files to a process, since an engine that copies layers (vfs) has thousands of changed ones."""
    changed = ["find", str(folder), "-xdev", "-type", "f", "-newerct", f"@{since}", "-size", "-64M", "-print0"]
    names = [name for name in subprocess.run(changed, capture_output=True, check=False).stdout.split(b"\0") if name]
    found = []
    for begin in range(0, len(names), _AT_ONCE):
        grep = [b"grep", b"-lZaF", b"-f", b"-", b"--", *names[begin : begin + _AT_ONCE]]
        done = subprocess.run(grep, input=b"\n".join(needles), capture_output=True, check=False)
        found += [name.decode(errors="replace") for name in done.stdout.split(b"\0") if name]
    return found
