"""The git gate: what an agent may read and push, and of which remotes, as data; git's own server parts enforce it.

The gate (bottlegen/images/git-gate) reads exactly the file that is made here, so what is reviewed is what is enforced.
"""

import json
from collections.abc import Iterator, Mapping, Sequence

from bottlegen.decide import covering
from bottlegen.errors import PlanError, Problem
from bottlegen.git_fields import GitUrl, parse_url
from bottlegen.paths import PathPattern
from bottlegen.pins import Pins
from bottlegen.plan import (
    AgentFile,
    AgentShare,
    GitRemote,
    Image,
    Listening,
    RenderedFile,
    Resources,
    SidecarPlan,
    Slot,
)
from bottlegen.profile import Profile
from bottlegen.render import canonical_json
from bottlegen.routes import RouteSet
from bottlegen.sidecars.addresses import REFUSED
from bottlegen.sidecars.git_gate_shapes import SHAPES

NAME = "git-gate"
FORMAT = 1
PORT = 9418
"""Of the git protocol (git-daemon(1))."""

RULES = f"sidecars/{NAME}/gate.json"
BASE = f"/run/{NAME}"
CONFIG = f"{BASE}/gate.json"
UPSTREAM_CA = f"{BASE}/upstream-ca.pem"
SCRATCH = f"/var/lib/{NAME}"
NOTES = ".config/bottle/git-gate.md"
"""What the agent is told, below its home."""

_PREFACE = """\
# Git in this bottle

These repositories are reached through a gate that holds their credentials. Use their usual URLs with plain git: no
login, no token. What is not listed here is refused before anything leaves, with the reason. Do not work around it: ask
a person to change the profile "{profile}".
"""
_END = """\
Git LFS does not pass the gate. A push whose commits hold what looks like a credential is refused: rewrite them.
"""

_IN_NAMES = "-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
_MIB = 1024 * 1024
_Document = dict[str, object]


def prepare(profile: Profile, routes: RouteSet, pins: Pins) -> SidecarPlan | None:
    """None without remotes: nothing then speaks git's protocol in the bottle."""
    remotes = tuple(sorted(profile.remotes, key=lambda remote: remote.name))
    if not remotes:
        return None
    _refuse_twins(remotes)
    if profile.inspection:
        _refuse_inspected(remotes, routes)
    slots = slots_of(remotes)
    ssh = any(parse_url(remote.url).transport == "ssh" for remote in remotes)
    return SidecarPlan(
        name=NAME,
        image=Image(
            context=f"images/{NAME}", base=pins.base, artifacts=pins.artifacts("pipelock") if profile.inspection else ()
        ),
        command=("python3", "-E", "-s", "-S", "-B", f"/opt/{NAME}/serve.py", BASE, SCRATCH),
        files=(RenderedFile(path=RULES, data=render(profile, remotes, slots)),),
        networks=("bottle", "chain" if profile.inspection else "outside"),
        listening=Listening(ports=(PORT,), config=CONFIG, trust=UPSTREAM_CA),
        tmpfs=((BASE, 16 * _MIB), ("/tmp", 16 * _MIB)),  # noqa: S108 - in the sidecar
        scratch=(SCRATCH,),
        programs=("git", *(("ssh",) if ssh else ())),
        resources=Resources(cpus=2, memory=512 * _MIB, pids=256),
        slots=slots,
        agent=AgentShare(
            files=(AgentFile(path=NOTES, content=notes(profile.name, remotes), mode=0o644),),
            read=NOTES,
            git=tuple(setting for remote in remotes for setting in _settings(remote, routes)),
        ),
    )


def render(profile: Profile, remotes: Sequence[GitRemote], slots: Sequence[Slot]) -> bytes:
    """All that the gate knows of the profile; of a credential it has the slot's name."""
    names = {(slot.token_ref, slot.scheme): slot.name for slot in slots}
    patterns = profile.inspection.patterns if profile.inspection else ()
    more = [[f"what the profile calls {json.dumps(name)}", "", regex] for name, regex in patterns]
    return _document(profile.name, [_entry(remote, names) for remote in remotes], more)


def read(rules: bytes, tokens: Mapping[str, str]) -> tuple[GitRemote, ...]:
    """The remotes that rendered rules speak of; `tokens` gives the host's name for each slot. KeyError or ValueError
    when these are not as `render` makes them."""
    return tuple(
        GitRemote(
            name=entry["name"],
            url=entry["url"],
            credential=tokens[entry["slot"]] if entry["slot"] else "",
            username=entry["username"],
            known_hosts=tuple(entry["known_hosts"]),
            fetch=_read_patterns(entry["fetch"]),
            push=_read_patterns(entry["push"]),
            tags=_read_patterns(entry["tags"]),
            force=entry["force"],
            delete=entry["delete"],
            max_size=entry["max_size"],
            secret_scan=entry["secret_scan"],
        )
        for entry in json.loads(rules)["remotes"]
    )


def again(profile_name: str, rules: bytes) -> bytes:
    """The rules as this version makes them of what they say: other bytes would enforce something else than is read."""
    slots = {entry["name"]: entry["slot"] for entry in json.loads(rules)["remotes"]}
    tokens = {slot: slot for slot in slots.values()}
    remotes = read(rules, tokens)
    names = {(remote.credential, _scheme(parse_url(remote.url))): slots[remote.name] for remote in remotes}
    more = json.loads(rules)["secret_shapes"][len(SHAPES) :]
    return _document(profile_name, [_entry(remote, names) for remote in remotes], more)


def _document(profile_name: str, remotes: list[_Document], more: list[list[str]]) -> bytes:
    return canonical_json(
        {
            "format": FORMAT,
            "profile": profile_name,
            "port": PORT,
            "remotes": remotes,
            "secret_shapes": [*map(list, SHAPES), *more],
            "refused_addresses": [f"{address}/{bits}" for address, bits in REFUSED],
        }
    )


def slots_of(remotes: Sequence[GitRemote]) -> tuple[Slot, ...]:
    """One slot for each credential and the way in which it is used, whatever number of remotes it serves."""
    hosts: dict[tuple[str, str], set[str]] = {}
    for remote in remotes:
        if remote.credential:
            url = parse_url(remote.url)
            hosts.setdefault((remote.credential, _scheme(url)), set()).add(url.host)
    return tuple(
        Slot(
            name=f"GIT_GATE_TOKEN_{index}",
            token_ref=ref,
            scheme=scheme,
            header="authorization" if scheme == "Basic" else "",
            hosts=tuple(sorted(hosts[ref, scheme])),
        )
        for index, (ref, scheme) in enumerate(sorted(hosts))
    )


def _scheme(url: GitUrl) -> str:
    return "Basic" if url.transport == "https" else "ssh-key"


def _entry(remote: GitRemote, slots: dict[tuple[str, str], str]) -> _Document:
    url = parse_url(remote.url)
    return {
        "name": remote.name,
        "url": remote.url,
        "transport": url.transport,
        "host": url.host,
        "port": url.port,
        "user": url.user,
        "path": url.path + url.suffix,
        "username": remote.username,
        "known_hosts": remote.known_hosts,
        "slot": slots.get((remote.credential, _scheme(url)), ""),
        "fetch": _patterns(remote.fetch),
        "push": _patterns(remote.push),
        "tags": _patterns(remote.tags),
        "force": remote.force,
        "delete": remote.delete,
        "max_size": remote.max_size,
        "secret_scan": remote.secret_scan,
    }


def _patterns(patterns: Sequence[str]) -> list[_Document]:
    """Each as it is written, and the expression that decides, which the gate needs no reading of ours for."""
    return [{"pattern": pattern, "regex": PathPattern.parse(f"/{pattern}").regex()[1:]} for pattern in patterns]


def _read_patterns(entries: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    patterns = tuple(entry["pattern"] for entry in entries)
    if _patterns(patterns) != entries:
        raise ValueError("a pattern that decides otherwise than it reads")
    return patterns


def _refuse_twins(remotes: Sequence[GitRemote]) -> None:
    seen: dict[str, GitRemote] = {}
    problems = []
    for remote in remotes:
        for key in (f"name '{remote.name}'", f"url '{_bare(parse_url(remote.url))}'"):
            first = seen.setdefault(key, remote)
            if first is not remote:
                what = f"plan conflict: {first.origin} and {remote.origin} have the same {key}"
                problems.append(Problem(what=what, fix="remove one of the two, or join their patterns"))
    if problems:
        raise PlanError(problems)


def _refuse_inspected(remotes: Sequence[GitRemote], routes: RouteSet) -> None:
    """Pipelock knows hosts and not who asks: one cannot be read for egress and passed for the gate."""
    problems = []
    for remote in remotes:
        for host in sorted({*_inspected(parse_url(remote.url).host, routes)}):
            what = f"plan conflict: git passes pipelock unread ({remote.origin}), and routes have '{host}' inspected"
            fix = "set pipelock.tls_passthrough = true on every route and token of that host, or remove them"
            problems.append(Problem(what=what, fix=fix))
    if problems:
        raise PlanError(problems)


def _inspected(name: str, routes: RouteSet) -> Iterator[str]:
    """What of the routes has traffic to this host inspected, on any port."""
    for port in {port for _, port, _ in routes.destinations}:
        if (rules := covering(routes, name, port)) and not rules.tls_passthrough:
            yield rules.host
    yield from (token.host for token in routes.tokens if token.host == name and not token.tls_passthrough)


def _bare(url: GitUrl) -> str:
    port = f":{url.port}" if url.port not in (443, 22) else ""
    return f"{url.host}{port}{url.path}"


def _settings(remote: GitRemote, routes: RouteSet) -> list[tuple[str, str]]:
    """Every way in which the remote is commonly written leads to the gate (url.<base>.insteadOf, git-config(1)).

    git compares beginnings, and the longest decides: where egress leads to the host too, every longer name is led to
    itself, so that `acme/x` takes nothing of `acme/x-y` and `acme/x.github.io`. Else they have no way at all.
    """
    url = parse_url(remote.url)
    user = url.user or "git"
    spellings = [f"https://{_bare(url)}", f"ssh://{user}@{_bare(url)}", f"{user}@{url.host}:{url.path[1:]}"]
    if url.transport == "https" and url.port != 443:
        spellings = spellings[:1]
    if url.transport == "ssh" and url.port != 22:
        spellings = spellings[1:2]
    here = f"url.git://{NAME}/{remote.name}.insteadOf"
    own = [(here, spelling + suffix) for spelling in spellings for suffix in ("", ".git")]
    if covering(routes, url.host, url.port) is None or not spellings[0].startswith("https://"):
        return own
    longer = [spellings[0] + suffix + char for suffix in ("", ".git") for char in _IN_NAMES]
    return own + [(f"url.{name}.insteadOf", name) for name in longer]


def notes(profile_name: str, remotes: Sequence[GitRemote]) -> str:
    """What an agent has to know before it pushes, in words."""
    parts = [_PREFACE.format(profile=profile_name)]
    parts += [_note(remote) for remote in remotes]
    parts.append(_END)
    return "\n".join(parts)


def _note(remote: GitRemote) -> str:
    writes = [*remote.push, *remote.tags]
    lines = [
        f"## {remote.url}",
        "",
        f"- also: `git://{NAME}/{remote.name}`",
        f"- you may fetch: {_listed(remote.fetch)}",
        f"- you may push: {_listed(writes) if writes else 'nothing, it is read-only for you'}",
    ]
    if writes:
        lines += [
            f"- force-push: {'allowed there' if remote.force else 'refused; add commits instead'}",
            f"- delete: {'allowed there' if remote.delete else 'refused'}",
            f"- one push is at most {remote.max_size} bytes",
        ]
    return "\n".join(lines) + "\n"


def _listed(patterns: Sequence[str]) -> str:
    return ", ".join(f"`{pattern}`" for pattern in patterns)
