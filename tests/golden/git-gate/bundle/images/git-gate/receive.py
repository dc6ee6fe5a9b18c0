"""The hook of a push (githooks(5), pre-receive): every rule first, then the remote itself; its answer is the answer.

The new objects are in git's quarantine: what is refused here was never part of the mirror, and nothing of it has left.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import audit
import mirror
import rules
import scan
from rules import Refusal, Update
from settings import Remote, Settings, current
from upstream import Route, Unreachable, environment, reason


def main() -> int:
    settings = current()
    remote = next(remote for remote in settings.remotes if remote.name == Path.cwd().name)
    updates = rules.parse(sys.stdin)
    refs = [update.ref for update in updates]
    try:
        if refused := _refused(settings, remote, updates):
            print(rules.message(settings.profile, remote, refused), file=sys.stderr)
            names = "; ".join(dict.fromkeys(refusal.rule for refusal in refused))
            audit.write("PUSH", "deny", remote, status="refused", refs=refs, rule=names, details=refused[0].what)
            return 1
        mirror.hold(settings, remote)
        failed = _push(settings, remote, updates)
    except (Unreachable, OSError) as e:
        failed = str(e)
        print(f"git-gate: {failed}", file=sys.stderr)
    audit.write("PUSH", "allow", remote, status="rejected" if failed else "pushed", refs=refs, details=failed)
    return 1 if failed else 0


def _refused(settings: Settings, remote: Remote, updates: Sequence[Update]) -> list[Refusal]:
    """Everything that a rule has against the push; what costs more is only looked at when the refs are allowed."""
    found = list(rules.refusals(remote, updates, _is_ancestor))
    if not found and (size := _size()) > remote.max_size:
        found.append(Refusal(f"the push has {size} bytes", f"max_size = {remote.max_size}", f"max_size = {size}"))
    return found or [_as_refusal(finding) for finding in _scanned(settings, remote, updates)]


def _is_ancestor(old: str, new: str) -> bool:
    done = subprocess.run(["git", "merge-base", "--is-ancestor", old, new], stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def _size() -> int:
    """Bytes of what came, which git has put apart (git-receive-pack(1), quarantine)."""
    folder = os.environ.get("GIT_QUARANTINE_PATH")
    if not folder:
        return 0
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".idx")


def _scanned(settings: Settings, remote: Remote, updates: Sequence[Update]) -> list[scan.Finding]:
    new = [update.new for update in updates if not update.deletes]
    if not new:
        return []
    env = dict(os.environ)
    if not remote.secret_scan:
        return scan.objects(env, new, None, set())
    slots = {remote.slot for remote in settings.remotes if remote.slot}
    own = [settings.credential(slot).read_bytes().strip() for slot in sorted(slots)]
    shapes = scan.Shapes(settings.shapes, own, settings.known())
    told = [what for update in updates for what in shapes.found(update.ref.encode())]
    named = [scan.Finding("secret", what, "the name of a ref") for what in told]
    large: set[str] = set()
    found = scan.objects(env, new, shapes, large)
    return named + found + scan.pipelock(env, new, large)


def _as_refusal(finding: scan.Finding) -> Refusal:
    if finding.kind == "lfs":
        return Refusal(f"{finding.where} is a Git LFS pointer, whose content cannot pass the gate", "no Git LFS")
    what = f"{finding.where} holds {finding.what}; take it out of every commit of this push, and revoke it"
    return Refusal(what, "secret_scan = true")


def _push(settings: Settings, remote: Remote, updates: Sequence[Update]) -> str:
    """Push what was allowed here, if the remote's refs still are where the agent saw them; why it failed, or ''."""
    several = ["--atomic"] if len(updates) > 1 else []
    # A lease is also an order to force: that no commit is lost was decided above, on the same two values.
    leases = [f"--force-with-lease={update.ref}:{'' if update.makes else update.old}" for update in updates]
    pushed = [f"{'' if update.deletes else update.new}:{update.ref}" for update in updates]
    argv = ["git", "push", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", *several]
    done = subprocess.run(
        [*argv, *leases, Route(settings, remote).url, *pushed], env=environment(settings, remote),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    for line in done.stderr.splitlines():
        if line.startswith("remote:") and (said := line.removeprefix("remote:").strip()):
            print(said, file=sys.stderr)
    if not done.returncode:
        return ""
    rejected = [line.split("\t", 2)[1:] for line in done.stdout.splitlines() if line.startswith("!\t")]
    failed = "; ".join(f"{pair.partition(':')[2]} {why}" for pair, why in rejected) or reason(done.stderr, remote)
    print(f"git-gate: {remote.host} did not take this push: {failed}", file=sys.stderr)
    if "stale info" in failed:
        print("git-gate: somebody else has pushed meanwhile: fetch, and push again", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
