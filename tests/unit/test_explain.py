"""What a user types as a request, and which routes a rule is said to come from."""

import pytest

from bottlegen.errors import UsageError
from bottlegen.explain import Asked, explain, parse
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import load_profile, preview


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("https://a.test", Asked(method="GET", scheme="https", host="a.test", port=443, target="/")),
        ("https://a.test?q", Asked(method="GET", scheme="https", host="a.test", port=443, target="/?q")),
        ("POST https://A.test:8443/%2E/../x?y#z", Asked(
            method="POST", scheme="https", host="a.test", port=8443, target="/%2E/../x?y",
        )),
        ("wss://a.test/\\x", Asked(method="GET", scheme="wss", host="a.test", port=443, target="/\\x")),
    ],
)  # fmt: skip
def test_requests_stay_as_they_are_typed(text: str, asked: Asked) -> None:
    assert parse(text) == asked


@pytest.mark.parametrize(
    "text",
    ["", "GET", "GET /x", "ftp://a/", "A B https://a/", "https://u:p@a/", "https://a:b/", "https://a:0/", "https:///x"],
)
def test_what_is_no_request(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


BASE = b"""\
[agent_provider]
template = "shell"

[[egress.routes]]
host = "a.test"
methods = ["POST", "GET"]
paths = ["/x"]
"""
DEV = b"""\
extends = ["base.toml"]

[[egress.routes]]
host = "a.test"
methods = ["DELETE"]

[[egress.routes]]
host = "A.test."
methods = ["GET", "POST"]
paths = ["/x"]
auth = { token_ref = "T" }
"""


def test_every_route_that_makes_the_rule_is_named() -> None:
    profile = load_profile("dev.toml", {"dev.toml": DEV, "base.toml": BASE}.__getitem__)
    found = explain(parse("https://a.test/x"), profile, preview(profile, load_pins()))
    assert [str(line) for line in found.lines] == ["base.toml:4  egress.routes[0]", "dev.toml:7  egress.routes[1]"]
    assert found.slot
    assert (found.slot.token_ref, found.provided) == ("T", False)
