"""The real uv, against an index on this host: the newest set for each platform, by hash, and nothing is built."""

import hashlib
import io
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bottlegen.errors import LockError
from bottlegen.lock import LockedVersion
from bottlegen.wheel_set import WheelSet
from runtime.wheel_sets import resolved

WHEELS = WheelSet(name="a", package="prog", python="3.12", target="lib", sources=(("only-source", "only_source"),))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


class Index:
    """A simple index (PEP 503) in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""

    def add(self, filename: str, *requires: str) -> None:
        """A wheel, or a source archive that nobody could build."""
        name, version = filename.removesuffix(".tar.gz").split("-")[:2]
        page = self.folder / "simple" / name.replace("_", "-")
        page.mkdir(parents=True, exist_ok=True)
        data = _wheel(name, version, requires) if filename.endswith(".whl") else b"no archive"
        (page / filename).write_bytes(data)
        with (page / "index.html").open("a") as html:
            html.write(f'<a href="{filename}#sha256={hashlib.sha256(data).hexdigest()}">{filename}</a><br>\n')


def _wheel(name: str, version: str, requires: tuple[str, ...]) -> bytes:
    made = io.BytesIO()
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(f"{name}.py", "")
        told = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        archive.writestr(f"{name}-{version}.dist-info/METADATA", told)
        archive.writestr(f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{name}-{version}.dist-info/RECORD", "")
    return made.getvalue()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    made = Index(tmp_path / "index")
    made.add("prog-1.0-py3-none-any.whl")
    needs = ("native", "only-source; sys_platform == 'linux'", "gone; python_version < '3.12'")
    made.add("prog-2.0-py3-none-any.whl", *needs)
    for machine in ("x86_64", "aarch64"):
        made.add(f"native-1-cp312-cp312-manylinux_2_17_{machine}.whl")
        made.add(f"native-1-cp312-cp312-manylinux_2_34_{machine}.whl")
    made.add("native-1-py3-none-any.whl")
    made.add("only_source-3.tar.gz")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(made.folder))) as server:
        made.url = f"http://127.0.0.1:{server.server_port}/simple"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


@pytest.fixture
def resolve(index: Index, tmp_path: Path) -> Callable[[str], LockedVersion]:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_INDEX_URL": index.url}
    return lambda version: resolved(WHEELS, version, env, None)


def test_the_newest_with_what_it_imports_on_each_platform(resolve: Callable[[str], LockedVersion]) -> None:
    found = resolve("")
    assert (found.name, found.version) == ("a", "2.0")
    assert {(file.platform, file.name) for file in found.wheels} == {
        ("any", "prog-2.0-py3-none-any.whl"),
        ("linux/amd64", "native-1-cp312-cp312-manylinux_2_17_x86_64.whl"),
        ("linux/arm64", "native-1-cp312-cp312-manylinux_2_17_aarch64.whl"),
        ("any", "only_source-3.tar.gz"),
    }


def test_the_version_that_is_asked_for(resolve: Callable[[str], LockedVersion]) -> None:
    assert [file.name for file in resolve("1.0").wheels] == ["prog-1.0-py3-none-any.whl"]
    with pytest.raises(LockError, match=r"cannot resolve version 9\.9 of 'prog': uv says:\n  \| .*"):
        resolve("9.9")


def test_what_would_have_to_be_built_is_refused(index: Index, resolve: Callable[[str], LockedVersion]) -> None:
    index.add("prog-3.0-py3-none-any.whl", "unbuilt")
    index.add("unbuilt-1.tar.gz")
    with pytest.raises(LockError, match=r"cannot resolve version 3\.0 of 'prog'"):
        resolve("3.0")


def test_without_uv_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(LockError, match="resolved by uv, which is not on PATH\n  fix: install uv"):
        resolved(WHEELS, "", {"PATH": str(tmp_path)}, None)
