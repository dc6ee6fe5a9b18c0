"""Why a fetch or push of one ref is allowed or denied: the gate's own decision, and the remote of the profile."""

from dataclasses import dataclass

from bottlegen.errors import UsageError, Where
from bottlegen.git_fields import parse_url
from bottlegen.git_reach import readable, writable
from bottlegen.paths import PathPattern
from bottlegen.plan import GitRemote
from bottlegen.profile import REMOTES, Profile
from bottlegen.wording import Refusal, shown

_EXAMPLE = '--request "git push https://github.com/acme/site agent/fix"'


@dataclass(frozen=True, slots=True, kw_only=True)
class GitAsked:
    """`git fetch` or `git push` of one whole ref."""

    verb: str
    url: str
    ref: str

    def __str__(self) -> str:
        return f"git {self.verb} {self.url} {self.ref}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitExplanation:
    """`rule` is the pattern that allows it, else empty; `remote` None where the profile has none of the URL."""

    asked: GitAsked
    rule: str = ""
    remote: GitRemote | None = None
    line: Where | None = None


def parse(request: str) -> GitAsked | None:
    """A question about git, or None for another; UsageError for one that is not understood."""
    words = request.split()
    if words[:1] != ["git"]:
        return None
    if len(words) != 4 or words[1] not in ("fetch", "push"):
        raise UsageError(f"{shown(request)} is no question about git", fix=_EXAMPLE)
    ref = words[3] if words[3].startswith("refs/") else f"refs/heads/{words[3]}"
    try:
        return GitAsked(verb=words[1], url=str(parse_url(words[2])), ref=ref)
    except Refusal as e:
        raise UsageError(e.what, fix=e.fix) from e


def explain(asked: GitAsked, profile: Profile) -> GitExplanation:
    """What the gate of this profile does with it; a push that forces, deletes, is large or leaks has more rules."""
    place = _place(asked.url)
    for index, remote in enumerate(profile.remotes):
        if _place(remote.url) == place:
            patterns = readable(remote) if asked.verb == "fetch" else writable(remote)
            rule = next((text for text in patterns if PathPattern.parse(f"/{text}").matches(f"/{asked.ref}")), "")
            return GitExplanation(asked=asked, rule=rule, remote=remote, line=profile.where(*REMOTES, index))
    return GitExplanation(asked=asked)


def _place(url: str) -> tuple[str, str]:
    parsed = parse_url(url)
    return parsed.host, parsed.path
