"""Towards the internet: verified names only, public addresses only."""

import pytest

from tests.dataplane.client import curl
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


def test_http2_upstream(sidecar: Sidecar) -> None:
    seen = curl(sidecar, "https://h2.test/x?q=1").json()
    assert (seen["version"], seen["path"]) == ("2", "/x?q=1")
    pseudo = dict(header for header in seen["headers"] if header[0].startswith(":"))
    assert (pseudo[":authority"], pseudo[":scheme"]) == ("h2.test", "https")


def test_static_address_opens_nothing_by_itself(sidecar: Sidecar) -> None:
    """unknown.test has a static address in the world, and no route."""
    assert curl(sidecar, "https://unknown.test/").status == 403
