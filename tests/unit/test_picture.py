"""Pictures of bottles: everything is in them, nothing that a profile says becomes syntax, and they stay of a size."""

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from bottlegen.authority import Authority, Credential, Grant, HostGrants, Mount
from bottlegen.facts import Area, Fact
from bottlegen.paths import PathPattern
from bottlegen.picture import MAX_HOSTS, picture
from bottlegen.picture_mermaid import mermaid
from bottlegen.picture_svg import svg, wrapped

HOSTILE = (
    "</text><script>alert(1)</script>", 'a"]; click n0 "javascript:x"', "```\n# out", "%%{init: {}}%%", "|x|",
    "a;b#35;c", "`**x**`", "<img src=x onerror=y>", "\x1b[2J\u202e\u0000", "end", "style n0:#fff;", "]]>&lt;&amp;",
)  # fmt: skip
KEY = Credential(token_ref="GITHUB_TOKEN", header="authorization", scheme="Bearer")
_VALUES: tuple[tuple[Area, str, str], ...] = (
    ("agent", "provider", "shell"),
    ("agent", "home", "kept"),
    ("isolation", "weakest isolation", "process"),
    ("resources", "agent cpus", "2"),
    ("resources", "agent memory", "4 GiB"),
    ("resources", "agent tasks", "512"),
)
FACTS = tuple(Fact(area=area, name=name, value=value) for area, name, value in _VALUES)


def grant(*paths: str, methods: tuple[str, ...] = ("GET",), credential: Credential | None = None) -> Grant:
    return Grant(methods=methods, paths=tuple(map(PathPattern.parse, paths)), credential=credential)


def host(name: str, *grants: Grant, port: int = 443, inspected: bool = True) -> HostGrants:
    return HostGrants(host=name, port=port, grants=grants or (grant(),), inspected=inspected)


def bottle(*hosts: HostGrants, name: str = "dev", mount: Mount | None = None) -> Authority:
    return Authority(
        name=name, services=("agent", "egress"), hosts=tuple(sorted(hosts, key=lambda h: (h.host, h.port))),
        mount=mount, facts=FACTS,
    )  # fmt: skip


def texts(document: str) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(document).iter("{http://www.w3.org/2000/svg}text")]


def flat(text: str) -> str:
    """What a flowchart shows: its numbers as characters."""
    return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), text)


SMALL = bottle(
    host("api.example.com", grant("/repos/**", methods=("GET", "POST"), credential=KEY), grant("/open")),
    host("*.example.org", grant(methods=()), port=8443, inspected=False),
    mount=Mount(source=".", read_only=("ci",)),
)


def test_everything_is_in_both() -> None:
    drawn = picture(SMALL)
    words = (
        "bottle dev", "egress", "provider shell", "home kept", "workspace '.'", "of it read-only: 'ci'",
        "2 cpus, 4 GiB, 512 tasks", "isolation process or stronger", "(1) GITHUB_TOKEN", "api.example.com",
        "GET, POST /repos/**", "GET /open", "*.example.org:8443", "any method, any path", "inspected",
        "not inspected", "no credential added",
    )  # fmt: skip
    seen = "\n".join(texts(svg(drawn)))
    for word in words:
        assert word in seen
        assert word in flat(mermaid(drawn))
    assert "WIDENS" not in seen + mermaid(drawn)


def test_a_bottle_without_anything() -> None:
    drawn = picture(bottle())
    assert {"nothing", "no workspace"} <= set(texts(svg(drawn)))
    assert "credentials of this host" not in texts(svg(drawn))
    assert "nothing may be reached" in mermaid(drawn)


def test_what_widens_is_pointed_at() -> None:
    drawn = picture(SMALL, frozenset({("*.example.org", 8443)}))
    lines = texts(svg(drawn))
    assert lines[lines.index("WIDENS") + 1] == "*.example.org:8443"
    assert re.search(r'\["WIDENS #42;\.example\.org:8443<br/>[^"]*"\]:::widens', mermaid(drawn))
    assert "WIDENS api.example.com" not in mermaid(drawn)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_text(text: str) -> None:
    """Also that of an altered bundle, whose names nobody checked."""
    pattern = PathPattern(segments=(text,))
    credential = Credential(token_ref=text, header=text, scheme=text)
    evil = bottle(
        host(text, Grant(methods=(text,), paths=(pattern,), credential=credential)), name=text,
        mount=Mount(source=text, read_only=(text,)),
    )  # fmt: skip
    plain = bottle(
        host("x", Grant(methods=("x",), paths=(PathPattern(segments=("x",)),), credential=replace(KEY, header="x"))),
        name="x", mount=Mount(source="x", read_only=("x",)),
    )  # fmt: skip
    for marked in (False, True):
        shape = [
            re.sub(r'"[^"]*"', '""', mermaid(picture(one, frozenset({(one.hosts[0].host, 443)} if marked else ()))))
            for one in (evil, plain)
        ]
        assert shape[0] == shape[1]
    inside = re.findall(r'"([^"]*)"', mermaid(picture(evil)).partition("flowchart LR")[2])
    assert inside
    assert all(re.fullmatch(r"[A-Za-z0-9 ,._/:()'-]*", re.sub("<br/>|#[0-9]+;", "", label)) for label in inside)
    kinds = {node.tag.rpartition("}")[2] for node in ET.fromstring(svg(picture(evil))).iter()}
    assert kinds <= {"svg", "title", "style", "defs", "marker", "path", "rect", "text"}
    assert "\x1b" not in svg(picture(evil)) + mermaid(picture(evil))
    assert "\u202e" not in svg(picture(evil)) + flat(mermaid(picture(evil)))


def test_same_picture_same_bytes() -> None:
    again = replace(SMALL, hosts=tuple(reversed(tuple(reversed(SMALL.hosts)))))
    assert svg(picture(SMALL)) == svg(picture(again))
    assert mermaid(picture(SMALL)) == mermaid(picture(again))


def boxes(document: str) -> list[tuple[float, float, float, float]]:
    found = [node.attrib for node in ET.fromstring(document).iter() if "box" in node.get("class", "").split()]
    return [tuple(float(box[key]) for key in ("x", "y", "width", "height")) for box in found]  # type: ignore[misc]


@pytest.mark.parametrize("count", [0, 1, 5, 50, 120, 500])
def test_texts_stay_in_their_boxes_and_boxes_apart(count: int) -> None:
    long = "-".join(["long"] * 12)
    hosts = [
        host(f"h{n}.{long}.{long}.example.com", grant(f"/a/{n}/**", f"/{'x' * 90}", credential=KEY if n % 3 else None))
        for n in range(count)
    ]
    document = svg(picture(bottle(*hosts)))
    placed = boxes(document)
    for index, (x, y, width, height) in enumerate(placed):
        for a, b, w, h in placed[:index]:
            assert x >= a + w or a >= x + width or y >= b + h or b >= y + height
    root = ET.fromstring(document)
    page = (0.0, 0.0, float(root.get("width", "")), float(root.get("height", "")))
    for node in root.iter("{http://www.w3.org/2000/svg}text"):
        left, base = float(node.get("x", "")), float(node.get("y", ""))
        right = left + 7.3 * len("".join(node.itertext()))
        around = [(x, y, w, h) for x, y, w, h in [*placed, page] if x <= left <= right <= x + w and y <= base <= y + h]
        assert around, node.text
    assert max(page[2:]) < 6000


def test_thousands_of_routes_are_counted_and_what_widens_is_shown() -> None:
    hosts = [host(f"h{n:04}.example.com", *(grant(f"/{m}") for m in range(20))) for n in range(1000)]
    drawn = picture(bottle(*hosts), frozenset({("h0999.example.com", 443)}))
    assert f"and {1000 - MAX_HOSTS} more hosts" in texts(svg(drawn))
    assert f"and {1000 - MAX_HOSTS} more hosts" in mermaid(drawn)
    assert "h0999.example.com" in texts(svg(drawn))
    assert "and 8 more rules" in "\n".join(texts(svg(drawn)))


def test_wrapping_loses_nothing() -> None:
    text = "GET, POST /a/very/long/path/that/goes/on and 3 more" + "y" * 80
    lines = wrapped(text, 20)
    assert max(map(len, lines)) <= 20
    assert "".join(line[2:] if index else line for index, line in enumerate(lines)) == text


def test_git_remotes_are_drawn_by_their_credential() -> None:
    from dataclasses import replace

    from bottlegen.plan import GitRemote

    url = "https://git.example.com/acme/"
    remotes = (
        GitRemote(
            name="a", url=f"{url}a", credential="GIT_KEY", fetch=("refs/heads/**",), push=("refs/heads/agent/**",)
        ),
        GitRemote(name="b", url=f"{url}b", fetch=("refs/heads/main",), force=True, secret_scan=False),
    )
    drawn = picture(replace(SMALL, remotes=remotes))
    assert [(card.title, card.number) for card in drawn.cards][-2:] == [("git, GIT_KEY", 2), ("git, no credential", 0)]
    assert (2, "git, GIT_KEY") in drawn.credentials
    assert drawn.cards[-2].hosts[0].rules == ("read refs/heads/**", "push refs/heads/agent/**")
    assert drawn.cards[-1].hosts[0].rules == ("read refs/heads/main", "push nothing", "force", "no scan for secrets")
