"""What leaves and what does not: hosts, ports, methods, paths, and the words of each refusal."""

import subprocess
import sys

import pytest

from tests.dataplane.client import Tunnel, curl, exchange, get
from tests.dataplane.conftest import World
from tests.dataplane.sidecar import Sidecar


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "open.test/", 200),
        ("DELETE", "open.test/any?q=1", 200),
        ("TRACE", "inject.test/any", 403),
        ("TRACE", "open.test/any", 403),
        ("TRACE", "api.test/open/a", 403),
        ("GET", "api.test/repos/x/issues", 200),
        ("GET", "api.test/repos/x/issues/7/comments", 200),
        ("POST", "api.test/repos/x/issues", 200),
        ("POST", "api.test/repos/x/issues/7", 403),
        ("PUT", "api.test/repos/x/issues", 403),
        ("GET", "api.test/repos/x/issuesfoo", 403),
        ("GET", "api.test/repos/x/y/issues", 403),
        ("GET", "api.test/", 403),
        ("PATCH", "api.test/open/a", 200),
        ("GET", "api.test/v1/x-9", 200),
        ("GET", "api.test/v1/y-9", 403),
        ("GET", "methods.test/any", 200),
        ("POST", "methods.test/any", 403),
        ("GET", "a.wild.test/any", 200),
        ("GET", "exact.wild.test/only", 200),
        ("GET", "b.deep.wild.test/any", 200),
        ("POST", "b.deep.wild.test/any", 403),
        ("GET", "exact.wild.test/any", 403),
    ],
)
def test_rules_decide(sidecar: Sidecar, version: str, method: str, url: str, status: int) -> None:
    assert curl(sidecar, f"https://{url}", version, "-X", method).status == status


@pytest.mark.parametrize("target", ["open.test", "OPEN.test", "open.test."])
def test_name_is_compared_as_dns_does(sidecar: Sidecar, target: str) -> None:
    with Tunnel(sidecar, target, sni="open.test") as tunnel:
        assert tunnel.request(get("/", target)).status == 200


def test_refused_tunnel_names_the_lines_to_add(sidecar: Sidecar) -> None:
    answer = exchange(sidecar.proxy, b"CONNECT New.example:443 HTTP/1.0\r\n\r\n").decode()
    assert answer.startswith("HTTP/1.0 403")
    assert answer.partition("\r\n\r\n")[2] == (
        'bottlegen: the profile "dataplane" has no route to New.example:443\n'
        "to allow it, add these lines to the profile and start the bottle again:\n\n"
        '[[egress.routes]]\nhost = "New.example"\n'
    )


def test_refused_port_is_among_the_lines(sidecar: Sidecar) -> None:
    answer = exchange(sidecar.proxy, b"CONNECT open.test:8443 HTTP/1.0\r\n\r\n").decode()
    assert answer.endswith('[[egress.routes]]\nhost = "open.test"\nport = 8443\n')


@pytest.mark.parametrize("url", ["http://open.test/x", "http://plain.example:8080/x", "http://open.test:443/x"])
def test_plain_http_is_refused(sidecar: Sidecar, url: str) -> None:
    answer = curl(sidecar, url)
    host = url.split("/")[2].partition(":")[0]
    assert answer.status == 403
    assert f"use https://{host}\n" in answer.text
    assert answer.text.endswith(f'[[egress.routes]]\nhost = "{host}"\n')


def test_refused_request_names_method_and_path(sidecar: Sidecar) -> None:
    answer = curl(sidecar, "https://api.test/other/../secret?q=hidden", "-X", "POST")
    assert answer.status == 403
    assert answer.text == (
        'bottlegen: the profile "dataplane" has no route for POST /secret on api.test\n'
        "to allow it, add these lines to the profile and start the bottle again:\n\n"
        '[[egress.routes]]\nhost = "api.test"\nmethods = ["POST"]\npaths = ["/secret"]\n'
    )


def test_refused_path_is_said_to_be_ambiguous(sidecar: Sidecar) -> None:
    with Tunnel(sidecar, "api.test") as tunnel:
        answer = tunnel.request(get("/open/..%2fsecret", "api.test"))
    assert answer.status == 400
    assert answer.text.startswith("bottlegen: malformed request, or a path that servers read differently")


def test_upstream_gets_the_path_that_was_judged(sidecar: Sidecar) -> None:
    with Tunnel(sidecar, "api.test") as tunnel:
        seen = tunnel.request(get("/x/../open//a/%62?q=/../%2f", "api.test")).json()
    assert seen["path"] == "/open/a/b?q=/../%2f"


@pytest.mark.parametrize("path", ["/@scope%2fname", "/a//b/../c%5c", "/%2e%2e/x;y", "/%41?x=%2f"])
def test_path_passes_untouched_where_none_is_judged(sidecar: Sidecar, path: str) -> None:
    with Tunnel(sidecar, "open.test") as tunnel:
        assert tunnel.request(get(path, "open.test")).json()["path"] == path


def test_host_of_another_is_told_whose_connection_it_is(sidecar: Sidecar) -> None:
    answer = curl(sidecar, "https://open.test/", "-H", "Host: inject.test")
    assert answer.status == 421
    assert answer.text.startswith('bottlegen: this connection was opened for "open.test" port 443')


@pytest.mark.parametrize(
    ("sni", "host"),
    [
        ("c.wild.test", "exact.wild.test"),
        ("c.wild.test", "EXACT.wild.test:443"),
        ("c.wild.test", "x.deep.wild.test"),
        ("c.wild.test", "a.wild.test"),  # has a static address, and by that a chain of its own
        ("a.wild.test", "exact.wild.test"),
        ("a.wild.test", "c.wild.test"),
        ("c.deep.wild.test", "c.wild.test"),
    ],
)
def test_wildcard_is_no_way_around_a_stricter_entry(sidecar: Sidecar, sni: str, host: str) -> None:
    with Tunnel(sidecar, sni) as tunnel:
        assert tunnel.request(get("/any", host)).status == 421


def test_host_may_name_its_port(sidecar: Sidecar) -> None:
    assert curl(sidecar, "https://open.test/", "-H", "Host: open.test:443").status == 200


def test_other_port_goes_there(sidecar: Sidecar) -> None:
    assert curl(sidecar, "https://port.test:8443/x").status == 200


def test_python_before_3_12_connects(sidecar: Sidecar) -> None:
    with Tunnel(sidecar, "open.test", version="1.0") as tunnel:
        assert tunnel.request(get("/", "open.test")).status == 200


def test_urllib_finds_its_way(sidecar: Sidecar) -> None:
    code = "import urllib.request as u; print(u.urlopen('https://open.test/').status)"
    env = {"https_proxy": f"http://127.0.0.1:{sidecar.proxy}", "SSL_CERT_FILE": str(sidecar.ca)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "200\n", done.stderr


def test_transparent_port_leads_to_the_same_rules(sidecar: Sidecar) -> None:
    def direct(url: str) -> int:
        host = url.split("/")[2]
        where = f"{host}:443:127.0.0.1:{sidecar.transparent}"
        return curl(sidecar, url, "--noproxy", "*", "--connect-to", where).status

    assert direct("https://open.test/") == 200
    assert direct("https://api.test/secret") == 403
    assert direct("https://unknown.test/") == 0


def test_wildcard_does_not_cover_its_own_suffix(world: World) -> None:
    with Tunnel(world.sidecar, "wild.test") as tunnel:
        assert tunnel.status == 403
    with pytest.raises(OSError), Tunnel(world.sidecar, "open.test", sni="wild.test"):  # noqa: PT011
        pass
