"""Which updates of a push a remote's rules allow: decided on refs alone, before any object is looked at."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from settings import Pattern, Remote

_TAGS = "refs/tags/"
_MAX_PROFILE_PATTERNS = 20


@dataclass(frozen=True)
class Update:
    """One ref that a push would change; `old` or `new` is zeros where there is none before or after."""

    old: str
    new: str
    ref: str

    @property
    def makes(self) -> bool:
        return not self.old.strip("0")

    @property
    def deletes(self) -> bool:
        return not self.new.strip("0")


@dataclass(frozen=True)
class Refusal:
    """Why something is refused: `rule` is the field of the profile that decides, `allows` what it would have to say."""

    what: str
    rule: str
    allows: str = ""


def parse(lines: Iterable[str]) -> tuple[Update, ...]:
    """What receive-pack tells its hook (githooks(5), pre-receive)."""
    return tuple(Update(*line.rstrip("\n").split(" ", 2)) for line in lines)


def refusals(remote: Remote, updates: Sequence[Update], is_ancestor: Callable[[str, str], bool]) -> Iterator[Refusal]:
    """Every rule that an update breaks; `is_ancestor` tells whether its first commit is in the second's history."""
    for update in updates:
        if found := _refusal(remote, update, is_ancestor):
            yield found


def _refusal(remote: Remote, update: Update, is_ancestor: Callable[[str, str], bool]) -> Refusal | None:
    ref, tag = update.ref, update.ref.startswith(_TAGS)
    field, patterns = ("tags", remote.tags) if tag else ("push", remote.push)
    if not any(pattern.covers(ref) for pattern in patterns):
        return Refusal(f"{ref} is outside of what may be pushed", _field(field, patterns), _added(field, ref, patterns))
    if update.deletes:
        return None if remote.delete else Refusal(f"{ref} would be deleted", "delete = false", "delete = true")
    if update.makes or remote.force:
        return None
    if tag:
        return Refusal(f"{ref} is there already and would be moved", "force = false", "force = true")
    if not is_ancestor(update.old, update.new):
        what = f"{ref} would lose commits (not a fast-forward): fetch, and add to what is there"
        return Refusal(what, "force = false", "force = true")
    return None


def _field(field: str, patterns: Sequence[Pattern]) -> str:
    shown = [f'"{pattern.text}"' for pattern in patterns[:_MAX_PROFILE_PATTERNS]]
    return f"{field} = [{', '.join(shown)}{', …' if len(patterns) > len(shown) else ''}]"


def _added(field: str, ref: str, patterns: Sequence[Pattern]) -> str:
    return _field(field, [*patterns[: _MAX_PROFILE_PATTERNS - 1], Pattern(ref, "")])


def message(profile: str, remote: Remote, found: Sequence[Refusal]) -> str:
    """What the agent reads: each refusal with its line of the profile, and how a person would allow it."""
    parts = ["git-gate: this push is refused; nothing has left the bottle"]
    for refusal in found:
        parts.append(f"  {refusal.what}")
        parts.append(f'    rule: profile "{profile}", git.remotes "{remote.name}": {refusal.rule}')
        if refusal.allows:
            parts.append(f"    a person may change that to: {refusal.allows}")
    parts.append("  what may be pushed stands in ~/.config/bottle/git-gate.md")
    return "\n".join(parts)
