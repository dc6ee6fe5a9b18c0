"""cred-proxy in the real Envoy: each path leads to its upstream with its credential, and to nothing else."""

import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bottlegen.plan import Token
from bottlegen.routes import compile_routes
from runtime.ca import Authority
from tests.dataplane.sidecar import Sidecar, authority
from tests.dataplane.upstream import Upstream

TOKENS = (
    Token(kind="anthropic", token_ref="A"),
    Token(kind="github", token_ref="B"),
    Token(kind="gitea", token_ref="C", url="https://git.test"),
    Token(kind="gitea", token_ref="D", url="https://forge.test/sub"),
    Token(kind="npm", token_ref="E"),
)
VALUES = {name: f"canary-{name.lower()}-7f3d9e" for name in "ABCDE"}
HOSTS = ("api.anthropic.com", "api.github.com", "github.com", "git.test", "forge.test", "registry.npmjs.org")


@pytest.fixture(scope="module")
def trusted() -> Authority:
    return authority(HOSTS)


@pytest.fixture
def proxy(own_sidecar: Callable[..., Sidecar], trusted: Authority) -> Any:
    upstream = Upstream(trusted.leaves)
    sidecar = own_sidecar(
        compile_routes([], TOKENS),
        upstream_ca=trusted.certificate,
        secrets=VALUES,
        static_hosts=dict.fromkeys(HOSTS, upstream.address),
    )
    yield sidecar
    upstream.close()


def ask(sidecar: Sidecar, path: str, method: str = "GET", host: str = "cred-proxy:3129", **headers: str) -> Any:
    """Status, and what the upstream saw, or the text of a refusal."""
    connection = http.client.HTTPConnection("127.0.0.1", sidecar.cred_proxy, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"host": host, **{key.replace("_", "-"): text for key, text in headers.items()}}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, json.loads(text) if answer.status == 200 else text


def header(seen: Any, name: str) -> list[str]:
    return [value for key, value in seen["headers"] if key == name]


def test_each_path_gets_its_upstream_and_credential(proxy: Sidecar) -> None:
    for path, host, sent, authorization in (
        ("/anthropic/v1/messages", "api.anthropic.com", "/v1/messages", f"Bearer {VALUES['A']}"),
        ("/gh-api/repos/a/b?x=1", "api.github.com", "/repos/a/b?x=1", f"Bearer {VALUES['B']}"),
        ("/gh-git/a/b.git/info/refs?service=git-upload-pack", "github.com",
         "/a/b.git/info/refs?service=git-upload-pack", f"Bearer {VALUES['B']}"),
        ("/gitea/git.test/a/b.git", "git.test", "/a/b.git", f"token {VALUES['C']}"),
        ("/gitea/forge.test/a", "forge.test", "/sub/a", f"token {VALUES['D']}"),
        ("/npm/@scope%2fname", "registry.npmjs.org", "/@scope%2fname", f"Bearer {VALUES['E']}"),
        ("/npm/", "registry.npmjs.org", "/", f"Bearer {VALUES['E']}"),
    ):  # fmt: skip
        status, seen = ask(proxy, path)
        assert status == 200, (path, seen)
        assert (header(seen, "host"), seen["path"]) == ([host], sent)
        assert header(seen, "authorization") == [authorization]


def test_the_agents_own_credentials_are_dropped(proxy: Sidecar) -> None:
    _, seen = ask(
        proxy, "/anthropic/v1/x", "POST", authorization="Bearer placeholder", x_api_key="placeholder",
        private_token="placeholder", x_forwarded_for="1.2.3.4",
    )  # fmt: skip
    assert header(seen, "authorization") == [f"Bearer {VALUES['A']}"]
    assert "placeholder" not in json.dumps(seen)
    assert header(seen, "x-forwarded-for") == []


@pytest.mark.parametrize(
    ("path", "lands_on"),
    [
        ("/npm/../gh-api/user", "api.github.com"),  # what it says: that path, with that path's own credential
        ("/npm/%2e%2e/gh-api/user", "api.github.com"),
        ("/npm/..%2fgh-api/user", "registry.npmjs.org"),
        ("/npm//gh-api/user", "registry.npmjs.org"),
        ("/gitea/git.test/../forge.test/x", "forge.test"),
    ],
)
def test_a_path_is_one_entry_alone(proxy: Sidecar, path: str, lands_on: str) -> None:
    status, seen = ask(proxy, path)
    assert (status, header(seen, "host")) == (200, [lands_on])
    wanted = {"api.github.com": "B", "registry.npmjs.org": "E", "forge.test": "D"}[lands_on]
    assert VALUES[wanted] in header(seen, "authorization")[0]
    assert not any(value in json.dumps(seen) for name, value in VALUES.items() if name != wanted)


@pytest.mark.parametrize(
    ("method", "path", "host", "status"),
    [
        ("GET", "/", "cred-proxy", 403),
        ("GET", "/anthropic", "cred-proxy", 403),
        ("GET", "/anthropicx/v1", "cred-proxy", 403),
        ("GET", "/gitea/other.test/x", "cred-proxy", 403),
        ("GET", "/anthropic/../../etc", "cred-proxy", 403),
        ("GET", "/anthropic/v1", "api.anthropic.com", 421),
        ("GET", "/anthropic/v1", "169.254.169.254", 421),
        ("GET", "http://api.github.com/gh-api/user", "cred-proxy", 421),
        ("TRACE", "/anthropic/v1", "cred-proxy", 403),
        ("CONNECT", "api.github.com:443", "api.github.com:443", 404),
    ],
)
def test_everything_else_is_refused(proxy: Sidecar, method: str, path: str, host: str, status: int) -> None:
    got, text = ask(proxy, path, method, host=host)
    assert got == status, text
    assert not any(value in str(text) for value in VALUES.values())


def test_a_revoked_token_is_401_and_a_new_one_is_used_at_once(proxy: Sidecar) -> None:
    proxy.put_secrets({**VALUES, "A": ""})
    statuses = [ask(proxy, "/anthropic/v1/x")[0] for _ in range(40)]
    assert statuses[-1] == 401, statuses
    assert ask(proxy, "/npm/x")[0] == 200


def test_audit_names_the_slot_and_never_the_value(proxy: Sidecar) -> None:
    ask(proxy, "/gh-api/user?access=hidden-query")
    lines = proxy.audit(slot="CRED_PROXY_TOKEN_1")
    assert lines[-1]["decision"] == "allow"
    assert lines[-1]["route"] == "cred-proxy/gh-api/"
    written = Path(proxy.folder, "audit").read_text()
    assert "hidden-query" not in written
    assert not any(value in written for value in VALUES.values())
