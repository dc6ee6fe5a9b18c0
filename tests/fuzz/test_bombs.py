"""Small files that would cost much to read: refused soon, in few words, and without growing."""

import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bottlegen.errors import ProfileError
from bottlegen.profile import load
from tests.fuzz.readers import READERS, error_of

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


MOST_GROWTH = 512 * 1024
"""KiB that a process may need at most beyond what it had: the trees of a mebibyte of text are a few hundred MiB."""


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


_ANY = {
    "brackets": lambda: b"[" * 200_000,
    "closed brackets": lambda: b"[" * 100_000 + b"]" * 100_000,
    "braces": lambda: b'{"a":' * 100_000,
    "closed braces": lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "long number": lambda: b'{"a":' + b"9" * 900_000 + b"}",
    "long key": lambda: b'{"' + b"a" * 900_000 + b'":1}',
    "one key again and again": lambda: b"{" + b'"a":1,' * 150_000 + b'"a":1}',
    "lone surrogates": lambda: b'{"a":"' + b"\\ud800" * 100_000 + b'"}',
    "zeros": lambda: bytes(MIB),
    "lines": lambda: b"\n" * MIB,
    "tables in lines": lambda: b"{}\n" * 50_000,
    "long name of a pin": lambda: b"format = 1\n[artifact]\n" + b"9" * 500_000 + b" = 1\n",
}


def test_a_long_name_in_a_manifest_is_not_repeated_whole(tmp_path: Path) -> None:
    raw = READERS["manifest"].seeds[0].replace(b'"Smolfile"', b'"' + b"9" * 200_000 + b'"')
    told = error_of("manifest", raw, tmp_path)
    assert "is missing" in str(told)
    assert len(str(told)) < 5_000


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("bomb", _ANY)
def test_every_reader_bears_every_bomb(reader: str, bomb: str, tmp_path: Path) -> None:
    raw = _ANY[bomb]()
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(str(error_of(reader, raw, tmp_path) or "")) < 20_000
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_GROWTH
