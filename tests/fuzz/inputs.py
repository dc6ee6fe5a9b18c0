"""Bytes that break readers: any at all, pieces of a grammar in no order, sound ones cut and spliced, and sound trees in
which one place holds something else."""

import copy
import json
import tomllib
from functools import cache
from typing import Any

import tomli_w
from hypothesis import strategies as st

from tests.fuzz.readers import READERS, Reader

_SHARED = ("\n", " ", "\t", "\r\n", "\r", '"', "'", "\\", "\\u0000", "\\ud800", "\ufeff", "\0", "\x1b[2J", "\u202e",
           "é", "0", "-1", "1e999", "9" * 400, "9" * 5000, "true", "null", "~", "x" * 300, "..", "/",
           "CVE-", "%2e", "://")  # fmt: skip
_PIECES = {
    "toml": ("[", "]", "[[", "]]", "{", "}", "=", ".", ",", "#", '"""', "'''", "a", "b c", "0x", "1e9", "2026-01-01",
             "inf"),
    "yaml": (":", "- ", "? ", "&a", "*a", "!!x ", "<<", "#", "---\n", "...\n", "%YAML 1.2\n", "  ", "|\n", ">", "[",
             "]", "{", "}", "\u2028", "\x85", "\ud7ff"),
    "json": ("{", "}", "[", "]", ":", ",", '"a"', "NaN", "-Infinity", "[" * 3000, '{"a":' * 3000),
    "text": ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "=", "v1.2.3", "+", "-rc.1", "\x1f\x8b\x08"),
}  # fmt: skip
_JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.lists(st.text(max_size=3), max_size=3), st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    st.sampled_from(["", "*", "..", "%2e%2e", "\0", "\ud800", "\u202e", "::1", "0x7f.1", "a.b:1", "http://", "//", "@",
                     "~nobody-of-this-name/x", "/dev/null", "x" * 5000, "eyJhbGciOiJI.eyJz.x", 10**400, -1, [[]],
                     {"": {}},
                     "a:000001" + "9" * 5000]),
)  # fmt: skip


def inputs(reader: Reader) -> st.SearchStrategy[bytes]:
    """For one reader; most of them are close to what it accepts, as those reach furthest."""
    pieces = _SHARED + _PIECES[reader.form]
    loose = st.lists(st.sampled_from(pieces), max_size=40).map(_joined)
    ways = [st.binary(max_size=300), loose, _spliced(reader.seeds, pieces)]
    return st.one_of(*ways, *([_other_tree(reader)] * 2 if reader.form != "text" else []))


def _joined(pieces: list[str]) -> bytes:
    return "".join(pieces).encode(errors="surrogatepass")


@st.composite
def _spliced(draw: st.DrawFn, seeds: tuple[bytes, ...], pieces: tuple[str, ...]) -> bytes:
    raw = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        drop = draw(st.sampled_from([0, 0, 1, 2, 10, 100, len(raw)]))
        put = draw(st.one_of(st.sampled_from(pieces).map(lambda text: _joined([text])), st.binary(max_size=8)))
        raw = raw[:at] + put * draw(st.sampled_from([1, 1, 2, 100])) + raw[at + drop :]
    return raw


@cache
def _trees(reader: str) -> tuple[tuple[Any, tuple[tuple[Any, ...], ...]], ...]:
    found = [_tree(seed, READERS[reader].form) for seed in READERS[reader].seeds]
    return tuple((tree, tuple(_places(tree))[1:]) for tree in found)


def _tree(seed: bytes, form: str) -> Any:
    if form == "toml":
        return tomllib.loads(seed.decode())
    if form == "yaml":
        import yaml

        return yaml.safe_load(seed)
    last = seed.strip().splitlines()[-1] if seed.strip().endswith(b"}") and b"\n{" in seed else seed
    return json.loads(last)


def _places(value: object, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(inner for key, item in pairs for inner in _places(item, (*place, key)))]


@st.composite
def _changed(draw: st.DrawFn, trees: tuple[tuple[Any, tuple[tuple[Any, ...], ...]], ...]) -> Any:
    tree, places = draw(st.sampled_from(trees))
    document = copy.deepcopy(tree)
    place = draw(st.sampled_from(places))
    table = document
    for step in place[:-1]:
        table = table[step]
    how = draw(st.sampled_from(["junk", "junk", "rename", "drop", "twice"]))
    if how == "rename" and isinstance(table, dict):
        table[draw(st.text(max_size=10))] = table.pop(place[-1])
    elif how == "drop":
        del table[place[-1]]
    elif how == "twice" and isinstance(table, list):
        table.append(table[place[-1]])
    else:
        table[place[-1]] = draw(_JUNK)
    return document


def _other_tree(reader: Reader) -> st.SearchStrategy[bytes]:
    name = next(name for name, one in READERS.items() if one is reader)
    return _changed(_trees(name)).map(lambda tree: _written(tree, reader.form))


def _written(tree: Any, form: str) -> bytes:
    """As its form; what that cannot say, such as null in TOML, is left as JSON, which is wrong in another way."""
    if form == "toml":
        try:
            return tomli_w.dumps(tree).encode(errors="surrogatepass")
        except (TypeError, ValueError, AttributeError):
            pass
    try:
        return json.dumps(tree, ensure_ascii=len(str(tree)) % 2 == 0).encode(errors="surrogatepass")
    except ValueError:  # an integer with more digits than Python prints
        return b"{}"
