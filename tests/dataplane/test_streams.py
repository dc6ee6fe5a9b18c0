"""Long and large exchanges pass as they come: websockets, event streams, bodies of any size, silence included."""

import base64
import itertools
import os
import time
from pathlib import Path

import pytest

from tests.dataplane.client import Tunnel, curl, get, write_file
from tests.dataplane.conftest import World
from tests.dataplane.sidecar import Sidecar
from tests.dataplane.upstream import SSE_EVENTS, SSE_GAP

SIZE = 64 << 20
UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Authorization: Bearer placeholder",
)


def _upgrade(host: str, path: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return get(path, host, *UPGRADE, f"Sec-WebSocket-Key: {key}")


@pytest.mark.parametrize(
    ("host", "path", "authorization"),
    [
        ("inject.test", "/ws", "Bearer canary-a-7f3d9e"),
        ("api.test", "/repos/x/issues/ws", "Bearer canary-a-7f3d9e"),
        ("h2.test", "/ws", "Bearer canary-a-7f3d9e"),  # the upstream offers h2, which would refuse the upgrade
        ("open.test", "/ws", "Bearer placeholder"),
    ],
)
def test_websocket(world: World, host: str, path: str, authorization: str) -> None:
    upstream = world.h2 if host == "h2.test" else world.upstream
    with Tunnel(world.sidecar, host) as tunnel:
        assert tunnel.request(_upgrade(host, path)).status == 101
        for word in (b"one", b"two"):
            mask = os.urandom(4)
            masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(word))
            tunnel.tls.sendall(bytes((0x81, 0x80 | len(word))) + mask + masked)
            assert tunnel.tls.recv(100) == bytes((0x81, len(word))) + word
    assert ["authorization", authorization] in upstream.seen[-1]["headers"]


@pytest.mark.parametrize(("host", "path"), [("api.test", "/secret/ws"), ("exact.wild.test", "/ws")])
def test_websocket_obeys_the_rules(sidecar: Sidecar, host: str, path: str) -> None:
    with Tunnel(sidecar, host) as tunnel:
        assert tunnel.request(_upgrade(host, path)).status == 403


def test_other_upgrades_are_refused(sidecar: Sidecar) -> None:
    with Tunnel(sidecar, "open.test") as tunnel:
        assert tunnel.request(get("/", "open.test", "Connection: Upgrade", "Upgrade: foo")).status == 403


def test_events_arrive_one_by_one(sidecar: Sidecar) -> None:
    with Tunnel(sidecar, "inject.test") as tunnel:
        tunnel.tls.sendall(get("/sse", "inject.test"))
        arrivals: list[float] = []
        received = b""
        while received.count(b"data:") < SSE_EVENTS:
            received += tunnel.tls.recv(4096)
            arrivals += [time.monotonic()] * (received.count(b"data:") - len(arrivals))
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    assert min(gaps) > SSE_GAP / 2, "a buffering proxy would deliver them together"


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_large_download(sidecar: Sidecar, tmp_path: Path, version: str) -> None:
    target = tmp_path / "got"
    assert curl(sidecar, f"https://inject.test/big?{SIZE}", version, "-o", str(target)).status == 200
    assert target.stat().st_size == SIZE


@pytest.mark.parametrize("how", [("--http1.1",), ("--http2",), ("--http1.1", "-H", "Transfer-Encoding: chunked")])
def test_large_upload(sidecar: Sidecar, tmp_path: Path, how: tuple[str, ...]) -> None:
    source = write_file(tmp_path / "body", SIZE)
    answer = curl(sidecar, "https://inject.test/up", *how, "-X", "PUT", "-T", str(source))
    assert answer.json()["received"] == SIZE


def test_upload_over_http2_upstream(sidecar: Sidecar, tmp_path: Path) -> None:
    source = write_file(tmp_path / "body", 1 << 20)
    answer = curl(sidecar, "https://h2.test/up", "-X", "PUT", "-T", str(source))
    assert answer.json()["received"] == 1 << 20
    assert answer.json()["version"] == "2"
