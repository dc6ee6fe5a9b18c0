"""Reading TOML and YAML: one meaning in both forms, lines that are right, and nothing that blows up."""

import json
import math
from collections.abc import Iterator, Mapping

import pytest
import tomli_w
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bottlegen import source, toml_source, yaml_source
from bottlegen.wording import Keys

KINDS = ("p.toml", "p.yaml")


def _yaml(text: str) -> Mapping[str, object]:
    return source.parse("p.yaml", text.encode()).data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("12", 12),
        ("-3", -3),
        ("+3", 3),
        ("0o17", 15),
        ("0x1F", 31),
        ("010", 10),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("=", "="),
        ("'12'", "12"),
        ('"true"', "true"),
        ("1.2.3", "1.2.3"),
        (".", "."),
        ("0x", "0x"),
        ("'~'", "~"),
    ],
)
def test_yaml_scalars_are_those_of_the_1_2_core_schema(text: str, value: object) -> None:
    read = _yaml(f"a: {text}\n")["a"]
    assert read == value
    assert type(read) is type(value)


def test_yaml_not_a_number() -> None:
    value = _yaml("a: .nan\n")["a"]
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize("text", ["~", "null", "Null", "NULL", ""])
def test_yaml_null_is_a_flaw(text: str) -> None:
    assert [flaw.keys for flaw in source.parse("p.yaml", f"a: {text}\n".encode()).flaws] == [("a",)]


TOML = '''\
# comment = 1
top = 1
"quoted.key" = """
[not.a.table]
x = 1"""
a.b.c = [
  1, # one ]
  [2, "]"],
  { x = '{', y = [ 3 ] },
]
date = 2026-01-01 10:00:00
other = {}

[table] # [x]
x = \'\'\'
'quoted\'\'\'\'
y = "\\"#"

[[list]]
x = 1
[list.sub]
y = 2
[[list.deep]]
z = 1
[[list]]
x = 3
[[list.deep]]
z = 4
  [ "odd" . 'er' ]
  u0000 = 5
'''


def test_toml_lines() -> None:
    parsed = source.parse("p.toml", TOML.encode())
    expected: dict[Keys, int] = {
        ("top",): 2,
        ("quoted.key",): 3,
        ("a", "b", "c"): 6,
        ("a", "b", "c", 0): 7,
        ("a", "b", "c", 1): 8,
        ("a", "b", "c", 1, 1): 8,
        ("a", "b", "c", 2, "y", 0): 9,
        ("date",): 11,
        ("other",): 12,
        ("table",): 14,
        ("table", "x"): 15,
        ("table", "y"): 17,
        ("list",): 19,
        ("list", 0): 19,
        ("list", 0, "sub", "y"): 22,
        ("list", 0, "deep", 0, "z"): 24,
        ("list", 1): 25,
        ("list", 1, "x"): 26,
        ("list", 1, "deep", 0, "z"): 28,
        ("odd", "er"): 29,
        ("odd", "er", "u0000"): 30,
    }
    assert {keys: parsed.line(keys) for keys in expected} == expected


def test_a_line_for_what_is_not_written_is_that_of_the_table_around_it() -> None:
    parsed = source.parse("p.toml", b"\n[a.b]\nc = 1\n")
    assert parsed.line(("a", "b", "missing", 3)) == 2
    assert parsed.line(("nowhere",)) is None


@pytest.mark.parametrize(
    "text",
    [
        b'a = "' + b"x." * 99 + b'"',
        b"a = 'x" + b"'\n# " + b"x." * 99,
        b'a = """\n' + b"x." * 99 + b'"""',
        b"a = '''" + b"x." * 99 + b"'''",
        b'a = "\\"' + b"x." * 99 + b'"',
        b"a.b.c.d.e.f.g.h = 1",
    ],
)
def test_dots_in_text_and_comments_make_no_long_key(text: bytes) -> None:
    assert len(source.parse("p.toml", text).data) == 1


def test_sound_files_are_not_scanned_for_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toml_source, "lines", None)
    assert source.parse("p.toml", b"a = 1\n").data == {"a": 1}


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(TEXT, VALUES, max_size=5)


def _paths(value: object, keys: Keys = ()) -> Iterator[Keys]:
    if keys:
        yield keys
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*keys, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, (*keys, index))


def _block_yaml(value: object, indent: str = "") -> str:
    """Block style with the scalars of JSON: PyYAML's own output leaves `0E0` unquoted, which 1.2 reads as a number."""
    if isinstance(value, dict) and value:
        return "".join(
            f"{indent}{json.dumps(key, ensure_ascii=False)}:{_block_inner(inner, indent)}"
            for key, inner in value.items()
        )
    if isinstance(value, list) and value:
        return "".join(f"{indent}-{_block_inner(inner, indent)}" for inner in value)
    return f"{indent}{json.dumps(value, ensure_ascii=False)}\n"


def _block_inner(value: object, indent: str) -> str:
    if isinstance(value, dict | list) and value:
        return "\n" + _block_yaml(value, indent + "  ")
    return f" {json.dumps(value, ensure_ascii=False)}\n"


@given(DOCUMENTS)
def test_both_forms_of_one_document_read_alike(document: dict[str, object]) -> None:
    as_toml = source.parse("p.toml", tomli_w.dumps(document).encode())
    as_yaml = source.parse("p.yaml", _block_yaml(document).encode())
    assert as_toml.data == document == as_yaml.data
    assert as_toml.flaws == as_yaml.flaws == ()


@given(DOCUMENTS)
def test_every_value_has_a_line_that_holds_its_key(document: dict[str, object]) -> None:
    parsed = source.parse("p.toml", tomli_w.dumps(document).encode())
    assert set(_paths(document)) <= set(parsed.lines)
    for line in parsed.lines.values():
        assert 1 <= line <= parsed.text.count("\n") + 1


def test_the_python_parser_reads_what_the_c_parser_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: {b: [1, two, 'three']}\nc: |\n  text\nd: 0x10\n"
    with_c = yaml_source.parse(text, max_depth=9, max_nodes=99)
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert yaml_source.parse(text, max_depth=9, max_nodes=99) == with_c
