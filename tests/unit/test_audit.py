"""Audit lines as people see them: the agent's words stay words."""

from runtime.audit import lines, summary


def test_a_name_cannot_move_the_cursor_or_start_a_line() -> None:
    raw = b'{"ts": "now", "decision": "deny", "sni": "a\\u001b[2Jb\\nnow  allow   200  GET forged\\u202e"}\n'
    (line,) = lines([raw])
    assert summary(line) == "now  deny      -  -       a\\u001b[2Jb\\u000anow  allow   200  GET forged\\u202e"
    assert line.text.encode() == raw.strip()


def test_bytes_that_are_no_text_do_not_hide_a_request() -> None:
    (line,) = lines([b'{"path": "/\xff', b'\xfe"}\nnot json\n'])
    assert line.fields["path"] == "/\ufffd\ufffd"
