"""Certificates while a bottle runs, at the real Envoy: what ends is closed and said, what is renewed verifies."""

import datetime
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bottlegen.plan import Route
from bottlegen.routes import compile_routes
from runtime.ca import Lives
from tests.dataplane.client import Tunnel, curl, get
from tests.dataplane.conftest import World, envoy, own_sidecar, trusted, world  # noqa: F401 - fixtures
from tests.dataplane.sidecar import Sidecar
from tests.faults.tally import Tally, tally  # noqa: F401 - a fixture

pytestmark = pytest.mark.envoy

_SECONDS = 3
_SHORT = Lives(leaf=datetime.timedelta(seconds=_SECONDS), terms=40)
"""Terms as long as a test can wait for: each begins two seconds after the one before."""


@pytest.fixture
def short(own_sidecar: Callable[..., Sidecar], world: World) -> Sidecar:  # noqa: F811
    names = ("open.test", "inject.test")
    return own_sidecar(
        compile_routes([Route(host=name) for name in names]),
        upstream_ca=world.trusted.certificate,
        static_hosts=dict.fromkeys(names, world.upstream.address),
        lives=_SHORT,
    )


def _serial(sidecar: Sidecar) -> str:
    """Of the certificate that a new connection is shown, which verifies in the agent's trust store."""
    with Tunnel(sidecar, "open.test") as tunnel:
        certificate = tunnel.tls.getpeercert()
        assert certificate
        return str(certificate["serialNumber"])


def _until(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def _shown_soon(sidecar: Sidecar, serial: str) -> bool:
    try:
        return _serial(sidecar) != serial
    except ssl.SSLCertVerificationError:
        return False


def test_past_its_end_all_is_closed_and_the_next_term_opens_it_again(short: Sidecar, tally: Tally) -> None:  # noqa: F811
    """The clock goes on as it does; the CA that the agent trusts stays the same file throughout."""
    trusted_before = short.ca.read_bytes()
    first = _serial(short)
    with Tunnel(short, "open.test") as stream:
        assert stream.request(get("/", "open.test")).status == 200
        _until(lambda: "expired" in curl(short, "https://open.test/").text, _SECONDS + 5)
        ended = curl(short, "https://inject.test/")
        assert (ended.status, "certificate has expired" in ended.text) == (200, True)  # 200 is CONNECT's, no request's
        short.use_term(30)
        _until(lambda: _shown_soon(short, first))
        assert curl(short, "https://inject.test/").status == 200
        assert stream.request(get("/", "open.test")).status == 200, "a connection from before the renewal was cut"
    assert short.ca.read_bytes() == trusted_before
    tally.ran("clocks past the certificates' end")


def test_a_renewal_costs_no_request(short: Sidecar) -> None:
    """Terms changed under load: none of the requests, each on a connection of its own, is refused."""
    answers = []
    for term in (20, 21, 22):
        short.use_term(term)
        answers += [curl(short, "https://open.test/").status for _ in range(5)]
    assert answers == [200] * 15


def test_a_leaf_costs_two_watches_however_many_hosts_it_serves(
    own_sidecar: Callable[..., Sidecar],  # noqa: F811
    world: World,  # noqa: F811
) -> None:
    def watches(count: int) -> int:
        hosts = [Route(host=f"h{number:02}.test") for number in range(count)]
        sidecar = own_sidecar(compile_routes(hosts), upstream_ca=world.trusted.certificate)
        folder = Path(f"/proc/{sidecar.process.pid}/fd")
        return sum("inotify" in str(path.readlink()) for path in folder.iterdir() if path.is_symlink())

    none, one, fifty, more = (watches(count) for count in (0, 1, 50, 51))
    assert (one - none, fifty - none, more - none) == (2, 2, 4)
