"""What stands where a file should be: a pipe that nobody writes to, a folder, an endless device, a link to itself."""

import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bottlegen import bundle, pins
from bottlegen.errors import BottlegenError, BundleError
from bottlegen.pipeline import load_profile
from bottlegen.providers import PROVIDERS
from runtime import secrets
from runtime.host import CONFIG_VARIABLE, Host, HostConfig, SecretSource, load_host
from tests.fuzz.readers import NOW, ROOT

_SECONDS = 10


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _link_to_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 2 * 1024**3)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # an address has room for a hundred characters
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


PLACES: dict[str, Callable[[Path], None]] = {
    "pipe": _fifo,
    "link to a pipe": _link_to_fifo,
    "folder": lambda path: path.mkdir(),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to nothing": lambda path: path.symlink_to("nothing"),
    "huge": _huge,
}


def _profile(path: Path) -> object:
    return load_profile(str(path))


def _lock(path: Path) -> object:
    return pins.project(str(path))


def _host_toml(path: Path) -> object:
    return load_host({CONFIG_VARIABLE: str(path)}, path.parent)


def _trust(path: Path) -> object:
    return Host(env={"SSL_CERT_FILE": str(path)}, home=path.parent, config=HostConfig()).extra_trust()


def _token(path: Path) -> object:
    sources = {"A": SecretSource(file=str(path))}
    values, failed = secrets.effective_values(frozenset("A"), env={}, sources=sources, provisioned={})
    assert failed, values
    raise BundleError(list(failed.values()))


def _login(agent: str, env: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        provider = PROVIDERS[agent]
        host = Host(env={env: str(path.parent)}, home=path.parents[1], config=HostConfig())
        return provider.provision_host(provider.token_refs, host.view(NOW))

    return read


# The name under which each looks, below the folder of the test.
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "profile": ("a/p.toml", _profile),
    "lock": ("a/bottlegen.lock", _lock),
    "host.toml": ("a/host.toml", _host_toml),
    "trust": ("a/ca.pem", _trust),
    "token file": ("a/token", _token),
    "login of codex": (".codex/auth.json", _login("codex", "CODEX_HOME")),
    "login of gemini": (".gemini/oauth_creds.json", _login("gemini", "UNUSED")),
}


def _soon(call: Callable[[], object]) -> object:
    """What it returns or raises, within seconds: who waits for a pipe would wait for ever."""
    said: list[object] = []

    def run() -> None:
        try:
            said.append(call())
        except BaseException as e:  # noqa: BLE001 - is looked at outside
            said.append(e)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    assert said, "it hangs"
    return said[0]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_an_error_at_once(reader: str, place: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    path = tmp_path / name
    path.parent.mkdir()
    PLACES[place](path)
    said = _soon(lambda: read(path))
    if (reader, place) == ("lock", "link to nothing"):
        assert said == pins.load()  # no lock: the one that ships counts
        return
    assert isinstance(said, BottlegenError), said


@pytest.mark.parametrize("place", [*PLACES, "socket"])
@pytest.mark.parametrize("name", [bundle.MANIFEST, "routes.json", "unlisted"])
def test_a_bundle_with_such_a_file_is_refused_at_once(name: str, place: str, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(ROOT / "bundles" / "shell", folder)
    (folder / name).unlink(missing_ok=True)
    {**PLACES, "socket": _socket}[place](folder / name)
    assert isinstance(_soon(lambda: bundle.read(folder)), BundleError)


def test_deep_folders_in_a_bundle_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(ROOT / "bundles" / "shell", folder)
    assert bundle.read(folder).hash  # the control
    here = folder
    for _ in range(900):
        here = here / "d"
    here.mkdir(parents=True)
    assert isinstance(_soon(lambda: bundle.read(folder)), BundleError)


def test_a_reader_that_waits_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: what opens a pipe as if it were a file does not come back."""
    monkeypatch.setattr(f"{__name__}._SECONDS", 0.2)
    _fifo(tmp_path / "pipe")
    with pytest.raises(AssertionError, match="hangs"):
        _soon((tmp_path / "pipe").read_bytes)
    os.close(os.open(tmp_path / "pipe", os.O_WRONLY))  # lets the thread end
