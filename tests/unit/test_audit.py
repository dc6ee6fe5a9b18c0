"""Audit lines as people see them: the agent's words stay words."""

import pytest

from runtime.audit.lines import lines, summary, together


def test_a_name_cannot_move_the_cursor_or_start_a_line() -> None:
    raw = b'{"ts": "now", "decision": "deny", "sni": "a\\u001b[2Jb\\nnow  allow   200  GET forged\\u202e"}\n'
    (line,) = lines([raw])
    assert summary(line) == "now  deny      -  -       a\\u001b[2Jb\\u000anow  allow   200  GET forged\\u202e"
    assert line.text.encode() == raw.strip()


@pytest.mark.parametrize("event", ["begin", "gap", "closed", "end"])
def test_neither_can_what_stands_in_the_writers_lines(event: str) -> None:
    (line,) = lines([f'{{"ts":"now","event":"{event}","service":"a\\u001b[2J","session":"b\\nc"}}\n'.encode()])
    assert summary(line).startswith("now  a\\u001b[2J: ")
    assert "\n" not in summary(line)


def test_bytes_that_are_no_text_do_not_hide_a_request() -> None:
    (line,) = lines([b'{"path": "/\xff', b'\xfe"}\nnot json\n'])
    assert line.fields["path"] == "/\ufffd\ufffd"


def test_lines_of_several_sidecars_are_in_the_order_of_time() -> None:
    streams = [[b'{"ts": "1", "n": 1}\n{"ts": "3", "n": 3}\n'], [b'{"ts": "2", "n": 2}\n']]
    assert [line.fields["n"] for line in together(streams, follow=False)] == [1, 2, 3]
    assert {line.fields["n"] for line in together(streams, follow=True)} == {1, 2, 3}
    assert [line.fields["n"] for line in together(streams[:1], follow=True)] == [1, 3]
