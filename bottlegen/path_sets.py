"""Unions of path patterns as sets: whether one pattern lies within others, exactly, with an example of what does not.

The world is what the sidecar judges: normalised paths, so none with `//`, with `.` or `..` segments, or with `/..;`.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache, cached_property

from bottlegen.paths import PathPattern

EVERYTHING = PathPattern(segments=(), subtree=True)
"""What a rule without paths covers."""

UNKNOWN = ""
"""Stands for an example where the search was given up: such a pattern counts as not covered."""

_MAX_STEPS = 20_000
"""Patterns that people write need tens of steps; only runs of `*` between letters that repeat come near this."""

_REST = "xyzabcdefghijklmnopqrstuvw0123456789["
"""Letters for what no pattern names; no pattern can name the last."""

_ONE_OR_MORE, _ANY_RUN, _SUBTREE, _BELOW = "1*", "0*", "/**", "below"
_World = str
_State = tuple[frozenset[int], frozenset[tuple[int, int]], _World]


def uncovered(pattern: PathPattern, union: Iterable[PathPattern]) -> str | None:
    """A shortest path that `pattern` covers and no member of `union` does; None where there is none."""
    others = [other for other in union if other.overlaps(pattern)]
    if any(other in (pattern, EVERYTHING) for other in others):
        return None
    if not others and "." not in str(pattern):  # most of what is new is wholly new
        return "".join("/" + ("x" if s == "*" else s.replace("*", "")) for s in pattern.segments) or "/"
    return _search(_tokens(pattern), [_tokens(other) for other in others])


class Union:
    """Many patterns, kept so that the few which may meet a given one are found without a look at all."""

    def __init__(self, patterns: Iterable[PathPattern]) -> None:
        self._whole = frozenset(patterns)

    @cached_property
    def _root(self) -> "_Node":
        root = _Node()
        for pattern in sorted(self._whole):
            root.add(pattern)
        return root

    def uncovered(self, pattern: PathPattern) -> str | None:
        """As the function of that name."""
        if pattern in self._whole or EVERYTHING in self._whole:
            return None
        return uncovered(pattern, self._root.near(pattern))

    def within(self, pattern: PathPattern) -> tuple[PathPattern, ...]:
        """The members that `pattern` covers wholly."""
        return tuple(sorted(other for other in self._root.near(pattern) if uncovered(other, [pattern]) is None))

    def meets(self, pattern: PathPattern) -> bool:
        return any(other.overlaps(pattern) for other in self._root.near(pattern))


class _Node:
    """Patterns that share their first segments; a segment with a wildcard is tried for every name."""

    def __init__(self) -> None:
        self.here: list[PathPattern] = []
        self.named: dict[str, _Node] = {}
        self.open: dict[str, _Node] = {}

    def add(self, pattern: PathPattern) -> None:
        node = self
        for segment in pattern.segments:
            node = (node.open if "*" in segment else node.named).setdefault(segment, _Node())
        node.here.append(pattern)

    def near(self, pattern: PathPattern) -> Iterator[PathPattern]:
        """At least all members that meet `pattern`."""
        todo = [(self, pattern.segments)]
        while todo:
            node, rest = todo.pop()
            if not rest:
                yield from node.here
                below = pattern.subtree
            else:
                yield from (member for member in node.here if member.subtree)
                below = "*" in rest[0]
            if below:
                todo += [(child, rest[1:]) for child in node.named.values()]
            elif rest and rest[0] in node.named:
                todo.append((node.named[rest[0]], rest[1:]))
            if rest or below:
                todo += [(child, rest[1:]) for child in node.open.values()]


def _search(mine: tuple[str, ...], others: list[tuple[str, ...]]) -> str | None:
    """Walk pattern, union and world at once, letter by letter, breadth first."""
    first = (_closed(mine, {0}), _closed_all(others, {(index, 0) for index in range(len(others))}), "start")
    todo: deque[tuple[_State, str]] = deque([(first, "")])
    seen = {first}
    while todo:
        (at, theirs, world), path = todo.popleft()
        if _accepts(mine, at) and world in ("slash", "word") and not any(_accepts(others[i], {p}) for i, p in theirs):
            return path
        for letter in _letters(mine, at, others, theirs):
            state = _step(mine, at, letter), _step_all(others, theirs, letter), _world_step(world, letter)
            covered = any(others[i][p : p + 1] == (_BELOW,) for i, p in state[1])
            if not state[0] or state[2] == "none" or covered or state in seen:
                continue
            if len(seen) >= _MAX_STEPS:
                return UNKNOWN
            seen.add(state)
            todo.append((state, path + letter))
    return None


@cache
def _tokens(pattern: PathPattern) -> tuple[str, ...]:
    """Letters and wildcards in a row; a position in it is the state of one pattern."""
    found: list[str] = []
    for segment in pattern.segments:
        found.append("/")
        found += [_ONE_OR_MORE] if segment == "*" else [_ANY_RUN if letter == "*" else letter for letter in segment]
    return (*found, _SUBTREE, _BELOW) if pattern.subtree else tuple(found)


def _closed(tokens: tuple[str, ...], positions: set[int]) -> frozenset[int]:
    """With what is reached without a letter: a run may be empty."""
    todo = list(positions)
    found = set(positions)
    while todo:
        position = todo.pop()
        if tokens[position : position + 1] == (_ANY_RUN,) and position + 1 not in found:
            found.add(position + 1)
            todo.append(position + 1)
    return frozenset(found)


def _step(tokens: tuple[str, ...], positions: Iterable[int], letter: str) -> frozenset[int]:
    return _closed(tokens, {after for position in positions for after in _after(tokens, position, letter)})


def _after(tokens: tuple[str, ...], position: int, letter: str) -> Iterator[int]:
    token = tokens[position] if position < len(tokens) else None
    if token == _BELOW:
        yield position
    elif token == _SUBTREE and letter == "/":
        yield position + 1
    elif token == _ANY_RUN and letter != "/":
        yield position
    elif token == _ONE_OR_MORE and letter != "/":
        yield from (position, position + 1)
    elif token == letter:
        yield position + 1


def _closed_all(others: list[tuple[str, ...]], states: set[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    return frozenset((index, after) for index, position in states for after in _closed(others[index], {position}))


def _step_all(
    others: list[tuple[str, ...]], states: frozenset[tuple[int, int]], letter: str
) -> frozenset[tuple[int, int]]:
    return frozenset((index, after) for index, position in states for after in _step(others[index], [position], letter))


def _accepts(tokens: tuple[str, ...], positions: Iterable[int]) -> bool:
    return any(position == len(tokens) or tokens[position] in (_SUBTREE, _BELOW) for position in positions)


def _letters(
    mine: tuple[str, ...], at: frozenset[int], others: list[tuple[str, ...]], theirs: frozenset[tuple[int, int]]
) -> list[str]:
    """Every letter that can make a difference here, and one that stands for all the rest."""
    tokens = {mine[position] for position in at if position < len(mine)}
    tokens |= {others[index][position] for index, position in theirs if position < len(others[index])}
    named = {token for token in tokens if len(token) == 1} | {"/", ".", ";"}
    rest = next(letter for letter in _REST if letter not in named)
    return [rest, *sorted(named)]


def _world_step(world: _World, letter: str) -> _World:
    """What the path is so far: which of its next letters no normalised path has is told by `none`."""
    if world == "start":
        return "slash" if letter == "/" else "none"
    if letter == "/":
        return "slash" if world == "word" else "none"
    if letter == "." and world in ("slash", "."):
        return "." if world == "slash" else ".."
    if letter == ";" and world in (".", ".."):
        return "none"
    return "word"
