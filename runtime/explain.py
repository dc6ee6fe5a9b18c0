"""The `explain` task: whether one request would pass, by which line of which file, and with which credential."""

import json
import sys
from pathlib import Path

from bottlegen import explain_git
from bottlegen.explain import Explanation, explain, parse
from bottlegen.git_reach import readable, writable
from bottlegen.pipeline import load_profile, preview
from bottlegen.wording import shown as quoted
from runtime.build import pins_of, place_of, shown

DENIED = 2
"""The exit status beside 0, which means allowed."""


def explain_request(asked: str, request: str, *, as_json: bool, cwd: Path) -> int:
    """Print what the sidecar would do; the exit status."""
    about_git = explain_git.parse(request)
    if about_git:
        return _explain_git(about_git, asked, as_json=as_json, cwd=cwd)
    question = parse(request)
    place = place_of(asked, cwd)
    profile = load_profile(shown(place.profile))
    found = explain(question, profile, preview(profile, pins_of(place)))
    if as_json:
        json.dump(_document(found), sys.stdout, indent=2)
        print()
    else:
        print("\n".join(_lines(found, profile.agent.template)))
    return 0 if found.decision.allowed else DENIED


def _explain_git(question: explain_git.GitAsked, asked: str, *, as_json: bool, cwd: Path) -> int:
    place = place_of(asked, cwd)
    profile = load_profile(shown(place.profile))
    preview(profile, pins_of(place))  # a profile that cannot be combined allows nothing
    found = explain_git.explain(question, profile)
    if as_json:
        json.dump(_git_document(found), sys.stdout, indent=2)
        print()
    else:
        print("\n".join(_git_lines(found)))
    return 0 if found.rule else DENIED


def _git_document(found: explain_git.GitExplanation) -> dict[str, object]:
    line, remote = found.line, found.remote
    return {
        "allowed": bool(found.rule),
        "rule": found.rule or None,
        "remote": remote.name if remote else None,
        "from": [{"file": line.file, "line": line.line, "field": line.field}] if line else [],
        "credential": {"token_ref": remote.credential} if remote and remote.credential else None,
    }


def _git_lines(found: explain_git.GitExplanation) -> list[str]:
    asked, remote = _plain(str(found.asked)), found.remote
    if remote is None:
        return [f"denied   {asked}", "  answer      no git.remotes of the profile has this url"]
    if not found.rule:
        allowed = ", ".join(readable(remote) if found.asked.verb == "fetch" else writable(remote)) or "nothing"
        return [f"denied   {asked}", f"  from        {found.line}", f"  allowed is  {allowed}"]
    lines = [f"allowed  {asked}", f"  rule        {found.rule}", f"  from        {found.line}"]
    lines.append(f"  credential  {remote.credential or 'none'}, which the gate holds and the agent never has")
    if found.asked.verb == "push":
        unless = [
            word for word, allowed in (("drops commits", remote.force), ("deletes", remote.delete)) if not allowed
        ]
        unless += ["holds a secret"] if remote.secret_scan else []
        lines.append(f"  unless      it {', '.join([*unless, 'is Git LFS'])}, or has over {remote.max_size} bytes")
    return lines


def _document(found: Explanation) -> dict[str, object]:
    slot = found.slot
    return {
        "allowed": found.decision.allowed,
        "status": found.decision.status or None,
        "reason": found.reason or None,
        "rule": found.decision.rule or None,
        "from": [{"file": line.file, "line": line.line, "field": line.field} for line in found.lines],
        "from_provider": found.provided,
        "credential": {"token_ref": slot.token_ref, "header": slot.header, "scheme": slot.scheme} if slot else None,
        "http2_only": found.http2_only,
        "forwarded_path": found.decision.path if found.decision.allowed else None,
        "inspected": found.inspected if found.decision.allowed else None,
    }


def _lines(found: Explanation, provider: str) -> list[str]:
    asked = _plain(str(found.asked))
    if not found.decision.allowed:
        return [f"denied   {asked}", f"  answer      {found.decision.status}: {found.reason}", *_near(found)]
    rule, slot = found.rule, found.slot
    assert rule is not None
    methods, paths = " ".join(rule.methods) or "any method", " ".join(map(str, rule.paths)) or "any path"
    lines = [f"allowed  {asked}", f"  rule        {rule.name}: {methods}, {paths}"]
    origins = [str(line) for line in found.lines] + ([f"the provider '{provider}'"] if found.provided else [])
    lines += [f"  {'from' if index == 0 else '':10}  {origin}" for index, origin in enumerate(origins)]
    if slot:
        sent = f"{slot.header}: {slot.scheme + ' ' if slot.scheme else ''}…"
        lines.append(f"  credential  {slot.token_ref}, sent as '{sent}'")
    else:
        lines.append("  credential  none is added; what the agent sends passes")
    if found.decision.path != found.asked.target.partition("?")[0]:
        lines.append(f"  forwarded   as {quoted(found.decision.path)}")
    if found.http2_only:
        lines.append("  over        HTTP/2 alone; over HTTP/1.1 the answer to this method is 400")
    return [*lines, f"  inspection  {_inspection(found)}"]


def _inspection(found: Explanation) -> str:
    if found.inspected:
        return "pipelock reads it, and refuses what must not leave"
    passed = found.host_rules is not None and found.host_rules.tls_passthrough
    return "none: tls_passthrough" if passed else "none: the profile has no [pipelock]"


def _plain(text: str) -> str:
    """A request as it was typed, without what would move a cursor."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def _near(found: Explanation) -> list[str]:
    """What the deciding host does allow: a missing method or path is seen at once."""
    if found.host_rules is None:
        return []
    rules = found.host_rules
    rows = (
        f"{' '.join(rule.methods) or 'any method'}, {' '.join(map(str, rule.paths)) or 'any path'}"
        for rule in rules.rules[:5]
    )
    return [f"  {'allowed is' if index == 0 else '':10}  {row}" for index, row in enumerate(rows)]
