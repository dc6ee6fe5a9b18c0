"""Path patterns as sets: refusals, matching, and overlap against brute force."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlegen.paths import PathPattern, refusal

SEGMENTS = st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "a*b", "*a*"])
PATTERNS = st.builds(
    lambda segments, end: "/" + "/".join([*segments, *end]) if segments or end else "/",
    st.lists(SEGMENTS, max_size=3),
    st.sampled_from([[], ["**"], [""]]),
).filter(lambda text: not refusal(text))

WORDS = ("", "a", "b", "ab", "ba", "aab", "aba", "bab")
WORLD = tuple(
    "/" + "/".join(segments) for length in (1, 2, 3, 4) for segments in itertools.product(WORDS, repeat=length)
)
"""Every path of up to four of these segments: enough for a witness of any overlap of the patterns above."""


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/a", "/a", True),
        ("/a", "/a/", False),
        ("/a/", "/a/", True),
        ("/a/**", "/a", True),
        ("/a/**", "/a/", True),
        ("/a/**", "/a/b/c", True),
        ("/a/**", "/ab", False),
        ("/**", "/", True),
        ("/*", "/", False),
        ("/*", "/a", True),
        ("/*", "/a/b", False),
        ("/a*c", "/ac", True),
        ("/a*c", "/a/c", False),
        ("/a.c", "/abc", False),
        ("/a+", "/aa", False),
        ("/", "/", True),
    ],
)
def test_matches(pattern: str, path: str, expected: bool) -> None:
    assert PathPattern.parse(pattern).matches(path) is expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a", "a path starts with '/'"),
        ("", "a path starts with '/'"),
        ("/a/../b", "a path has no '.' or '..' segments"),
        ("/.", "a path has no '.' or '..' segments"),
        ("/%61", "a path is written decoded: no percent-encoding"),
        ("/a?b", "a path has no backslash, query or fragment"),
        ("/a\\b", "a path has no backslash, query or fragment"),
        ("/**/a", "'**' stands only as the last segment"),
        ("/a**", "'**' stands only as the last segment"),
        ("//a", "a path has no empty segments: the sidecar merges slashes"),
        ("/a b", "a path holds only unreserved URL characters and '*'"),
        ("/é", "a path holds only unreserved URL characters and '*'"),
        ("/a\n", "a path holds only unreserved URL characters and '*'"),
    ],
)
def test_refusals(text: str, reason: str) -> None:
    assert refusal(text) == reason
    with pytest.raises(ValueError, match=r"path|stands"):
        PathPattern.parse(text)


@given(PATTERNS)
def test_text_round_trips(text: str) -> None:
    assert str(PathPattern.parse(text)) == text


@given(PATTERNS, PATTERNS)
def test_overlap_agrees_with_brute_force(a: str, b: str) -> None:
    first, second = PathPattern.parse(a), PathPattern.parse(b)
    assert first.overlaps(second) is any(first.matches(path) and second.matches(path) for path in WORLD)
