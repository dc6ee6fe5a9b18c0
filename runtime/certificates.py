"""Which term's leaf certificates a bottle shows its agent, and until when: dates in a file beside its bundle, no key.

A term gives way to the next when a third of its life is left, which is when the next begins.
"""

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bottlegen.errors import HostError
from runtime.ca import Term


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """The terms that were signed at the start, and the number of the one in use."""

    terms: tuple[Term, ...]
    used: int = 0

    @property
    def ends(self) -> datetime.datetime:
        return self.terms[self.used].ends

    def due(self, now: datetime.datetime) -> int:
        """The term to use now: the newest that has begun."""
        return max((number for number, term in enumerate(self.terms) if term.begins <= now), default=0)

    def over(self, now: datetime.datetime) -> bool:
        """Whether no term is good any more, or none yet: the clock was set back."""
        due = self.terms[self.due(now)]
        return not due.begins <= now < due.ends

    def using(self, term: int) -> "Certificates":
        return replace(self, used=term)

    def said(self, bottle: str, now: datetime.datetime) -> str:
        """What a user should know; nothing while more than a third of the life in use is left."""
        if self.over(now):
            first, last = _day(self.terms[0].begins), _day(self.terms[-1].ends)
            return (
                f"the certificates of bottle '{bottle}' are good from {first} to {last}, and this host's clock says"
                f" {_day(now)}: its agent reaches nothing"
            )
        used = self.terms[self.used]
        if now >= used.ends:
            return f"the certificates of bottle '{bottle}' ended on {_day(used.ends)}: its agent reaches nothing"
        newest = self.used == len(self.terms) - 1
        near = now >= used.ends - (used.ends - used.begins) / 3 if newest else self.due(now) != self.used
        return f"the certificates of bottle '{bottle}' end on {_day(used.ends)}" if near else ""

    def fix(self, bottle: str, now: datetime.datetime) -> str:
        """What to type then."""
        last = self.used == len(self.terms) - 1 or self.over(now)
        return f"bottlegen down --name {bottle}, then up" if last else f"bottlegen refresh --name {bottle}"


def write(path: Path, certificates: Certificates) -> None:
    """Whole or not at all; HostError when it cannot be."""
    terms = [[term.begins.isoformat(), term.ends.isoformat()] for term in certificates.terms]
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(json.dumps({"terms": terms, "used": certificates.used}))
        new.replace(path)
    except OSError as e:
        raise HostError(f"cannot write '{path}': {e.strerror}", fix=f"df -h '{path.parent}'") from e


def read(path: Path) -> Certificates | None:
    """What `write` wrote; None where there is nothing of that form, as for a bottle of an older version."""
    try:
        tree = json.loads(path.read_text())
        found = Certificates(terms=_terms(tree["terms"]), used=int(tree["used"]))
        timed = all(term.begins.tzinfo and term.ends.tzinfo for term in found.terms)
        return found if timed and 0 <= found.used < len(found.terms) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _terms(written: Sequence[Sequence[str]]) -> tuple[Term, ...]:
    moments = [tuple(map(datetime.datetime.fromisoformat, pair)) for pair in written]
    return tuple(Term(begins=begins, ends=ends) for begins, ends in moments)


def _day(moment: datetime.datetime) -> str:
    return moment.date().isoformat()
