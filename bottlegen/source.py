"""Bytes of a TOML or YAML file to plain data that knows its lines: bounded in time and memory, ProfileError otherwise.

The limits are far above any real profile and far below what hurts; lines are worked out only when a message needs one.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from bottlegen import toml_source
from bottlegen.errors import Problem, ProfileError, Where
from bottlegen.wording import UNSEEN, Keys, Refusal, code_point, dotted

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 50_000

_FORMATS = {".toml": "toml", ".yaml": "yaml", ".yml": "yaml"}
# Tab and line ends belong to the text of a file, though to no value in it.
_RAW_UNSEEN = re.compile(r"(?![\t\n\r])" + UNSEEN.pattern)
_INTEGER = 2**63


@dataclass(frozen=True)
class Flaw:
    """A value that no document may hold, wherever it stands."""

    keys: Keys
    what: str
    fix: str


@dataclass(frozen=True)
class Source:
    """One parsed file: `data` as written, `flaws` in its values. Treat `data` as read-only."""

    name: str
    text: str
    data: Mapping[str, object]
    flaws: tuple[Flaw, ...]
    yaml_lines: Mapping[Keys, int] | None

    @cached_property
    def lines(self) -> Mapping[Keys, int]:
        return self.yaml_lines if self.yaml_lines is not None else toml_source.lines(self.text)

    def line(self, keys: Keys) -> int | None:
        """The line of `keys`, or of the nearest table around it that is written down."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys)

    def where(self, keys: Keys) -> Where:
        return Where(file=self.name, line=self.line(keys), field=dotted(keys))

    def holds(self, keys: Keys) -> bool:
        """Whether this file itself writes `keys`."""
        value: object = self.data
        for key in keys:
            inside = key in value if isinstance(value, dict) else isinstance(value, list) and key in range(len(value))
            if not inside:
                return False
            value = value[key]  # type: ignore[index]
        return True


def read_file(name: str) -> bytes:
    """At most one byte more of a regular file than a profile may have."""
    path = Path(name)
    if path.exists() and not path.is_file():
        raise OSError(None, "not a regular file")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def parse(name: str, raw: bytes) -> Source:
    """Parse the bytes of file `name` by its ending; ProfileError when they are no sound document."""
    suffix = name[name.rfind(".") :] if "." in name else ""
    if suffix not in _FORMATS:
        raise _error(name, None, "a profile is a .toml, .yaml or .yml file", f"rename it, for example to '{name}.toml'")
    return _parse(name, raw, _FORMATS[suffix])


def parse_toml(name: str, raw: bytes) -> Source:
    """Parse TOML whatever the file is called; ProfileError when it is no sound document."""
    return _parse(name, raw, "toml")


def _parse(name: str, raw: bytes, form: str) -> Source:
    text = _decode(name, raw)
    try:
        if form == "toml":
            data, yaml_lines = toml_source.parse(text), None
        else:
            from bottlegen import yaml_source  # only who has a YAML profile pays for the import of a parser

            data, yaml_lines = yaml_source.parse(text, max_depth=MAX_DEPTH, max_nodes=MAX_NODES)
        flaws = tuple(_flaws(data))
    except toml_source.Broken as e:
        raise ProfileError(_problem(name, line, what, fix) for line, what, fix in e.flaws) from e
    except Refusal as e:
        raise _error(name, None, e.what, e.fix) from e
    return Source(name=name, text=text, data=data, flaws=flaws, yaml_lines=yaml_lines)


def _problem(name: str, line: int | None, what: str, fix: str) -> Problem:
    return Problem(what=what, where=Where(file=name, line=line), fix=fix)


def _error(name: str, line: int | None, what: str, fix: str) -> ProfileError:
    return ProfileError(_problem(name, line, what, fix))


def _decode(name: str, raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        raise _error(
            name,
            None,
            f"file is larger than {MAX_BYTES // 1024} KiB",
            "keep a profile to settings; split it with extends",
        )
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise _error(name, 1, "file begins with a byte order mark", "save it as UTF-8 without BOM")
    if b"\0" in raw:
        line = raw.count(b"\n", 0, raw.index(b"\0")) + 1
        raise _error(name, line, "file is binary: it holds a NUL byte", "save it as UTF-8 text")
    try:
        text = raw.decode()
    except UnicodeDecodeError as e:
        line = raw.count(b"\n", 0, e.start) + 1
        raise _error(name, line, f"file is not UTF-8: byte 0x{raw[e.start]:02x}", "save it as UTF-8 text") from e
    if match := _RAW_UNSEEN.search(text):
        line = text.count("\n", 0, match.start()) + 1
        raise _error(
            name,
            line,
            f"control character {code_point(match[0])}",
            "delete the character: what is reviewed must be what is read",
        )
    return text


def _flaws(data: Mapping[str, object]) -> Iterator[Flaw]:
    """Walk all values without recursion; Refusal when there are too many or too deep ones."""
    todo: list[tuple[Keys, object]] = [((), data)]
    nodes = 1
    while todo:
        keys, value = todo.pop()
        if len(keys) >= MAX_DEPTH:
            raise Refusal(f"tables or lists are nested deeper than {MAX_DEPTH}", "a profile needs four levels")
        named = isinstance(value, dict)
        children = _children(value)
        nodes += len(children)
        if nodes > MAX_NODES:
            raise Refusal(f"more than {MAX_NODES} values", "keep a profile to settings; split it with extends")
        for key, child in children:
            if named and (flaw := _flaw(key, "key")):
                yield Flaw((*keys, key), *flaw)
            if isinstance(child, dict | list):
                todo.append(((*keys, key), child))
            elif flaw := _flaw(child, "value"):
                yield Flaw((*keys, key), *flaw)


def _children(value: object) -> Collection[tuple[str | int, object]]:
    return value.items() if isinstance(value, dict) else [*enumerate(value)] if isinstance(value, list) else ()


@lru_cache(maxsize=20_000)
def _hidden(text: str) -> str:
    """The first character that nobody would see, or nothing; the same keys come again and again."""
    match = UNSEEN.search(text)
    return match[0] if match else ""


def _flaw(value: object, noun: str) -> tuple[str, str] | None:
    """What is wrong with a key or a value that holds no others, and the fix."""
    if isinstance(value, str):
        hidden = _hidden(value)
        return (f"control character {code_point(hidden)} in a {noun}", "delete the character") if hidden else None
    if value is None:
        return "a value is missing (null)", "give it a value, or remove the key"
    if isinstance(value, int) and not -_INTEGER <= value < _INTEGER:
        return "number is out of range (64 bit)", "write a smaller number"
    return None
