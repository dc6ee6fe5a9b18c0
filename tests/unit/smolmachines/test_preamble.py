"""What a microVM's monitor says before a connection's bytes: only its token, its version and its doors are heard."""

import struct

import pytest

from bottlegen import plan
from runtime.bubblewrap.inside import preamble

TOKEN = bytes(range(32))
DOORS = {3128, 443}


def said(*, magic=b"SMOLICPT", version=1, token=TOKEN, family=4, port=3128, address=b"\xc6\x33\x64\x01") -> bytes:
    return b"".join((magic, bytes([version]), token, bytes([family]), struct.pack("!H", port), address))


def judged(data: bytes) -> int:
    head, rest = data[: preamble.HEAD.size], data[preamble.HEAD.size :]
    length, port = preamble.head(head, TOKEN)
    assert length == len(rest)
    return preamble.verdict(preamble.destination(port, rest), DOORS)


def test_the_head_is_as_long_as_the_protocol_says():
    assert preamble.HEAD.size == 44


@pytest.mark.parametrize("port", sorted(DOORS))
def test_a_door_is_opened(port):
    assert judged(said(port=port)) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"token": bytes(32)},
        {"token": TOKEN[:-1] + b"\0"},
        {"magic": b"SMOLMEG2"},
        {"version": 2},
        {"version": 0},
        {"family": 5},
        {"family": 0},
    ],
)
def test_another_token_version_or_family_is_not_heard(change):
    with pytest.raises(preamble.NotAllowed):
        judged(said(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"port": 80},
        {"port": 0},
        {"address": bytes([127, 0, 0, 1])},
        {"address": bytes([100, 96, 0, 1])},
        {"address": bytes([169, 254, 169, 254])},
        {"address": bytes([198, 51, 100, 2])},
        {"family": 6, "address": bytes(10) + b"\xff\xff\xc6\x33\x64\x01"},
        {"family": 6, "address": bytes(15) + b"\1"},
    ],
)
def test_every_other_destination_is_refused(change):
    assert judged(said(**change)) == 13


def test_the_address_is_the_bundles():
    assert preamble.EGRESS_ADDRESS == plan.EGRESS_ADDRESS


def test_a_destination_is_named_as_in_a_url():
    assert preamble.destination(443, bytes(15) + b"\1").host == "[::1]"
    assert preamble.destination(443, b"\xc6\x33\x64\x01").host == preamble.EGRESS_ADDRESS
