"""TOML text to data by tomli, and separately the line of every key: the second only for messages."""

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import tomli

from bottlegen.wording import Keys, shown

MAX_KEY_PARTS = 16
# The parser's time grows with the square of the parts of a dotted key, so those are looked for before it starts: this
# walks over tokens, never twice over one, and stops where a key is too long.
_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_NO_LONG_KEY = re.compile(
    rf"(?:(?!(?:{_PART}[ \t]*+\.[ \t]*+){{{MAX_KEY_PARTS}}})"
    r'(?:"""(?:[^"\\]++|\\.|"(?!""))*+(?:"{3,5}+)?'
    r"|'''(?:[^']++|'(?!''))*+(?:'{3,5}+)?"
    r'|"(?:[^"\\\n]++|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+"
    r"|[A-Za-z0-9_-]++"
    r"""|[^A-Za-z0-9_"'#-]++"""
    r"))*+",
    re.DOTALL,
)
_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)\Z")
_BARE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TWICE = "remove one of the two, or merge them"
_WORDING = (
    ("Cannot overwrite a value", "a key is given twice", _TWICE),
    ("Cannot declare", "a table is declared twice", _TWICE),
    ("Duplicate inline table key", "a key is given twice", _TWICE),
    ("Cannot redefine namespace", "a key is given twice", _TWICE),
    ("Cannot mutate immutable namespace", "a key is added to a closed table", "write all its keys in one place"),
    ("Invalid value", "not a TOML value", "put text in double quotes"),
    ("Invalid initial character for a key part", "not a TOML key", "write it as name = value"),
    ("Expected '=' after a key", "a key has no '='", "write it as name = value"),
    ("Unclosed inline table", "an inline table is not closed on its line", "close it with '}', or write it as [table]"),
    ("Unclosed array", "a list has no closing ']'", "close the list"),
    ("Unterminated string", "a text has no closing quote", "close the quotes"),
    ("Expected newline or end of document", "text after a value", "one key to a line; put text in double quotes"),
)  # fmt: skip


class Broken(Exception):
    """Text that is no document: each flaw a line (or None), what is wrong, and a fix."""

    def __init__(self, flaws: Iterable[tuple[int | None, str, str]]) -> None:
        self.flaws = tuple(flaws)
        super().__init__(self.flaws)


def parse(text: str) -> dict[str, Any]:
    """The data of a TOML document; Broken when it is none."""
    sound = _NO_LONG_KEY.match(text)
    if sound and sound.end() < len(text):
        line = text.count("\n", 0, sound.end()) + 1
        raise Broken([(line, f"a dotted name of more than {MAX_KEY_PARTS} parts", "a profile needs four levels")])
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as e:
        raise Broken([_reworded(text, str(e))]) from None
    except RecursionError:
        raise Broken([(None, "tables or lists are nested too deeply", "a profile needs four levels")]) from None
    except ValueError:
        # What the parser lets through from int() and datetime(): numbers of thousands of digits, impossible dates.
        raise Broken([(None, "a number or date is out of range", "write a smaller number")]) from None


def _reworded(text: str, message: str) -> tuple[int | None, str, str]:
    match = _AT.search(message)
    line = int(match[1]) if match and match[1] else text.rstrip("\n").count("\n") + 1
    message = message[: match.start()] if match else message
    for start, what, fix in _WORDING:
        if message.startswith(start):
            return line, f"TOML: {what.replace('a key', _key_in(text, line), 1)}", fix
    # Other messages of the parser quote at most one character of the file.
    return line, f"TOML: {message[:1].lower()}{message[1:80]}", "see https://toml.io for the format"


def _key_in(text: str, line: int) -> str:
    """The key of a line, as far as it is plain to see."""
    key, *values = text.split("\n", line)[line - 1].split("=")
    plain = len(values) == 1 and _BARE.fullmatch(key.strip())
    return f"key {shown(key.strip())}" if plain else "a key"


def lines(text: str) -> dict[Keys, int]:
    """The line of every key and list item of a document that `parse` accepts."""
    scan = _Scan(text)
    with suppress(_Lost):  # a message without a line is better than none
        scan.document()
    return scan.lines


class _Lost(Exception):
    """The scanner met text it does not know."""


_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*+")
_KEY = re.compile(_PART)
_TEXT = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*+"""(?:"{0,2})'
    r"|'''(?:[^']++|'(?!''))*+'''(?:'{0,2})"
    r'|"(?:[^"\\\n]++|\\.)*+"'
    r"|'[^'\n]*+'",
    re.DOTALL,
)
# A date may hold one space between its halves.
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^\s,\]}#]*|[^\s,\]}#]+")


class _Scan:
    """Walks sound TOML once. It checks nothing: the parser has already."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.lines: dict[Keys, int] = {}
        self.counts: dict[Keys, int] = {}

    def document(self) -> None:
        table: Keys = ()
        self._skip(_BLANK)
        while self.at < len(self.text):
            if self._take("[["):
                table = self._header(array=True)
            elif self._take("["):
                table = self._header(array=False)
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _header(self, *, array: bool) -> Keys:
        line = self.line
        *outer, last = self._key()
        table: Keys = ()
        for part in outer:
            table = self._latest((*table, part), line)
        table = (*table, last)
        if array:
            self.lines.setdefault(table, line)
            self.counts[table] = self.counts.get(table, 0) + 1
        table = self._latest(table, line)
        self._expect("]]" if array else "]")
        return table

    def _latest(self, table: Keys, line: int) -> Keys:
        """`table`, or when it is an array of tables the element begun last."""
        self.lines.setdefault(table, line)
        if table not in self.counts:
            return table
        table = (*table, self.counts[table] - 1)
        self.lines.setdefault(table, line)
        return table

    def _pair(self, table: Keys) -> None:
        for part in self._key():
            table = (*table, part)
            self.lines.setdefault(table, self.line)
        self._expect("=")
        self._skip(_SPACE)
        self._value(table)

    def _value(self, keys: Keys) -> None:
        self.lines.setdefault(keys, self.line)
        if self._take("["):
            self._items("]", keys)
        elif self._take("{"):
            self._items("}", keys)
        elif not self._match(_TEXT) and not self._match(_SCALAR):
            raise _Lost

    def _items(self, end: str, keys: Keys) -> None:
        index = 0
        self._skip(_BLANK)
        while not self._take(end):
            if end == "]":
                self._value((*keys, index))
            else:
                self._pair(keys)
            index += 1
            self._skip(_BLANK)
            self._take(",")
            self._skip(_BLANK)

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._skip(_SPACE)
            token = self._match(_KEY)
            if not token:
                raise _Lost
            parts.append(_unquoted(token))
            self._skip(_SPACE)
            if not self._take("."):
                return parts

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if not match:
            return ""
        self.line += match[0].count("\n")
        self.at = match.end()
        return match[0]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._match(pattern)

    def _take(self, token: str) -> bool:
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def _expect(self, token: str) -> None:
        self._skip(_SPACE)
        if not self._take(token):
            raise _Lost


def _unquoted(token: str) -> str:
    if token[0] not in "\"'":
        return token
    value: str = tomli.loads(f"key = {token}")["key"]
    return value
