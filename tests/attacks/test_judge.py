"""The judge that says what arrived wrongly: each wrong is seen, and what the profile allows is none."""

import pytest

from tests.attacks import attempts
from tests.attacks.defences import BROKEN
from tests.attacks.upstream import MARK, TOKEN_A, TOKEN_B, judge

BEARER = f"authorization: Bearer {TOKEN_A}"
RIGHT = {
    "open.test": ("GET /x HTTP/1.1", "host: open.test"),
    "token.test": ("POST /x HTTP/1.1", "host: token.test", BEARER, "transfer-encoding: chunked"),
    "key.test": ("GET /x HTTP/1.1", "host: key.test", f"x-api-key: {TOKEN_B}"),
    "api.test": ("GET /open/x?../../y HTTP/1.1", "host: api.test", BEARER, "content-length: 0"),
    "exact.wild.test": ("DELETE /only HTTP/1.1", "host: exact.wild.test"),
    "public.names.test": ("GET / HTTP/1.1", "host: public.names.test:8443"),
}
INTERNET = "198.51.100.1"


def _judged(name: str, *lines: str, at: str = INTERNET) -> tuple[str, ...]:
    return judge("\r\n".join(lines).encode("latin-1"), name, at, INTERNET)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_allowed_is_not_wrong(name: str) -> None:
    assert _judged(name, *RIGHT[name]) == ()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("open.test", ("GET /x HTTP/1.1", "host: token.test")),
        ("open.test", ("GET /x HTTP/1.1",)),
        ("open.test", ("GET /x HTTP/1.1", "host: open.test", "host: token.test")),
        ("elsewhere.test", ("GET /x HTTP/1.1", "host: elsewhere.test")),
        ("open.test", ("GET /x HTTP/1.1", "host: open.test", "content-length: 1", "transfer-encoding: chunked")),
        ("open.test", ("GET /x HTTP/1.1", "host: open.test", "content-length: +1")),
        ("open.test", ("GET /x HTTP/1.1", "host: open.test", "transfer-encoding: xchunked")),
        ("open.test", ("GET /x HTTP/1.1", "host: open.test", "content-length: 1", "transfer_encoding: chunked")),
        ("open.test", ("GET /x HTTP/1.1", "host: open.test", "x : y")),
        ("open.test", ("GET /x HTTP/1.1", "host: open.test", "x: a\rhost: token.test")),
        ("open.test", ("GET /x y HTTP/1.1", "host: open.test")),
        ("open.test", ("GET /x HTTP/1.1", "host: open.test", "upgrade: h2c")),
        ("open.test", ("GET /x HTTP/1.1", "host: open.test", BEARER)),
        ("open.test", (f"GET /{TOKEN_B} HTTP/1.1", "host: open.test")),
        ("token.test", ("GET /x HTTP/1.1", "host: token.test")),
        ("token.test", ("GET /x HTTP/1.1", "host: token.test", BEARER, "authorization: Bearer mine")),
        ("token.test", ("TRACE /x HTTP/1.1", "host: token.test", BEARER)),
        ("key.test", ("GET /x HTTP/1.1", "host: key.test", f"x-api-key: {TOKEN_B}", "x_api_key: mine")),
        ("api.test", ("POST /open/x HTTP/1.1", "host: api.test", BEARER)),
        ("api.test", ("GET /open/x HTTP/1.1", "host: api.test", BEARER, "x-original-url: /secret")),
        ("api.test", ("GET /open/x HTTP/1.1", "host: api.test", BEARER, "x_http_method_override: DELETE")),
        *(
            ("api.test", (f"GET {path} HTTP/1.1", "host: api.test", BEARER))
            for path in (
                "/secret", "/OPEN/x", "/open/../secret", "/open/..%2fsecret", "/open/%252e%252e/secret",
                "/open/..;/secret", "/open/..\\secret", "//secret", "https://api.test/secret",
            )
        ),
    ],
)  # fmt: skip
def test_what_is_not_is_seen(name: str, lines: tuple[str, ...]) -> None:
    assert _judged(name, *lines) != ()


def test_where_it_arrived_counts() -> None:
    assert _judged("public.names.test", *RIGHT["public.names.test"], at="127.0.0.1") != ()


def test_each_attempt_has_a_name_of_its_own_that_its_mark_shows() -> None:
    steps = {step.name: step for each in attempts.attempts() for step in (each.step, each.control)}
    assert len({each.name for each in attempts.attempts()}) == len(attempts.attempts()) >= 80
    assert {name: MARK.findall(step.mark.encode()) for name, step in steps.items()} == {
        name: [name.encode()] for name in steps
    }


def test_what_is_found_without_a_defence_is_tried_there_with_it() -> None:
    assert [(each.name, name) for each in BROKEN for name in each.found
            if each.kind not in attempts.named(name).runtimes] == []  # fmt: skip
