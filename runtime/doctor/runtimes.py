"""Which runtimes this host has, what keeps the others from it, and whether that is enough for the project's bundles."""

import os
from collections.abc import Callable, Iterable, Sequence

from bottlegen.errors import Problem
from runtime.bubblewrap import tools
from runtime.doctor.finding import Finding, of_problems
from runtime.host import Host
from runtime.registry import RUNTIMES

_STRENGTH = ("process", "container", "vm")


def runtimes(host: Host, demanded: Iterable[str]) -> list[Finding]:
    """Every runtime of the registry; `demanded` are the isolations that the bundles at hand ask for."""
    missing = {name: entry.why_not(host) for name, entry in RUNTIMES.items()}
    return judged(missing, host.config.runtime, max(demanded, key=_STRENGTH.index, default="process"))


def judged(missing: dict[str, tuple[Problem, ...]], named: str, demanded: str) -> list[Finding]:
    """`missing` has for each runtime why it cannot run here, `named` is what host.toml wants, `demanded` the strongest
    isolation that is asked for."""
    enough = _STRENGTH.index(demanded)
    strong = [name for name in missing if _STRENGTH.index(RUNTIMES[name].isolation) >= enough]
    able = [name for name in strong if not missing[name]]
    findings = []
    for name, problems in missing.items():
        needed = name == named or (not able and name in strong and named == "auto")
        if not problems:
            findings.append(Finding(level="ok", area="runtimes", what=f"{name}: {RUNTIMES[name].found}"))
        elif needed:
            why = "host.toml wants it" if name == named else f"no runtime here gives isolation '{demanded}'"
            findings += of_problems("runtimes", [_titled(name, problem) for problem in problems], why)
        else:
            what = f"{name}: not needed, and not here, as {problems[0].what}"
            findings.append(Finding(level="ok", area="runtimes", what=what, fix=problems[0].fix))
    return findings


def _titled(name: str, problem: Problem) -> Problem:
    return Problem(what=f"{name}: {problem.what}", where=problem.where, fix=problem.fix)


def namespaces(
    uid: Callable[[], int] = os.geteuid, forbidding: Callable[[], Sequence[str]] = tools.forbidding
) -> list[Finding]:
    """Whether a user who is not root may make namespaces, which bubblewrap and sidecars of microVMs stand on."""
    if uid() == 0:
        return [Finding(level="ok", area="kernel", what="root makes namespaces without leave of the kernel's settings")]
    if lines := forbidding():
        allowing = ", ".join(line.split()[2] for line in lines)
        return [
            Finding(
                level="warn",
                area="kernel",
                what=f"the kernel forbids user namespaces: {allowing} would allow it",
                why="without them neither bubblewrap nor the sidecars of microVMs can start",
                fix="\n".join(lines),
            )
        ]
    return [Finding(level="ok", area="kernel", what="the kernel lets users make namespaces")]
