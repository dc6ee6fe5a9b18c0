"""Routes into and out of a profile's text: the result parses to exactly the data that was meant, or there is none."""

import copy
import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bottlegen import source as source_module
from bottlegen.errors import ProfileError
from bottlegen.source import Source
from bottlegen.suggest import Block

_ROUTES = ("egress", "routes")


def toml(block: Block) -> str:
    """The lines of one `[[egress.routes]]`."""
    lines = [*(f"# {note}" for note in block.notes), "[[egress.routes]]", f"host = {json.dumps(block.host)}"]
    lines += [f"port = {block.port}"] if block.port != 443 else []
    lines += [f"methods = {json.dumps(list(block.methods))}"]
    if len(block.paths) > 1:
        lines += ["paths = [", *(f"    {json.dumps(path)}," for path in block.paths), "]"]
    elif block.paths:
        lines += [f"paths = {json.dumps(list(block.paths))}"]
    return "".join(f"{line}\n" for line in lines)


def data(block: Block) -> dict[str, Any]:
    """The same as a document has it."""
    port = {"port": block.port} if block.port != 443 else {}
    paths = {"paths": list(block.paths)} if block.paths else {}
    return {"host": block.host, **port, "methods": list(block.methods), **paths}


def patched(source: Source, blocks: Sequence[Block], unused: Iterable[int], runs: int) -> str | None:
    """The text of a TOML profile with `blocks` after its last line and its `unused` routes commented out.

    None when that would not be what the result says: in YAML, or where routes stand inside of other values.
    """
    if source.yaml_lines is not None:
        return None
    gone = frozenset(unused)
    lines = source.text.split("\n")
    spans = _spans(source, lines)
    if not gone <= spans.keys():
        return None
    for index in sorted(gone, reverse=True):
        first, last = spans[index]
        body = [f"# {line}" if line.strip() else line for line in lines[first - 1 : last]]
        ending = "\r" if lines[first - 1].endswith("\r") else ""
        lines[first - 1 : last] = [f"# used by none of {runs} observed runs:{ending}", *body]
    text = "\n".join(lines)
    if blocks:
        text += "" if text.endswith("\n") or not text else "\n"
        added = "".join(f"\n{toml(block)}" for block in blocks)
        text += added.replace("\n", "\r\n") if "\r\n" in text else added
    return text if _reads_as(source, text, blocks, gone) else None


def _spans(source: Source, lines: Sequence[str]) -> dict[int, tuple[int, int]]:
    """First and last line of each route that has a header of its own; comments after it belong to what follows."""
    spans: dict[int, tuple[int, int]] = {}
    current: int | None = None
    places = [*sorted((line, len(keys), keys) for keys, line in source.lines.items()), (len(lines) + 1, 0, ())]
    for line, _, keys in places:
        index = keys[2] if keys[:2] == _ROUTES and len(keys) > 2 else None
        if index == current:
            continue
        if current is not None:
            spans[current] = (spans[current][0], _last(lines, spans[current][0], line - 1))
        current = index if isinstance(index, int) else None
        if current is not None:
            spans[current] = (line, line)
    return {index: span for index, span in spans.items() if lines[span[0] - 1].lstrip().startswith("[[")}


def _last(lines: Sequence[str], first: int, last: int) -> int:
    while last > first and (not (text := lines[last - 1].strip()) or text[0] in "#["):
        last -= 1
    return last


def _reads_as(source: Source, text: str, blocks: Iterable[Block], gone: frozenset[int]) -> bool:
    try:
        found = source_module.parse_toml(source.name, text.encode()).data
    except ProfileError:
        return False
    meant: dict[str, Any] = copy.deepcopy(dict(source.data))
    old = meant.get("egress", {}).get("routes", [])
    routes = [route for index, route in enumerate(old) if index not in gone] + [data(block) for block in blocks]
    meant.setdefault("egress", {})["routes"] = routes
    return _plain(meant) == _plain(copy.deepcopy(dict(found)))


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """Without the empty tables and lists that say nothing."""
    if not document.get("egress", {}).get("routes", True):
        del document["egress"]["routes"]
    if not document.get("egress", True):
        del document["egress"]
    return document


def unified(name: str, old: str, new: str) -> str:
    """A diff for `git apply` and `patch -p1`; empty when nothing changes."""
    if old == new:
        return ""
    end = "\t" if re.search(r"\s", name) else ""  # as git ends a name with blanks
    lines = difflib.unified_diff(_lines(old), _lines(new), f"a/{name}{end}", f"b/{name}{end}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    return [*_ended(text.split("\n"))]


def _ended(parts: Sequence[str]) -> Iterator[str]:
    yield from (f"{part}\n" for part in parts[:-1])
    if parts[-1]:
        yield parts[-1]
