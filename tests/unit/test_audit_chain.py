"""A chain of audit lines: every way of changing it is found, and one that nobody touched passes."""

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlegen.audit_chain import GENESIS, LONGEST, Head, check, digest, known, link
from bottlegen.audit_summary import OTHERS, summarise

Lines = list[bytes]


def _chain(count: int) -> tuple[Lines, Head]:
    head, lines = Head(0, GENESIS), []
    for number in range(count):
        head, line = link(head, {"ts": f"t{number}", "path": f"/{number}"})
        lines.append(line)
    return lines, head


def _kinds(lines: Lines, head: Head | None) -> list[str]:
    return [finding.kind for finding in check([("f", lines)], head).findings]


def test_an_untouched_chain_is_whole() -> None:
    lines, head = _chain(6)
    checked = check([("one", lines[:4]), ("two", lines[4:])], head)
    assert (checked.lines, checked.head, checked.findings) == (6, head, ())
    assert json.loads(lines[3])["prev"] == digest(lines[2])


_TAMPERINGS: dict[str, tuple[Callable[[Lines], Lines], list[str]]] = {
    "removed": (lambda lines: lines[:2] + lines[3:], ["removed"]),
    "first removed": (lambda lines: lines[1:], ["removed"]),
    "last removed": (lambda lines: lines[:-1], ["truncated"]),
    "several cut off": (lambda lines: lines[:2], ["truncated"]),
    "everything removed": (lambda _: [], ["truncated"]),
    "the end of the last line": (lambda lines: [*lines[:-1], lines[-1][:-5]], ["truncated"]),
    "its newline alone": (lambda lines: [*lines[:-1], lines[-1][:-1]], ["truncated"]),
    "altered": (lambda lines: [*lines[:2], lines[2].replace(b"/2", b"/9"), *lines[3:]], ["altered"]),
    "last altered": (lambda lines: [*lines[:-1], lines[-1].replace(b"/5", b"/9")], ["altered"]),
    "a blank in between": (lambda lines: [*lines[:2], lines[2].replace(b",", b", ", 1), *lines[3:]], ["altered"]),
    "reordered": (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], ["removed", "reordered"]),
    "repeated": (lambda lines: [*lines[:3], *lines[2:]], ["reordered"]),
    "put in": (lambda lines: [*lines[:3], link(Head(2, "0" * 64), {"path": "/"})[1], *lines[3:]], ["reordered"]),
    "put in unnumbered": (lambda lines: [*lines[:3], b'{"path":"/"}\n', *lines[3:]], ["altered"]),
    "no JSON": (lambda lines: [*lines[:2], b"\xff\n", *lines[3:]], ["altered", "removed"]),
    "of another chain": (lambda lines: [*lines[:2], link(Head(2, "1" * 64), {})[1], *lines[3:]], ["altered"] * 2),
}


@pytest.mark.parametrize("name", _TAMPERINGS)
def test_what_was_done_to_it_is_found(name: str) -> None:
    tamper, kinds = _TAMPERINGS[name]
    lines, head = _chain(6)
    assert _kinds(tamper(lines), head) == kinds


@given(st.data())
def test_no_change_of_a_byte_passes(data: st.DataObject) -> None:
    lines, head = _chain(4)
    whole = bytearray(b"".join(lines))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    assert _kinds(re.findall(rb"[^\n]*\n|[^\n]+", bytes(whole)), head)


def test_a_file_that_is_gone_or_in_another_place_is_found() -> None:
    lines, head = _chain(6)
    parts = [("1", lines[:2]), ("2", lines[2:4]), ("3", lines[4:])]
    assert [finding.what for finding in check([parts[0], parts[2]], head).findings] == [
        "lines 3 to 4 are missing before line 5"
    ]
    assert check([parts[0], parts[2], parts[1]], head).findings
    assert check(parts, head).findings == ()


def test_a_chain_written_anew_is_told_by_a_head_kept_elsewhere_alone() -> None:
    lines, head = _chain(6)
    forged, forged_head = _chain(5)
    assert check([("f", forged)], forged_head).findings == ()  # what chaining does not protect from
    assert check([("f", forged)], head).findings
    assert _kinds(lines, None) == ["headless"]


def test_lines_after_the_head_are_a_writer_that_was_killed() -> None:
    lines, _ = _chain(6)
    _, before = _chain(4)
    assert _kinds(lines, before) == []
    assert _kinds([*lines, b'{"seq":7,"pr'], before) == []


def test_only_what_is_known_is_copied() -> None:
    raw = json.dumps({"decision": "deny", "path": "/a\u001b\n", "authorization": "Bearer x", "refs": ["a", {"b": 1}]})
    assert known(raw.encode()) == {"decision": "deny", "path": "/a\u001b\n", "refs": ["a"]}
    assert known(b'{"decision": null, "host": {"a": 1}, "status": 403}') == {
        "decision": None, "host": None, "status": 403
    }  # fmt: skip
    for other in (b"", b"not json", b"[1]", b'{"status": 1}', b"{" * 20000, b'{"decision":"' + b"x" * 5 * LONGEST):
        assert known(other) is None


def test_hostile_bytes_stay_in_their_line() -> None:
    said = known(b'{"decision": "deny", "path": "/\xff\xe2\x80\xae\\u2028\\ud800\\n"}')
    assert said
    head, line = link(Head(0, GENESIS), said)
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert check([("f", [line])], head).findings == ()


def test_a_long_value_is_cut() -> None:
    said = known(json.dumps({"decision": "deny", "path": "x" * 9000}).encode())
    assert said
    assert len(said["path"]) == 4096


def test_the_summary_counts_by_host_credential_and_denial() -> None:
    lines: list[dict[str, object]] = [
        {"event": "begin"},
        {"event": "connect", "decision": "allow", "host": "a.test:443", "bytes_in": 9},
        {"event": "request", "decision": "allow", "host": "a.test", "slot": "T", "bytes_in": 1, "bytes_out": 2},
        {"event": "request", "decision": "allow", "host": "a.test", "slot": "T", "bytes_in": 1, "bytes_out": 2},
        {"event": "request", "decision": "deny", "host": "b.test", "method": "GET", "path": "/x"},
        {"event": "request", "decision": None, "host": "b.test", "method": "GET", "path": "/y"},
        {"event": "handshake", "decision": "deny", "sni": "c.test"},
        {"event": "gap", "lost": 3},
        {"event": "gap", "lost": 4},
    ]
    summary = summarise(lines)
    assert (summary.requests, summary.denied, summary.lost) == (5, 3, 7)
    assert [(row.name, row.requests, row.denied) for row in summary.hosts] == [
        ("a.test", 2, 0), ("b.test", 2, 2), ("c.test", 1, 1)
    ]  # fmt: skip
    (credential,) = summary.credentials
    assert (credential.name, credential.requests, credential.sent, credential.received) == ("T", 2, 2, 4)
    assert {(denial.host, denial.path, denial.count) for denial in summary.denials} == {
        ("b.test", "/x", 1), ("b.test", "/y", 1), ("c.test", "", 1)
    }  # fmt: skip


def test_a_summary_of_invented_names_stays_small() -> None:
    summary = summarise({"decision": "deny", "host": f"{number}.test", "path": "/"} for number in range(5000))
    assert summary.requests == summary.denied == 5000
    assert len(summary.hosts) <= 2001
    assert len(summary.denials) <= 2001
    assert OTHERS in {row.name for row in summary.hosts}
