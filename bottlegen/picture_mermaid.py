"""A picture as a mermaid flowchart, for Markdown pages: no text of a profile can become syntax of it or of the page."""

import re
from collections.abc import Iterator

from bottlegen.picture import NO_CREDENTIAL, Card, Host, Picture
from bottlegen.wording import seen

_HOSTS_A_NODE = 8
_MAX_LABEL = 1200
_OPEN = re.compile(r"[^A-Za-z0-9 ,._/:()'-]")
"""Everything but these is written as a number: quotes, brackets, `#`, `*`, backticks and `<` mean something there."""

_STYLES = (
    "classDef agent stroke:#2563eb,stroke-width:2px",
    "classDef sidecar stroke:#15803d,stroke-width:2px",
    "classDef key stroke:#c2410c,stroke-width:2px",
    "classDef open stroke:#64748b",
    "classDef widens stroke:#dc2626,stroke-width:4px",
)  # only lines are coloured: what is inside follows the reader's light or dark theme


def mermaid(drawn: Picture) -> str:
    """The text of the flowchart; what widens stands in nodes of its own."""
    nodes = list(_nodes(drawn))
    lines = [
        '%%{init: {"flowchart": {"wrappingWidth": 480}}}%%',
        "flowchart LR",
        f'  subgraph bottle["{text(f"bottle {drawn.name}")}"]',
        f'    agent["{_label(["agent", *drawn.agent])}"]:::agent',
        f'    sidecars["{_label(["sidecars", *drawn.sidecars])}"]:::sidecar',
        "  end",
        "  agent -->|only way out| sidecars",
    ]
    if drawn.credentials:
        names = [f"{_badge(number)} {name}".strip() for number, name in drawn.credentials]
        lines += [f'  keys["{_label(["credentials of this host", *names])}"]:::key', "  keys -.->|at start| sidecars"]
    for index, (title, body, style) in enumerate(nodes):
        lines += [f'  n{index}["{_label(body)}"]:::{style}', f'  sidecars -->|"{text(title)}"| n{index}']
    if not nodes:
        lines += ['  n0["nothing may be reached"]:::open']
    if drawn.more:
        lines += [f'  more["and {drawn.more} more hosts"]:::open', "  sidecars --> more"]
    return "\n".join([*lines, *(f"  {style}" for style in _STYLES)]) + "\n"


def _nodes(drawn: Picture) -> Iterator[tuple[str, list[str], str]]:
    for card in drawn.cards:
        for style, hosts in (
            ("widens", [host for host in card.hosts if host.widens]),
            ("key" if card.number else "open", [host for host in card.hosts if not host.widens]),
        ):
            for start in range(0, len(hosts), _HOSTS_A_NODE):
                part = hosts[start : start + _HOSTS_A_NODE]
                yield _title(card), [line for host in part for line in _host(host)], style


def _title(card: Card) -> str:
    added = f"{_badge(card.number)} {card.title}" if card.number else NO_CREDENTIAL
    return f"{added}; {'inspected' if card.inspected else 'not inspected'}"


def _badge(number: int) -> str:
    return f"({number})" if number else ""


def _host(host: Host) -> list[str]:
    return [f"WIDENS {host.name}" if host.widens else host.name, *(f"· {rule}" for rule in host.rules)]


def _label(lines: list[str]) -> str:
    return "<br/>".join(text(line) for line in lines)


def text(line: str) -> str:
    """`line` inside of quotes of a flowchart, each character as itself or as its number."""
    cut = seen(line if len(line) <= _MAX_LABEL else line[: _MAX_LABEL - 1] + "…")
    return _OPEN.sub(lambda found: f"#{ord(found[0])};", cut)
