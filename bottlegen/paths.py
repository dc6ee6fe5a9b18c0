"""Path rules as sets: one pattern says which normalised request paths it covers, and whether two patterns meet."""

import re
from dataclasses import dataclass
from functools import cache

# RFC 3986 pchar without "%": what may stand in a segment as itself, plus "*" as the wildcard.
_SEGMENT = re.compile(r"[A-Za-z0-9\-._~!$&'()+,;=:@*]*\Z")


@dataclass(frozen=True, slots=True, order=True)
class PathPattern:
    """`/a/*/b` covers one non-empty segment for `*`; a last `/**` covers the path itself and everything below it.

    `*` inside a longer segment covers any run without `/`. Matching is on the normalised path, without the query.
    """

    segments: tuple[str, ...]
    subtree: bool = False

    @classmethod
    def parse(cls, text: str) -> "PathPattern":
        """Read a pattern; ValueError says in a few words why `text` is none."""
        if reason := refusal(text):
            raise ValueError(reason)
        segments = tuple(text[1:].split("/"))
        if segments[-1] == "**":
            return cls(segments[:-1], subtree=True)
        return cls(segments)

    def __str__(self) -> str:
        return "".join(f"/{segment}" for segment in (*self.segments, *(["**"] if self.subtree else [])))

    def regex(self) -> str:
        """The pattern as an RE2 expression for a full match."""
        body = "".join("/" + _segment_regex(segment) for segment in self.segments)
        return body + ("(?:/.*)?" if self.subtree else "")

    def matches(self, path: str) -> bool:
        return re.fullmatch(self.regex(), path, re.DOTALL) is not None

    def overlaps(self, other: "PathPattern") -> bool:
        """Whether some path is covered by both."""
        mine, theirs = self.segments, other.segments
        if len(mine) > len(theirs) and not other.subtree:
            return False
        if len(theirs) > len(mine) and not self.subtree:
            return False
        return all(_segments_meet(a, b) for a, b in zip(mine, theirs, strict=False))


def refusal(text: str) -> str:
    """Why `text` cannot be a path pattern, or an empty string."""
    if not text.startswith("/"):
        return "a path starts with '/'"
    segments = text[1:].split("/")
    if any(segment in (".", "..") for segment in segments):
        return "a path has no '.' or '..' segments"
    if "%" in text:
        return "a path is written decoded: no percent-encoding"
    if "\\" in text or "?" in text or "#" in text:
        return "a path has no backslash, query or fragment"
    if any("**" in segment for segment in segments[:-1]) or ("**" in segments[-1] and segments[-1] != "**"):
        return "'**' stands only as the last segment"
    if any(segment == "" for segment in segments[:-1]):
        return "a path has no empty segments: the sidecar merges slashes"
    if not all(_SEGMENT.match(segment) for segment in segments):
        return "a path holds only unreserved URL characters and '*'"
    return ""


def _segment_regex(segment: str) -> str:
    if segment == "*":
        return "[^/]+"
    return "[^/]*".join(re.escape(part) for part in segment.split("*"))


@cache
def _segments_meet(a: str, b: str) -> bool:
    if a == "*" or b == "*":
        return a != "" and b != ""
    return _globs_meet(a, b)


def _globs_meet(a: str, b: str) -> bool:
    """Whether two globs share a word: walk both at once; a `*` may take or skip what the other offers."""
    seen: set[tuple[int, int]] = set()
    todo = [(0, 0)]
    while todo:
        i, j = todo.pop()
        if (i, j) in seen:
            continue
        seen.add((i, j))
        if i == len(a) and j == len(b):
            return True
        star_a, star_b = a[i : i + 1] == "*", b[j : j + 1] == "*"
        if star_a:
            todo += [(i + 1, j)] + ([(i, j + 1)] if j < len(b) else [])
        if star_b:
            todo += [(i, j + 1)] + ([(i + 1, j)] if i < len(a) else [])
        if i < len(a) and j < len(b) and not star_a and not star_b and a[i] == b[j]:
            todo.append((i + 1, j + 1))
    return False
