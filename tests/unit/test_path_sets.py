"""Inclusion of path patterns in unions of them, against brute force over a world that holds a witness of each gap."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bottlegen import path_sets
from bottlegen.path_sets import EVERYTHING, UNKNOWN, Union, uncovered
from bottlegen.paths import PathPattern, refusal

SEGMENTS = st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "a*b", "*a*", ".*", ".a"])
PATTERNS = st.builds(
    lambda segments, end: PathPattern.parse("/" + "/".join([*segments, *end])),
    st.lists(SEGMENTS, max_size=2),
    st.sampled_from([[], ["**"], [""]]),
).filter(lambda pattern: not refusal(str(pattern)))

WORDS = ("a", "b", "ab", "ba", "c", "aa", "bb", "cab", "ac", "cb", "acb", "aab", "aba", ".a", "..", "...", ".c", "bab")
WORLD = [
    "/" + "/".join(segments)
    for length in (1, 2, 3)
    for segments in itertools.product((*WORDS, "") if length < 3 else ("a", "b", "c", ""), repeat=length)
    if "" not in segments[:-1] and not {".", ".."} & set(segments)
]


def parsed(*texts: str) -> list[PathPattern]:
    return [PathPattern.parse(text) for text in texts]


@pytest.mark.parametrize(
    ("pattern", "union", "example"),
    [
        ("/a", ["/a"], None),
        ("/a", [], "/a"),
        ("/a/**", ["/**"], None),
        ("/**", ["/a/**"], "/"),
        ("/repos/acme/**", ["/repos/**"], None),
        ("/repos/**", ["/repos/acme/**"], "/repos"),
        ("/a/**", ["/a", "/a/", "/a/*", "/a/*/**"], None),
        ("/a/**", ["/a", "/a/*", "/a/*/**"], "/a/"),
        ("/*", ["/a*", "/b*"], "/x"),
        ("/a*", ["/a", "/a*b"], "/ax"),
        ("/*/x", ["/*/*"], None),
        ("/*/*", ["/*/x"], "/x/y"),
        ("/a*b", ["/a*"], None),
        ("/a*", ["/*"], None),
        ("/*", ["/**"], None),
        ("/.*", ["/.x*", "/.y*"], "/.z"),
        ("/.;x", [], None),  # never seen by the sidecar: no request to gain
        ("/**", [str(EVERYTHING)], None),
    ],
)
def test_uncovered(pattern: str, union: list[str], example: str | None) -> None:
    assert uncovered(PathPattern.parse(pattern), parsed(*union)) == example


@settings(max_examples=500, deadline=None)
@given(PATTERNS, st.lists(PATTERNS, max_size=4))
def test_agrees_with_brute_force(pattern: PathPattern, union: list[PathPattern]) -> None:
    example = uncovered(pattern, union)
    gaps = [path for path in WORLD if pattern.matches(path) and not any(other.matches(path) for other in union)]
    if example is None:
        assert gaps == []
    else:
        assert pattern.matches(example)
        assert not any(other.matches(example) for other in union)
        assert not re.search(r"//|/\.{1,2}(?:/|;|$)", example), "no such path reaches a rule"
    assert Union(union).uncovered(pattern) == example


def test_what_takes_too_long_counts_as_not_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_sets, "_MAX_STEPS", 3)
    assert uncovered(PathPattern.parse("/abcdef*"), parsed("/abc*")) == UNKNOWN


def test_patterns_that_grow_without_end_are_given_up() -> None:
    wild = PathPattern.parse("/" + "*a*b" * 12)
    assert uncovered(wild, parsed(*(f"/{'*ab' * n}*" for n in range(13, 17)))) is not None


def test_within_and_meets() -> None:
    union = Union(parsed("/a/b", "/a/*", "/c/**"))
    assert union.within(PathPattern.parse("/a/**")) == tuple(parsed("/a/*", "/a/b"))
    assert union.meets(PathPattern.parse("/*/b"))
    assert not union.meets(PathPattern.parse("/d"))


@given(PATTERNS, st.lists(PATTERNS, max_size=6))
def test_no_member_that_meets_is_overlooked(pattern: PathPattern, union: list[PathPattern]) -> None:
    assert Union(union).meets(pattern) is any(other.overlaps(pattern) for other in union)
