"""A picture as an SVG of its own: no script, no font, no reference to elsewhere; colours for light and for dark pages.

Same picture, same bytes. Widths are those of a monospaced font, so that nothing has to be measured.
"""

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bottlegen.picture import Card, Host, Picture
from bottlegen.wording import seen

_CHAR, _LINE, _PAD, _GAP = 7.3, 17, 12, 22
"""Pixels: of a letter of 12 px (0.602 em in DejaVu Sans Mono, the widest of the usual ones), of a line, around text."""

_LEFT_CHARS, _CARD_CHARS = 40, 52
_LEFT, _CARD = (round(chars * _CHAR) + 2 * _PAD for chars in (_LEFT_CHARS, _CARD_CHARS))
_TALL, _MOST = 40, 3
"""Lines of a column before the next one begins, and columns: beyond these the columns grow instead."""

_MAX_TEXT = 300
_ROOM = 3 * _PAD
"""Pixels between boxes that an arrow joins."""

_LIGHT = {
    "page": "#ffffff", "text": "#0f172a", "soft": "#475569", "line": "#334155", "box": "#f8fafc", "edge": "#64748b",
    "agent": "#2563eb", "side": "#15803d", "bad": "#b91c1c",
    "k0": "#64748b", "k1": "#c2410c", "k2": "#7e22ce", "k3": "#0e7490", "k4": "#a16207", "k5": "#be185d",
}  # fmt: skip
_DARK = {
    "page": "#0d1117", "text": "#e6edf3", "soft": "#9da7b3", "line": "#c9d1d9", "box": "#161b22", "edge": "#8b949e",
    "agent": "#58a6ff", "side": "#3fb950", "bad": "#ff7b72",
    "k0": "#8b949e", "k1": "#ffa657", "k2": "#d2a8ff", "k3": "#56d4dd", "k4": "#e3b341", "k5": "#f778ba",
}  # fmt: skip
_COLOURS = 5
"""Credentials' colours come again after as many; the number beside each is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """Lines of text, each with its style, in a frame whose style is `frame`."""

    lines: tuple[tuple[str, str], ...]
    frame: str

    @property
    def height(self) -> int:
        return len(self.lines) * _LINE + 2 * _PAD


def svg(drawn: Picture) -> str:
    """The whole document."""
    agent = _box("agent", drawn.agent, "agent")
    side = _box("sidecars", drawn.sidecars, "side")
    keys = _keys(drawn)
    columns = _columns(drawn)
    boxes_top = _GAP + _PAD + _LINE
    side_top = boxes_top + agent.height + _ROOM
    bottle = side_top + side.height + _PAD - _GAP
    keys_top = _GAP + bottle + _ROOM
    panel_left = _GAP + _LEFT + 2 * _PAD + 3 * _GAP
    panel_width = len(columns) * (_CARD + _PAD) + _PAD
    panel = max(boxes_top + max(map(_stacked, columns)) + _PAD, _GAP + bottle) - _GAP
    height = _GAP + max(panel, bottle + (_ROOM + keys.height if keys else 0)) + _GAP
    left, right, middle = _GAP + _PAD, _GAP + _LEFT + _PAD, side_top + side.height // 2
    parts = [
        *_head(drawn.name, panel_left + panel_width + _GAP, height),
        *_frame(f"bottle {drawn.name}", _GAP, _LEFT + 2 * _PAD, bottle),
        *_draw(agent, left, boxes_top, _LEFT),
        *_draw(side, left, side_top, _LEFT),
        *_arrow((left + 40, boxes_top + agent.height), (left + 40, side_top), "the only way out"),
        *_frame("may reach, and nothing else", panel_left, panel_width, panel),
        *_arrow((right, middle), (panel_left, middle), ""),
    ]
    for index, boxes in enumerate(columns):
        parts += _stack(boxes, panel_left + _PAD + index * (_CARD + _PAD), boxes_top)
    if keys:
        parts += _draw(keys, left, keys_top, _LEFT)
        parts += _arrow((left + 40, keys_top), (left + 40, side_top + side.height), "at start, into memory")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _columns(drawn: Picture) -> list[list[_Box]]:
    """The cards, broken where a column is full: no host is torn."""
    blocks = [(card, _host_lines(host)) for card in drawn.cards for host in card.hosts]
    target = max(_TALL, sum(len(lines) + 1 for _, lines in blocks) // _MOST)
    columns: list[list[tuple[Card, list[tuple[str, str]]]]] = [[]]
    used = 0
    for card, lines in blocks:
        if used and used + len(lines) > target and len(columns) < _MOST:
            columns.append([])
            used = 0
        if not columns[-1] or columns[-1][-1][0] is not card:
            again = any(card is other for column in columns for other, _ in column)
            columns[-1].append((card, _title(card, again=again)))
            used += 4
        columns[-1][-1][1].extend(lines)
        used += len(lines)
    made = [[_Box(lines=tuple(lines), frame=_key(card.number)) for card, lines in column] for column in columns]
    if drawn.more:
        made[-1].append(_box(f"and {drawn.more} more hosts", (), _key(0)))
    return made if made != [[]] else [[_box("nothing", (), _key(0))]]


def _title(card: Card, *, again: bool) -> list[tuple[str, str]]:
    badge = f"({card.number}) " if card.number else ""
    words = f"{badge}{card.title}{', continued' if again else ''}"
    treated = "inspected" if card.inspected else "not inspected"
    return [*((part, f"b {_key(card.number)}") for part in wrapped(words, _CARD_CHARS)), (treated, "s")]


def _host_lines(host: Host) -> list[tuple[str, str]]:
    name = [(part, "b bad" if host.widens else "b") for part in wrapped(host.name, _CARD_CHARS)]
    rules = (part for rule in host.rules for part in wrapped(f"  {rule}", _CARD_CHARS))
    return [*([("WIDENS", "b bad")] if host.widens else []), *name, *((part, "s") for part in rules)]


def _keys(drawn: Picture) -> _Box | None:
    if not drawn.credentials:
        return None
    lines = [
        (part, f"b {_key(number)}")
        for number, name in drawn.credentials
        for part in wrapped(f"({number}) {name}" if number else name, _LEFT_CHARS)
    ]
    return _Box(lines=(("credentials of this host", "b"), *lines), frame="host")


def _key(number: int) -> str:
    return f"k{(number - 1) % _COLOURS + 1 if number else 0}"


def _box(title: str, lines: Iterable[str], frame: str) -> _Box:
    body = ((part, "s") for line in lines for part in wrapped(line, _LEFT_CHARS))
    return _Box(lines=((title, f"b {frame}"), *body), frame=frame)


def wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` letters, broken after a blank or a mark where one is near; never empty."""
    rest = seen(text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…")
    indent = rest[: len(rest) - len(rest.lstrip())]
    lines = []
    while len(rest) > width:
        blank = rest.rfind(" ", width // 2, width)
        near = blank if blank > 0 else max(rest.rfind(mark, width // 2, width) for mark in ",/.-")
        at = near + 1 if near > 0 else width
        lines.append(rest[:at])
        rest = f"{indent}  {rest[at:]}"
    return [*lines, rest]


def _stacked(boxes: Sequence[_Box]) -> int:
    return sum(box.height for box in boxes) + _PAD * (len(boxes) - 1)


def _stack(boxes: Sequence[_Box], x: int, y: int) -> Iterator[str]:
    for box in boxes:
        yield from _draw(box, x, y, _CARD)
        y += box.height + _PAD


def _draw(box: _Box, x: int, y: int, width: int) -> Iterator[str]:
    yield f'<rect class="box {box.frame}" x="{x}" y="{y}" width="{width}" height="{box.height}" rx="8"/>'
    for index, (text, style) in enumerate(box.lines):
        yield _text(text, style, x + _PAD, y + _PAD + (index + 1) * _LINE - 4)


def _frame(title: str, x: int, width: int, height: int) -> Iterator[str]:
    yield f'<rect class="frame" x="{x}" y="{_GAP}" width="{width}" height="{height}" rx="10"/>'
    yield _text(wrapped(title, _LEFT_CHARS)[0], "b", x + _PAD, _GAP + _LINE + 2)


def _arrow(start: tuple[int, int], end: tuple[int, int], words: str) -> Iterator[str]:
    yield f'<path class="way" d="M{start[0]} {start[1]} L{end[0]} {end[1]}" marker-end="url(#tip)"/>'
    if words:
        yield _text(words, "s", start[0] + 12, (start[1] + end[1]) // 2 + 4)


def _text(text: str, style: str, x: int, y: int) -> str:
    indent = len(text) - len(text.lstrip())
    shift = f"{x + indent * _CHAR:g}"
    return f'<text class="{style}" x="{shift}" y="{y}">{html.escape(text.strip())}</text>'


def _head(name: str, width: int, height: int) -> Iterator[str]:
    title = html.escape(seen(f"bottle {name}"))
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{title}">'
    )
    yield f"<title>{title}</title>"
    yield f"<style>{_STYLE}</style>"
    yield (
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto"><path class="tip" d="M0 0 10 5 0 10z"/></marker></defs>'
    )
    yield f'<rect class="page" width="{width}" height="{height}"/>'


def _sheet(colours: dict[str, str]) -> str:
    keys = "".join(f"rect.{name}{{stroke:{colours[name]}}}text.{name}{{fill:{colours[name]}}}" for name in _MARKS)
    return (
        f".page,.frame{{fill:{colours['page']}}}text{{fill:{colours['text']}}}.s{{fill:{colours['soft']}}}"
        f".frame{{stroke:{colours['line']}}}.box{{fill:{colours['box']};stroke:{colours['edge']}}}"
        f".way{{stroke:{colours['line']}}}.tip{{fill:{colours['line']}}}{keys}"
    )


_MARKS = ("agent", "side", "bad", *(f"k{number}" for number in range(_COLOURS + 1)))
_STYLE = (
    "text{font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace}.b{font-weight:bold}"
    ".box{stroke-width:1.6}.frame{stroke-width:1.6;stroke-dasharray:7 5}.host{stroke-dasharray:3 4}"
    ".way{stroke-width:1.8;fill:none}"
    f"{_sheet(_LIGHT)}@media (prefers-color-scheme:dark){{{_sheet(_DARK)}}}"
)
