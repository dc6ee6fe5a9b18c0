"""The `suggest` task: what observed runs were refused, and what they never used, as a patch of their profile."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from bottlegen.errors import UsageError
from bottlegen.locate import Place
from bottlegen.observed import Observed
from bottlegen.pipeline import load_profile, preview
from bottlegen.profile import Profile
from bottlegen.profile_patch import data, patched, toml, unified
from bottlegen.source import read_file
from bottlegen.suggest import Block, Left, Proposal, propose
from runtime.build import pins_of, place_of, shown
from runtime.host import this_host
from runtime.observe import forget, load
from runtime.state import State

_FORMAT = 1


def suggest_patch(asked: str, *, as_json: bool, drop: bool, cwd: Path) -> None:
    """Print the patch, or with `drop` forget what it would be made of."""
    host = this_host()
    state = State.of(host.env, host.home)
    place = place_of(asked, cwd)
    if drop:
        print(f"{place.name}: {'forgotten' if forget(place.profile, state) else 'nothing was recorded'}")
        return
    observed = load(place.profile, state)
    if observed is None:
        raise UsageError(
            f"no run of profile '{place.name}' was observed",
            fix=f"bottlegen up --profile {place.name} --observe, let the agent work, and end it",
        )
    profile = load_profile(shown(place.profile))
    view = preview(profile, pins_of(place))
    proposal = propose(observed, profile, view.routes, view.provided)
    text = _patched(profile, place, proposal, observed.runs)
    path = place.profile.resolve()  # git patches nothing through a link
    base = next(folder for folder in (cwd.resolve(), place.root.resolve(), path.parent) if path.is_relative_to(folder))
    patch = unified(_name(path.relative_to(base)), profile.sources[-1].text, text)
    if as_json:
        json.dump(_document(place, observed, proposal, patch), sys.stdout, indent=2)
        print()
        return
    _tell(proposal.left, observed)
    if not patch:
        print(f"nothing to change in '{shown(place.profile)}'", file=sys.stderr)
    elif base != cwd.resolve():
        print(f"apply it in '{base}'", file=sys.stderr)
    sys.stdout.write(patch)


def _patched(profile: Profile, place: Place, proposal: Proposal, runs: int) -> str:
    """The new text, which has been loaded and combined with its provider; UsageError shows what to write by hand."""
    source = profile.sources[-1]
    if not proposal.blocks and not proposal.unused:
        return source.text
    text = patched(source, proposal.blocks, proposal.unused, runs)
    if text is None:
        what = "is YAML" if source.yaml_lines is not None else "holds its routes inside of other values"
        raise UsageError(
            f"'{source.name}' {what}, which cannot be patched",
            fix="\n".join(_by_hand(profile, proposal, yaml=source.yaml_lines is not None)),
        )
    new = text.encode()
    preview(load_profile(source.name, lambda name: new if name == source.name else read_file(name)), pins_of(place))
    return text


def _by_hand(profile: Profile, proposal: Proposal, *, yaml: bool) -> Iterable[str]:
    source = profile.sources[-1]
    for index in proposal.unused:
        yield f"remove, as it is unused: {source.where(('egress', 'routes', index))}"
    if proposal.blocks:
        yield "add to egress.routes:"
    for block in proposal.blocks:
        if yaml:  # JSON is YAML
            yield from (*(f"  # {note}" for note in block.notes), f"  - {json.dumps(data(block))}")
        else:
            yield from toml(block).splitlines()


def _name(path: Path) -> str:
    name = path.as_posix()
    if not name.isprintable() or '"' in name or "\\" in name:
        raise UsageError("the profile's path holds quotes, backslashes or control characters", fix="rename it")
    return name


def _tell(left: Iterable[Left], observed: Observed) -> None:
    for entry in left:
        print(f"not suggested: {entry.what}: {entry.reason}", file=sys.stderr)
    if observed.dropped:
        print(
            f"not recorded: {observed.dropped} refused requests: too many, too long, or with what looks like a secret",
            file=sys.stderr,
        )


def _document(place: Place, observed: Observed, proposal: Proposal, patch: str) -> dict[str, object]:
    return {
        "format": _FORMAT,
        "profile": place.name,
        "file": shown(place.profile),
        "runs": observed.runs,
        "dropped": observed.dropped,
        "add": [_entry(block) for block in proposal.blocks],
        "unused": list(proposal.unused),
        "left": [{"what": entry.what, "reason": entry.reason} for entry in proposal.left],
        "patch": patch,
    }


def _entry(block: Block) -> dict[str, object]:
    return {**data(block), "port": block.port, "notes": list(block.notes)}
