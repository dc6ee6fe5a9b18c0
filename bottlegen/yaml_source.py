"""YAML text to data with lines, from the parser's events: the 1.2 core scalars and nothing that YAML adds to JSON.

No tags, anchors, aliases, merge keys or directives, one document, keys that are text: what is left means the same in
TOML. Events come one by one, so nesting never reaches the C stack and a bomb is refused where it starts.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from bottlegen.toml_source import Broken
from bottlegen.wording import Keys, shown

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_OTHER_BASE = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_LONGEST_NUMBER = 64
_PLAIN_ONLY = "write the value out: a profile holds tables, lists and plain values"


@dataclass(slots=True)
class _Frame:
    """A table or list under construction; in a table `key` is the one that waits for its value."""

    value: dict[str, Any] | list[Any]
    keys: Keys
    key: str | None = None


@dataclass(slots=True)
class _Builder:
    max_depth: int
    max_nodes: int
    frames: list[_Frame] = field(default_factory=list)
    lines: dict[Keys, int] = field(default_factory=dict)
    flaws: list[tuple[int | None, str, str]] = field(default_factory=list)
    root: Any = None
    documents: int = 0
    nodes: int = 0

    def event(self, event: Event) -> None:
        """Take in one event of the parser; Broken when nothing sensible can follow."""
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, DocumentStartEvent):
            self._document(event, line)
        elif isinstance(event, ScalarEvent):
            self._decorations(event, event.tag, line)
            self._scalar(event, line)
        elif isinstance(event, AliasEvent):
            self._flaw(line, f"YAML: alias {shown(f'*{event.anchor}')}", _PLAIN_ONLY)
            self._place("", line)
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            self._decorations(event, event.tag, line)
            self._open({} if isinstance(event, MappingStartEvent) else [], line)
        elif isinstance(event, CollectionEndEvent):
            self.frames.pop()

    def _document(self, event: DocumentStartEvent, line: int) -> None:
        self.documents += 1
        if self.documents > 1:
            raise Broken([*self.flaws, (line, "YAML: a second document", "one document to a file: remove the '---'")])
        if event.version or event.tags:
            self._flaw(line, "YAML: a directive ('%…')", "remove the line")

    def _decorations(self, event: NodeEvent, tag: str | None, line: int) -> None:
        if event.anchor is not None:
            self._flaw(line, f"YAML: anchor {shown(f'&{event.anchor}')}", _PLAIN_ONLY)
        if tag is not None:
            self._flaw(line, f"YAML: tag {shown(tag)}", _PLAIN_ONLY)

    def _scalar(self, event: ScalarEvent, line: int) -> None:
        plain = not event.style
        value = self._resolved(event.value, line) if plain else event.value
        if self._expects_key():
            self._key(event.value, value, line, plain=plain)
        else:
            self._place(value, line)

    def _resolved(self, text: str, line: int) -> object:
        """The value of a plain scalar by the core schema (YAML 1.2.2, 10.3.2)."""
        if text in _NULL:
            return None
        if text in _BOOLEAN:
            return _BOOLEAN[text]
        if text[0] not in "+-.0123456789":
            return text
        if len(text) > _LONGEST_NUMBER:
            if _INTEGER.match(text) or _OTHER_BASE.match(text) or _FLOAT.match(text):
                self._flaw(line, "YAML: a number is out of range", "write a smaller number, or put text in quotes")
            return text
        if _INTEGER.match(text):
            return int(text)
        if _OTHER_BASE.match(text):
            return int(text, 0)
        if _FLOAT.match(text):
            return float(text)
        return float(text.replace(".", "", 1)) if _SPECIAL_FLOAT.match(text) else text

    def _expects_key(self) -> bool:
        return bool(self.frames) and isinstance(self.frames[-1].value, dict) and self.frames[-1].key is None

    def _key(self, text: str, value: object, line: int, *, plain: bool) -> None:
        frame = self.frames[-1]
        if plain and text == "<<":
            self._flaw(line, "YAML: merge key '<<'", _PLAIN_ONLY)
        elif not isinstance(value, str):
            self._flaw(line, f"YAML: key {shown(text)} is not text", f'put it in quotes: "{text[:40]}"')
        elif text in frame.value:
            first = self.lines[*frame.keys, text]
            self._flaw(line, f"YAML: key {shown(text)} is given twice (first in line {first})", "remove one of the two")
        frame.key = text
        self.lines.setdefault((*frame.keys, text), line)

    def _open(self, value: dict[str, Any] | list[Any], line: int) -> None:
        if self._expects_key():
            raise Broken([*self.flaws, (line, "YAML: a key is a table or list", "a key is plain text")])
        if len(self.frames) >= self.max_depth:
            what = f"tables or lists are nested deeper than {self.max_depth}"
            raise Broken([*self.flaws, (line, what, "a profile needs four levels")])
        keys = self._place(value, line)
        self.frames.append(_Frame(value, keys))

    def _place(self, value: object, line: int) -> Keys:
        self.nodes += 1
        if self.nodes > self.max_nodes:
            what = f"more than {self.max_nodes} values"
            raise Broken([*self.flaws, (line, what, "keep a profile to settings; split it with extends")])
        if not self.frames:
            self.root = value
            return ()
        frame = self.frames[-1]
        if isinstance(frame.value, list):
            frame.value.append(value)
            keys: Keys = (*frame.keys, len(frame.value) - 1)
        elif frame.key is None:  # an alias where a key belongs: already a flaw
            frame.key = ""
            return frame.keys
        else:
            frame.value[frame.key] = value
            keys = (*frame.keys, frame.key)
            frame.key = None
        self.lines.setdefault(keys, line)
        return keys

    def _flaw(self, line: int, what: str, fix: str) -> None:
        if (line, what, fix) not in self.flaws:
            self.flaws.append((line, what, fix))
        if len(self.flaws) >= 50:
            raise Broken(self.flaws)


def parse(text: str, *, max_depth: int, max_nodes: int) -> tuple[dict[str, Any], dict[Keys, int]]:
    """The data of a YAML document and the line of each of its keys; Broken when it is none."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    builder = _Builder(max_depth, max_nodes)
    try:
        while loader.check_event():
            builder.event(loader.get_event())
    except yaml.YAMLError as e:
        raise Broken([*builder.flaws, _reworded(e)]) from None
    finally:
        loader.dispose()
    if builder.flaws:
        raise Broken(builder.flaws)
    if builder.root is None:
        return {}, builder.lines
    if not isinstance(builder.root, dict):
        raise Broken([(1, "YAML: the document is not a table", "write it as name: value")])
    return builder.root, builder.lines


def _reworded(error: yaml.YAMLError) -> tuple[int | None, str, str]:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "the text is not YAML"
    return (mark.line + 1 if mark else None), f"YAML: {problem[:80]}", "check indentation, quotes and brackets"
