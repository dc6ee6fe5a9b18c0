"""What bottlegen counts on in pipelock: the real one and the stand-in of the tests are held to every line alike."""

import base64
import gzip
import json
import socket
import subprocess
import time
from pathlib import Path

import pytest

from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime.findings import findings, line
from tests.dataplane.client import write_file
from tests.inspection.conftest import CANARY, GITHUB, JWT, Hop, HopMaker

AWS = "AKIA" + "Q3EXAMPLE7EXAMP9"
FORMS = {
    "raw": CANARY,
    "base64": base64.b64encode(CANARY.encode()).decode(),
    "hex": CANARY.encode().hex(),
    "jwt": JWT,
    "github": GITHUB,
    "aws": AWS,
    "own pattern": "ACME-424242",
}
PLACES = {
    "body": ("/", "-d", "note={}"),
    "json": ("/", "-H", "content-type: application/json", "-d", '{{"note": ["{}"]}}'),
    "header": ("/", "-H", "x-note: {}"),
    "cookie": ("/", "-H", "cookie: a={}"),
    "query": ("/?note={}",),
    "path": ("/notes/{}/x",),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMS)
def test_what_must_not_leave_is_refused_wherever_it_stands(hop: Hop, place: str, form: str) -> None:
    path, *arguments = (part.format(FORMS[form]) for part in PLACES[place])
    reason = hop.refuses("open.test", path, *arguments)
    assert reason.startswith("blocked: ")
    assert FORMS[form] not in reason


@pytest.mark.parametrize("place", PLACES)
def test_the_same_request_without_it_passes(hop: Hop, place: str) -> None:
    path, *arguments = (part.format("nothing to hide") for part in PLACES[place])
    assert hop.ask("open.test", path.replace(" ", "-"), *arguments).status == 200


def test_a_pattern_of_the_profile_takes_the_place_of_none_of_its_own(make_hop: HopMaker) -> None:
    hop = make_hop(patterns=(("JWT Token", "zzz+"), ("AWS Access ID", "zzz+"), ("Twice", "aaa+"), ("Twice", "bbb+")))
    for value in (JWT[:-1] + "x", AWS, "zzzz", "aaaa", "bbbb"):
        hop.refuses("open.test", "/", "-d", f"x={value}")


def test_the_headers_of_an_injection_are_not_read_and_others_are(hop: Hop) -> None:
    assert hop.ask("open.test", "/", "-H", f"authorization: Bearer {JWT}").status == 200
    assert hop.ask("open.test", "/", "-H", f"x-api-key: {CANARY}").status == 200
    assert "header" in hop.refuses("open.test", "/", "-H", f"x-other-key: {CANARY}")


def test_a_header_for_the_proxy_is_read_and_goes_no_further(hop: Hop) -> None:
    """Where egress repeats what the agent wrote into a header of an injection."""
    inside = ("--proxy-header", "x: y", "-H", "proxy-authorization: {}")
    assert "header" in hop.refuses("open.test", "/", *inside[:3], inside[3].format(JWT))
    answer = hop.ask("open.test", "/", *inside[:3], inside[3].format("Bearer innocent"))
    assert answer.status == 200
    assert answer.header("proxy-authorization") == []


def test_who_signs_tells_inspected_from_passed(hop: Hop) -> None:
    upstream = hop.pipelock.folder / "upstream-ca.pem"
    assert hop.ask("open.test", "/").status == 200
    assert "certificate problem" in hop.ask("open.test", "/", trust=upstream).text
    assert hop.ask("passed.test", "/", trust=upstream).json()["path"] == "/"
    assert "certificate problem" in hop.ask("passed.test", "/").text


def test_what_is_passed_is_not_read(hop: Hop) -> None:
    upstream = hop.pipelock.folder / "upstream-ca.pem"
    assert hop.ask("passed.test", "/", "-d", CANARY, trust=upstream).json()["received"] == len(CANARY)


def test_only_hosts_of_routes_are_reached(hop: Hop, make_hop: HopMaker) -> None:
    assert hop.ask("a.wild.test", "/").status == 200
    assert hop.refuses("other.test", "/") is not None
    assert make_hop(mode="balanced").ask("other.test", "/").status == 200


def test_private_addresses_that_nobody_vouched_for_are_refused(hop: Hop) -> None:
    assert hop.refuses("private.test", "/") is not None


def test_an_upstream_of_another_authority_is_not_spoken_to(hop: Hop) -> None:
    before = len(hop.upstream.seen)
    assert hop.ask("foreign.test", "/").status in (502, 503)
    assert len(hop.upstream.seen) == before


def test_what_cannot_be_read_is_refused(hop: Hop, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(b"nothing to hide " * 100))
    assert "compressed" in hop.refuses("open.test", "/", "-H", "content-encoding: gzip", "--data-binary", f"@{packed}")


def test_sizes_are_those_of_the_profile(make_hop: HopMaker, tmp_path: Path) -> None:
    hop = make_hop(
        max_body=1 << 16, max_response=1 << 17
    )  # less than a profile may say: the real one needs seconds a MiB
    fits, large = write_file(tmp_path / "fits", (1 << 16) - 1000), write_file(tmp_path / "large", (1 << 16) + 1000)
    upload = ("-H", "content-type: application/octet-stream", "--data-binary")
    assert hop.ask("open.test", "/", *upload, f"@{fits}").status == 200
    assert hop.refuses("open.test", "/", *upload, f"@{large}") is not None
    assert hop.ask("open.test", f"/big?{1 << 16}").status == 200
    assert hop.ask("open.test", f"/big?{1 << 18}").status == 403


def test_a_warning_passes_and_is_written_down_without_what_was_found(make_hop: HopMaker) -> None:
    for hop in (make_hop(mode="audit"), make_hop(action="warn")):
        assert hop.ask("open.test", "/", "-H", f"x-note: {CANARY}").status == 200
        assert hop.ask("open.test", "/", "-d", f"note={CANARY}").status == 200
        assert hop.pipelock.events(event="anomaly") or hop.pipelock.events(event="body_dlp")
        assert CANARY not in (hop.pipelock.folder / "log").read_text()


def test_too_many_tunnels_in_a_minute(make_hop: HopMaker) -> None:
    hop = make_hop(requests_per_minute=8)
    found = [hop.ask("open.test", "/").status for _ in range(8)]
    assert found[0] == 200
    assert found[-1] == 429
    assert hop.ask("a.wild.test", "/").status == 200


def test_only_tunnels_and_only_to_the_host_they_are_for(hop: Hop) -> None:
    assert hop.ask("open.test", "/", "-H", "host: passed.test").status == 403
    with socket.create_connection(("127.0.0.1", hop.pipelock.port), 5) as sock:
        sock.sendall(b"GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n")
        assert b" 403 " in sock.recv(4096).partition(b"\r\n")[0]


def test_refusals_are_told_in_memory_and_nothing_of_requests_in_the_output(hop: Hop) -> None:
    """The real one quotes a whole URL for some of its patterns, and what the sidecar prints is kept on disk."""
    hop.ask("open.test", "/seen-in-the-log")
    for value in FORMS.values():
        hop.refuses("open.test", f"/{value}")
        hop.refuses("open.test", "/", "-d", f"x={value}")
    assert "body" in hop.pipelock.events(event="blocked", method="POST")[-1]["reason"]
    said = (hop.pipelock.folder / "log").read_text()
    assert not [value for value in (*FORMS.values(), "seen-in-the-log") if value in said]


def test_values_to_look_for_are_read_again_with_a_replaced_config(make_hop: HopMaker) -> None:
    hop, new = make_hop(), "value-of-tomorrow-8c1d3e"
    assert hop.ask("open.test", "/", "-d", f"x={new}").status == 200
    for name in ("secrets.txt", "pipelock.json"):
        path = hop.pipelock.folder / name
        data = path.read_bytes() if name == "pipelock.json" else f"{new}\n".encode()
        write_file(path.with_suffix(".new"), 0).write_bytes(data)
        path.with_suffix(".new").chmod(0o600)
        path.with_suffix(".new").replace(path)
    end = time.monotonic() + 10
    while hop.ask("open.test", "/", "-d", f"x={new}").status == 200:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert hop.ask("open.test", "/", "-d", "x=nothing").status == 200


def test_its_events_can_be_told_without_what_was_found(make_hop: HopMaker, tmp_path: Path) -> None:
    hop = make_hop(patterns=(("Acme", "ACME-[0-9]{6}"),))
    (tmp_path / "p.toml").write_text(
        '[agent_provider]\ntemplate = "shell"\n[pipelock]\n[[egress.routes]]\nhost = "open.test"\n'
        '[[egress.routes]]\nhost = "*.wild.test"\n'
    )
    bundle = build(load_profile(str(tmp_path / "p.toml")), load_pins())
    for value in FORMS.values():
        hop.refuses("open.test", f"/?x={value}")
        hop.refuses("open.test", "/", "-d", f"x={value}")
    hop.refuses("open.test", "/", "-H", f"x-note: {CANARY}")
    hop.refuses("a.wild.test", "/", "-d", "ACME-424242")
    hop.refuses("other.test", "/")
    found = list(findings((hop.pipelock.folder / "events").read_bytes(), bundle))
    told = [(each.decision, each.method, each.host, each.scanner) for each in found]
    assert len(found) == 2 * len(FORMS) + 3
    assert told[-3:] == [
        ("deny", "GET", "open.test", "header_dlp"),
        ("deny", "POST", "*.wild.test", "body_dlp"),
        ("deny", "CONNECT", "another host", "allowlist"),
    ]
    assert found[-2].rules == ("Acme (profile)",)
    assert all(each.ts.endswith("Z") for each in found)
    said = "\n".join(map(line, found))
    assert not [value for value in (*FORMS.values(), "a.wild", "other.test") if value in said]


DIFF = """diff --git a/notes b/notes
--- /dev/null
+++ b/notes
@@ -0,0 +1,2 @@
+nothing here
+key = "{}"{}
"""


def _scanned(program: str, diff: str) -> tuple[int, list[dict[str, object]], str]:
    done = subprocess.run(
        [program, "git", "scan-diff", "--json", "--verbose"], input=diff, capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def test_what_it_says_of_a_diff(program: str) -> None:
    """As the git gate reads it: a place and a name, and what a comment in the diff has it pass over."""
    status, found, _ = _scanned(program, DIFF.format(GITHUB, ""))
    assert status == 1
    assert {(finding["file"], finding["line"], finding["pattern"]) for finding in found} == {
        ("notes", 2, "GitHub Token")
    }
    assert _scanned(program, DIFF.format("innocent", ""))[:2] == (0, [])
    assert _scanned(program, "")[:2] == (0, [])
    status, found, said = _scanned(program, DIFF.format(GITHUB, "  # pipelock:ignore"))
    assert (status, found) == (0, [])
    assert "SUPPRESSED: notes:2  GitHub Token (inline)" in said
