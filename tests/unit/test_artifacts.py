"""Downloads are the pinned bytes or an error, whatever a registry does; registries here are in memory."""

import base64
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from requests.adapters import BaseAdapter

from bottlegen.errors import RuntimeFailure
from bottlegen.manifest import ArtifactSpec
from runtime import artifacts, https
from runtime.artifacts import ArtifactStore

DATA = b"the pinned archive" * 1000


def _sri(data: bytes, algorithm: str = "sha512") -> str:
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def _spec(source: str = "npm", package: str = "@scope/tool", integrity: str = "") -> ArtifactSpec:
    return ArtifactSpec.model_validate(
        {
            "platform": "linux/amd64",
            "source": source,
            "package": package,
            "version": "1.0",
            "filename": "tool-1.0.tgz",
            "integrity": integrity or _sri(DATA),
            "members": {"package/tool": "agent/bin/tool"},
        }
    )


class Step:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.advanced: list[tuple[int, int]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, done: int, total: int) -> None:
        self.advanced.append((done, total))


Answer = Callable[[requests.PreparedRequest], tuple[int, dict[str, str], bytes]]


class _Body(io.BytesIO):
    """Ends early when the server promised more than it has, as a cut connection does."""


class Registry(BaseAdapter):
    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer
        self.requests: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *args: object, **kwargs: object) -> requests.Response:
        self.requests.append(request)
        response = requests.Response()
        response.status_code, headers, body = self._answer(request)
        response.headers.update(headers)
        response.url = str(request.url)
        response.raw = _Body(body)
        return response

    def close(self) -> None: ...


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], Registry]:
    def with_answer(answer: Answer) -> Registry:
        registry = Registry(answer)

        def session(env: object, ca_file: object) -> requests.Session:
            made = requests.Session()
            made.mount("https://", registry)
            return made

        monkeypatch.setattr(artifacts, "session", session)
        return registry

    return with_answer


@pytest.mark.parametrize("filename", ["../../x.tgz", "/etc/passwd", ".x", "a/b.tgz", ""])
def test_a_name_that_leads_elsewhere_is_no_artifact(filename: str) -> None:
    fields = _spec().model_dump()
    assert ArtifactSpec.model_validate(fields).filename == "tool-1.0.tgz"
    with pytest.raises(ValueError, match="filename"):
        ArtifactSpec.model_validate(fields | {"filename": filename})


Serve = Callable[[Answer], Registry]


def _all(request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Length": str(len(DATA))}, DATA


def test_npm_url_and_cache(serve: Serve, tmp_path: Path) -> None:
    registry = serve(_all)
    store = ArtifactStore(tmp_path, {})
    path = store.fetch(_spec(), Step())
    assert path.read_bytes() == DATA
    assert path.parent.name == hashlib.sha512(DATA).hexdigest()
    assert [str(request.url) for request in registry.requests] == [
        "https://registry.npmjs.org/@scope/tool/-/tool-1.0.tgz"
    ]
    assert store.fetch(_spec(), Step()) == path
    assert len(registry.requests) == 1  # the second time nothing was asked for


def test_another_registry(serve: Serve, tmp_path: Path) -> None:
    registry = serve(_all)
    ArtifactStore(tmp_path, {"npm_config_registry": "https://npm.example.org/mirror/"}).fetch(_spec(), Step())
    assert registry.requests[0].url == "https://npm.example.org/mirror/@scope/tool/-/tool-1.0.tgz"


def test_progress_ends_at_the_whole(serve: Serve, tmp_path: Path) -> None:
    serve(_all)
    step = Step()
    ArtifactStore(tmp_path, {}).fetch(_spec(), step)
    assert step.advanced[-1] == (len(DATA), len(DATA))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_other_bytes_than_pinned_leave_nothing(serve: Serve, tmp_path: Path, algorithm: str) -> None:
    serve(lambda request: (200, {}, DATA[:-1] + b"X"))
    spec = _spec(integrity=_sri(DATA, algorithm))
    with pytest.raises(RuntimeFailure, match=r"'tool-1\.0\.tgz' is not the pinned file") as caught:
        ArtifactStore(tmp_path, {}).fetch(spec, Step())
    assert spec.integrity in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_changed_file_in_the_cache_is_not_used(serve: Serve, tmp_path: Path) -> None:
    registry = serve(_all)
    store = ArtifactStore(tmp_path, {})
    path = store.fetch(_spec(), Step())
    path.write_bytes(DATA[:-1] + b"X")
    assert store.fetch(_spec(), Step()).read_bytes() == DATA
    assert len(registry.requests) == 2


def test_an_interrupted_download_goes_on_where_it_stopped(serve: Serve, tmp_path: Path) -> None:
    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        begin = int(request.headers.get("Range", "bytes=0-")[6:-1])
        rest = DATA[begin:]
        return 206 if begin else 200, {"Content-Length": str(len(rest))}, rest[:7000]

    registry = serve(answer)
    assert ArtifactStore(tmp_path, {}).fetch(_spec(), Step()).read_bytes() == DATA
    assert [request.headers.get("Range") for request in registry.requests] == [None, "bytes=7000-", "bytes=14000-"]


def test_a_server_that_knows_no_ranges_starts_over(serve: Serve, tmp_path: Path) -> None:
    registry = serve(_all)
    store = ArtifactStore(tmp_path, {})
    partial = store.path(_spec()).with_name("tool-1.0.tgz.partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(DATA[:50])
    assert store.fetch(_spec(), Step()).read_bytes() == DATA
    assert registry.requests[0].headers["Range"] == "bytes=50-"


def test_a_whole_partial_is_not_fetched_again(serve: Serve, tmp_path: Path) -> None:
    serve(lambda request: (416, {}, b""))
    store = ArtifactStore(tmp_path, {})
    partial = store.path(_spec()).with_name("tool-1.0.tgz.partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(DATA)
    assert store.fetch(_spec(), Step()).read_bytes() == DATA


def test_a_cut_that_never_ends_is_an_error(serve: Serve, tmp_path: Path) -> None:
    serve(lambda request: (200, {"Content-Length": "10"}, b""))
    with pytest.raises(RuntimeFailure, match=r"cannot download 'tool-1\.0\.tgz': the connection ended early"):
        ArtifactStore(tmp_path, {}).fetch(_spec(), Step())


def test_a_missing_file_names_status_and_address(serve: Serve, tmp_path: Path) -> None:
    serve(lambda request: (404, {}, b""))
    with pytest.raises(
        RuntimeFailure, match=r"HTTP 404 from https://registry\.npmjs\.org/@scope/tool/-/tool-1\.0\.tgz"
    ) as e:
        ArtifactStore(tmp_path, {}).fetch(_spec(), Step())
    assert "npm_config_registry" in e.value.problems[0].fix


def _index(files: list[dict[str, str]]) -> Answer:
    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        if str(request.url).endswith("/tool/"):
            assert request.headers["Accept"] == "application/vnd.pypi.simple.v1+json"
            return 200, {}, json.dumps({"files": files}).encode()
        return _all(request)

    return answer


def test_pypi_finds_the_file_by_name(serve: Serve, tmp_path: Path) -> None:
    files = [
        {"filename": "other", "url": "https://x/other"},
        {"filename": "tool-1.0.tgz", "url": "../../p/tool-1.0.tgz#h"},
    ]
    registry = serve(_index(files))
    store = ArtifactStore(tmp_path, {"PIP_INDEX_URL": "https://pypi.example.org/simple/"})
    assert store.fetch(_spec("pypi", "tool"), Step()).read_bytes() == DATA
    assert [str(request.url).split("#")[0] for request in registry.requests] == [
        "https://pypi.example.org/simple/tool/",
        "https://pypi.example.org/p/tool-1.0.tgz",
    ]


def test_pypi_without_the_file(serve: Serve, tmp_path: Path) -> None:
    serve(_index([]))
    with pytest.raises(RuntimeFailure, match=r"has no file 'tool-1\.0\.tgz' of 'tool'"):
        ArtifactStore(tmp_path, {}).fetch(_spec("pypi", "tool"), Step())


def test_an_index_without_json_says_so(serve: Serve, tmp_path: Path) -> None:
    serve(lambda request: (200, {}, b"<html>"))
    with pytest.raises(RuntimeFailure, match=r"does not speak the JSON form of the simple API"):
        ArtifactStore(tmp_path, {}).fetch(_spec("pypi", "tool"), Step())


def test_proxies_come_from_the_given_env_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://wrong:1")
    session = https.session({"HTTPS_PROXY": "http://right:2", "no_proxy": "localhost"}, None)
    settings = session.merge_environment_settings("https://x.test/", {}, None, None, None)
    assert settings["proxies"]["https"] == "http://right:2"
    session.close()


def test_an_unreadable_ca_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(gzip.compress(b"no certificate"))
    with pytest.raises(RuntimeFailure, match=f"cannot read certificates from '{tmp_path / 'ca.pem'}'"):
        https.session({"SSL_CERT_FILE": str(tmp_path / "ca.pem")}, None)


class _Steps:
    """Progress that keeps the titles of its steps."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.made = Step()

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        self.titles.append(title)
        yield self.made


def _wheel(number: int, data: bytes) -> ArtifactSpec:
    return _spec("pypi", f"p{number}", _sri(data, "sha256")).model_copy(
        update={"filename": f"p{number}-1-py3-none-any.whl", "layout": "wheel"}
    )


def _pages(request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
    """A page for each package, and its one file, which holds its name."""
    package = str(request.url).rstrip("/").rpartition("/")[2].partition("-")[0]
    if str(request.url).endswith(".whl"):
        return 200, {"Content-Length": str(len(package))}, package.encode()
    page = {"files": [{"filename": f"{package}-1-py3-none-any.whl", "url": f"https://x/{package}-1-py3-none-any.whl"}]}
    return 200, {}, json.dumps(page).encode()


def test_wheels_come_several_at_a_time_and_as_one_step(serve: Callable[[Answer], Registry], tmp_path: Path) -> None:
    serve(_pages)
    specs = [_wheel(number, f"p{number}".encode()) for number in range(20)]
    steps = _Steps()
    found = ArtifactStore(tmp_path, {}).fetch_all(specs, steps)
    assert steps.titles == ["download 20 Python packages"]
    assert steps.made.advanced == [(done, 20) for done in range(1, 21)]
    assert {path.read_bytes() for path in found.values()} == {f"p{number}".encode() for number in range(20)}


def test_one_wheel_with_other_bytes_ends_it(serve: Callable[[Answer], Registry], tmp_path: Path) -> None:
    serve(_pages)
    specs = [_wheel(number, b"other" if number == 7 else f"p{number}".encode()) for number in range(20)]
    with pytest.raises(RuntimeFailure, match=r"'p7-1-py3-none-any\.whl' is not the pinned file"):
        ArtifactStore(tmp_path, {}).fetch_all(specs, _Steps())


def _module(*files: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return made.getvalue()


H1 = "h1:xa1xwkNAbUwNNtozP5sH/WXh+PcRhl+RGyOpTTqYa7s="
"""What `go mod verify`'s own dirhash.HashZip says of an archive with these two files."""

FILES = (("m.example/a@v1.0.0/go.mod", b"module m.example/a\n"), ("m.example/a@v1.0.0/B.go", b"package a\n"))


@pytest.mark.parametrize("files", [FILES, FILES[::-1]], ids=["in one order", "in another"])
def test_a_module_s_archive_is_held_to_go_s_hash(
    serve: Callable[[Answer], Registry], tmp_path: Path, files: tuple[tuple[str, bytes], ...]
) -> None:
    registry = serve(lambda _: (200, {}, _module(*files)))
    spec = _spec("gomod", "m.example/A", H1).model_copy(update={"filename": "v1.0.0"})
    path = ArtifactStore(tmp_path, {"GOPROXY": "off,https://go.example/"}).fetch(spec, Step())
    assert registry.requests[0].url == "https://go.example/m.example/!a/@v/v1.0.0.zip"
    assert zipfile.is_zipfile(path)


@pytest.mark.parametrize(
    "data",
    [
        _module(*FILES[:1]),
        _module(FILES[0], ("m.example/a@v1.0.0/B.go", b"package b\n")),
        _module(*FILES, ("m.example/a@v1.0.0/C.go", b"")),
        b"no archive",
    ],
)
def test_another_module_is_refused(serve: Callable[[Answer], Registry], tmp_path: Path, data: bytes) -> None:
    serve(lambda _: (200, {}, data))
    spec = _spec("gomod", "m.example/a", H1).model_copy(update={"filename": "v1.0.0"})
    with pytest.raises(RuntimeFailure, match=r"'v1\.0\.0' is not the pinned file"):
        ArtifactStore(tmp_path, {}).fetch(spec, Step())
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name.startswith("v1")] == []
