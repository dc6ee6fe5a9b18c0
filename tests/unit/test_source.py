"""Reading TOML and YAML: one meaning in both forms, lines that are right, and nothing that blows up."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping

import pytest
import tomli_w
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bottlegen import source, toml_source, yaml_source
from bottlegen.errors import ProfileError
from bottlegen.profile import load
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


def _only_profile_errors(name: str, raw: bytes) -> None:
    try:
        parsed = source.parse(name, raw)
    except ProfileError:
        return
    for keys in [(), *_paths(parsed.data)]:
        parsed.where(keys)


@pytest.mark.parametrize("name", KINDS)
@given(raw=st.binary(max_size=200))
def test_any_bytes(name: str, raw: bytes) -> None:
    _only_profile_errors(name, raw)


PIECES = st.lists(
    st.sampled_from(
        [
            "[",
            "]",
            "[[",
            "]]",
            "{",
            "}",
            "=",
            ".",
            ",",
            ":",
            "- ",
            "? ",
            "&a",
            "*a",
            "!!x ",
            "<<",
            "#",
            "---\n",
            "...\n",
            "%YAML 1.2\n",
            "\n",
            "  ",
            "\t",
            "\r\n",
            '"',
            "'",
            '"""',
            "'''",
            "\\",
            "\\u0000",
            "|\n",
            ">",
            "a",
            "b c",
            "1",
            "0x",
            "1e9",
            "2026-01-01",
            "true",
            "~",
            "é",
            "\u2028",
            "\x85",
            "\ud7ff",
        ]
    ),
    max_size=40,
).map("".join)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=500)
@given(text=PIECES)
def test_any_syntax(name: str, text: str) -> None:
    _only_profile_errors(name, text.encode())


MIB = 1 << 20


def _env(value: bytes) -> bytes:
    """As many variables of one value as a file may hold."""
    return b"[env]\n" + b"".join(b'A%d = "%s"\n' % (i, value) for i in range((MIB - 10) // (len(value) + 15)))


BOMBS: dict[str, Callable[[], bytes]] = {
    "toml brackets": lambda: b"a = " + b"[" * 100_000,
    "toml closed brackets": lambda: b"a = " + b"[" * 100_000 + b"]" * 100_000,
    "toml table brackets": lambda: b"[" * 100_000,
    "toml inline tables": lambda: b"a = " + b"{a=" * 50_000 + b"1" + b"}" * 50_000,
    "toml dotted key": lambda: b"a." * 300_000 + b"a = 1\n",
    "toml dotted header": lambda: b"[" + b"a . " * 200_000 + b"a]\n",
    "toml quoted dotted key": lambda: b'"\\"".' * 100_000 + b"a = 1\n",
    "toml dotted keys in lines": lambda: b"".join(b"a.b.c.d.e.f.g.h.i.j.k.l.m.n.k%d=1\n" % i for i in range(25_000)),
    "toml keys below a header": lambda: (
        b"[a.b.c.d.e.f.g.h.i.j.k.l.m.n]\n" + b"".join(b"k%d=1\n" % i for i in range(90_000))
    ),
    "toml tables": lambda: b"".join(b"[t%d]\n" % i for i in range(100_000)),
    "toml arrays of tables": lambda: b"[[t]]\n" * 150_000,
    "toml number": lambda: b"a = " + b"9" * 900_000,
    "toml hex number": lambda: b"a = 0x" + b"f" * 900_000,
    "toml long line": lambda: b'a = "' + b"x" * 10 * MIB + b'"\n',
    "toml full line": lambda: b'a = "' + b"x" * (MIB - 10) + b'"\n',
    "toml escaped quotes": lambda: b'a = "' + b'\\"' * (MIB // 2 - 10) + b'"\n',
    "toml escaped quotes unclosed": lambda: b'a = "' + b'\\"' * (MIB // 2 - 10),
    "toml escapes in long text": lambda: b'a = """' + b'"\\"\\n' * (MIB // 6) + b'"""\n',
    "toml text in long text": lambda: b"a = '''" + b"''\\\n" * (MIB // 6) + b"'''\n",
    "toml half keys": lambda: b"".join(b"[" + b"a." * 12 + b"b%d]\n" % i for i in range(30_000)),
    "toml almost tokens": lambda: _env(b"sk-" * 2_700),
    "toml almost web tokens": lambda: _env(b"-eyJ" * 2_000),
    "toml almost urls": lambda: _env(b"://a:b" * 1_300),
    "toml almost random": lambda: _env(b"a1B" * 2_700),
    "toml almost addresses": lambda: b"".join(
        b'[[egress.routes]]\nhost = "%sz"\n' % (b":" * 240) for _ in range(3_500)
    ),
    "toml almost hosts": lambda: b"".join(b'[[egress.routes]]\nhost = "%s_"\n' % (b"a-" * 31) for _ in range(9_000)),
    "toml wide dots": lambda: b"".join(
        b'[[egress.routes]]\nhost = "%s"\n' % ("\ufdfa" * 80).encode() for _ in range(3_500)
    ),
    "toml quotes": lambda: b'"' * (MIB - 1),
    "toml bare": lambda: b"a" * (MIB - 1),
    "toml blanks": lambda: b"a" + b" " * (MIB - 2) + b"b",
    "toml comments": lambda: b"#\n" * (MIB // 2),
    "toml two mebibytes": lambda: b"a = 1\n" * (MIB // 3),
    "yaml laughs": lambda: b"a: &a [x,x]\n" + b"".join(b"k%d: &k%d [*a,*a,*a]\n" % (i, i) for i in range(30)),
    "yaml anchors": lambda: b"".join(b"k%d: &k%d x\n" % (i, i) for i in range(50_000)),
    "yaml brackets": lambda: b"a: " + b"[" * 100_000,
    "yaml braces": lambda: b"{a: " * 100_000,
    "yaml dashes": lambda: b"- " * 100_000,
    "yaml complex keys": lambda: b"? " * 100_000,
    "yaml indents": lambda: b"".join(b" " * i + b"a:\n" for i in range(1_000)),
    "yaml keys": lambda: b"".join(b"k%d: 1\n" % i for i in range(90_000)),
    "yaml flow list": lambda: b"a: [" + b"1," * 500_000 + b"]",
    "yaml number": lambda: b"a: " + b"9" * 900_000,
    "yaml nulls": lambda: b"".join(b"k%d:\n" % i for i in range(40_000)),
    "yaml twice": lambda: b"a: 1\n" * 200_000,
    "yaml tags": lambda: b"a: !" + b"x" * 900_000 + b" 1\n",
    "yaml full line": lambda: b"a: " + b"x" * (MIB - 10),
    "yaml quoted": lambda: b'a: "' + b"\\u0041" * 150_000 + b'"',
    "yaml documents": lambda: b"---\n" * 250_000,
}


def _load_bomb(bomb: str) -> None:
    raw = BOMBS[bomb]()
    form = bomb.partition(" ")[0]
    load(f"bomb.{form}", lambda _: raw, provider_fields={"shell": frozenset()})


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_quickly(bomb: str) -> None:
    start = time.process_time()
    with pytest.raises(ProfileError) as caught:
        _load_bomb(bomb)
    assert (
        time.process_time() - start < 10
    )  # without its limit a bomb takes a minute or more; most take under one second
    assert len(str(caught.value)) < 20_000


@pytest.mark.parametrize(
    ("bomb", "message"),
    [
        ("toml two mebibytes", "larger than 1024 KiB"),
        ("toml long line", "larger than 1024 KiB"),
        ("toml keys below a header", "more than 50000 values"),
        ("yaml keys", "more than 50000 values"),
        ("toml dotted key", "more than 16 parts"),
        ("toml dotted header", "more than 16 parts"),
        ("toml quoted dotted key", "more than 16 parts"),
        ("toml brackets", "nested too deeply"),
        ("toml inline tables", "nested too deeply"),
        ("toml number", "out of range"),
        ("toml hex number", "out of range"),
        ("yaml number", "out of range"),
        ("yaml brackets", "nested deeper than 32"),
        ("yaml dashes", "nested deeper than 32"),
        ("yaml complex keys", "a key is a table or list"),
        ("yaml laughs", "alias"),
    ],
)
def test_a_bomb_is_refused_for_what_it_is(bomb: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        _load_bomb(bomb)
