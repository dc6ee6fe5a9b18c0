"""Towards the internet: verified names only, public addresses only."""

from collections.abc import Callable
from typing import Any

import pytest

from bottlegen.plan import Route
from bottlegen.routes import compile_routes
from tests.dataplane.client import curl
from tests.dataplane.conftest import World
from tests.dataplane.sidecar import Sidecar


@pytest.mark.parametrize("host", ["foreign.test", "wrongname.test"])
def test_unverified_upstream_is_refused(sidecar: Sidecar, host: str) -> None:
    answer = curl(sidecar, f"https://{host}/")
    assert answer.status == 503
    assert answer.text.startswith(f"bottlegen: no verified connection to {host} (")
    assert answer.text.endswith('in host.toml:\n\n[upstream]\nca_file = "FILE"\n')
    line = sidecar.audit(event="request", host=host)[-1]
    assert "CERTIFICATE_VERIFY_FAILED" in line["upstream_error"]


def test_dead_upstream_is_an_error(sidecar: Sidecar) -> None:
    assert curl(sidecar, "https://down.test/").status == 503


def test_private_address_is_refused(sidecar: Sidecar) -> None:
    answer = curl(sidecar, "https://localhost/")
    assert answer.status == 503
    assert answer.text == (
        "bottlegen: localhost has no public address (dns_resolution_failure{address_denied})\n"
        "an address inside a private network is named on the host, in host.toml:\n\n"
        '[upstream]\nhosts = {"localhost" = "ADDRESS"}\n'
    )
    line = sidecar.audit(event="request", host="localhost")[-1]
    assert (line["flags"], line["details"]) == ("DF", "dns_resolution_failure{address_denied}")


def _reachable_loopback(config: dict[str, Any]) -> None:
    """Take 127.0.0.0/8 out of the refused ranges, wherever they stand."""
    found = [config]
    while found:
        node = found.pop()
        if "ranges" in node:
            node["ranges"] = [entry for entry in node["ranges"] if entry["address_prefix"] != "127.0.0.0"]
        for value in node.values():
            found += [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


@pytest.mark.parametrize("refused", [True, False])
def test_address_filter_is_what_refuses(own_sidecar: Callable[..., Sidecar], world: World, refused: bool) -> None:
    """The control: without the range the very same request arrives, at the port of the route."""
    port = world.upstream.port
    sidecar = own_sidecar(
        compile_routes([Route(host="localhost", port=port)]),
        upstream_ca=world.trusted.certificate,
        edit=(lambda config: None) if refused else _reachable_loopback,
    )
    assert curl(sidecar, f"https://localhost:{port}/").status == (503 if refused else 200)


def test_http2_upstream(sidecar: Sidecar) -> None:
    seen = curl(sidecar, "https://h2.test/x?q=1").json()
    assert (seen["version"], seen["path"]) == ("2", "/x?q=1")
    pseudo = dict(header for header in seen["headers"] if header[0].startswith(":"))
    assert (pseudo[":authority"], pseudo[":scheme"]) == ("h2.test", "https")


def test_static_address_opens_nothing_by_itself(sidecar: Sidecar) -> None:
    """unknown.test has a static address in the world, and no route."""
    assert curl(sidecar, "https://unknown.test/").status == 403
