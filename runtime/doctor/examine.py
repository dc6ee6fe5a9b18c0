"""Every probe at once, each on a thread that is waited for no longer than a bound: what hangs is a finding too."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

from bottlegen.errors import BottlegenError, HostError, Problem
from runtime.bubblewrap import tools
from runtime.doctor import bottles, clock, logins, project, runtimes, space, trust, versions
from runtime.doctor.finding import Finding, Probe, of_problems
from runtime.host import Host, HostConfig, load_host
from runtime.state import State

_T = TypeVar("_T")

PATIENCE = 5.0
"""Seconds until what has not answered is said to hang; a probe over the network gets as long for itself."""


def examine(host: Host, cwd: Path, *, online: bool) -> list[Finding]:
    """All findings, grouped by area in a fixed order."""
    try:
        asked = project.asked(cwd)
    except BottlegenError as e:
        asked = project.Asked(findings=tuple(of_problems("bundles", e.problems, "the project cannot be read", "warn")))
    except OSError as e:
        problem = Problem(what=f"the project around '{cwd}' cannot be read: {e.strerror}", fix=f"ls -l '{cwd}'")
        asked = project.Asked(
            findings=tuple(of_problems("bundles", [problem], "its bundles are not looked at", "warn"))
        )
    return [*asked.findings, *gathered(probes(host, asked, online=online), PATIENCE * (2 if online else 1))]


def probes(host: Host, asked: project.Asked, *, online: bool) -> dict[str, Probe]:
    """By what to call one that hangs; the order is that of the findings."""
    now = time.time()
    engine = _once(lambda: versions.asked(host))
    made: dict[str, Probe] = {
        "runtimes": lambda: runtimes.runtimes(host, asked.isolations),
        "docker engine": lambda: versions.engine(engine()),
        "bubblewrap": lambda: versions.bubblewrap(host),
        "git": lambda: versions.git(host),
        "kernel": runtimes.namespaces,
        "clock and trust": lambda: _clock_and_trust(host, now),
        "disk": lambda: space.space(_folders(host, engine())),
        "logins": lambda: logins.credentials(host, asked.wanted(), int(now)),
        "bottles": lambda: bottles.bottles(host),
    }
    if online:
        made["registries"] = lambda: _registries(host)
    return made


def _clock_and_trust(host: Host, now: float) -> list[Finding]:
    roots = tools.roots()
    ends = trust.ends(roots)
    witnesses = (Path(__file__), roots, State.of(host.env, host.home).root, host.cache)
    return [*clock.clock(now, witnesses, ends), *trust.trust(host, roots, ends, now)]


def _folders(host: Host, engine: versions.Engine | None) -> dict[str, Path]:
    folders = {"cache": host.cache, "state": State.of(host.env, host.home).root}
    return folders | {"engine": engine.folder} if engine and engine.folder else folders


def _registries(host: Host) -> list[Finding]:
    from runtime.doctor import registries  # its library takes as long as all the rest

    return registries.answering(host, registries.registries(host))


def _once(make: Callable[[], _T]) -> Callable[[], _T]:
    """`make`, called by whichever thread is first and answering all."""
    lock = threading.Lock()
    made = cache(make)

    def get() -> _T:
        with lock:
            return made()

    return get


def gathered(asked: Mapping[str, Probe], patience: float) -> list[Finding]:
    """What the probes find, in their order; whatever becomes of one, the others' findings are there."""
    found: dict[str, Sequence[Finding]] = {}
    threads = {
        name: threading.Thread(target=_one, args=(name, probe, found), daemon=True) for name, probe in asked.items()
    }
    for thread in threads.values():
        thread.start()
    end = time.monotonic() + patience
    for thread in threads.values():
        thread.join(max(end - time.monotonic(), 0))
    return [finding for name in asked for finding in found.get(name) or (_hanging(name, patience),)
            if finding.what]  # fmt: skip


def _one(name: str, probe: Probe, found: dict[str, Sequence[Finding]]) -> None:
    try:
        found[name] = tuple(probe()) or (_NOTHING,)
    except BottlegenError as e:
        found[name] = of_problems(name, e.problems, "it could not be looked at", "warn")
    except Exception as e:  # noqa: BLE001 - a host may look like nothing we thought of, and the rest still has to be said
        kind = type(e).__name__
        found[name] = [
            Finding(
                level="warn",
                area=name,
                what=f"could not be looked at: {kind}{_errno(e)}",
                why="this host is unlike any that this was written for, or bottlegen has a mistake",
                fix="please report this line, with `uname -a`",
            )
        ]


def _errno(error: Exception) -> str:
    """What the system said; nothing else of an error is shown, as it could hold what was read."""
    return f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""


_NOTHING = Finding(level="ok", area="", what="")
"""What stands for a probe that ended and had nothing to say."""


def _hanging(name: str, patience: float) -> Finding:
    return Finding(
        level="problem",
        area=name,
        what=f"gave no answer within {patience:.0f} seconds",
        why="a command that needs it will hang as well",
        fix="docker info   # if that hangs: sudo systemctl restart docker"
        if "docker" in name
        else f"bottlegen doctor   # again; look at {name} if it stays",
    )


def host_of(env: dict[str, str], home: Path, load: Callable[..., HostConfig] = load_host) -> tuple[Host, list[Finding]]:
    """This host, with the defaults where host.toml is wrong: that is one finding among others."""
    try:
        return Host(env=env, home=home, config=load(env, home)), []
    except HostError as e:
        return Host(env=env, home=home, config=HostConfig()), of_problems(
            "host.toml", e.problems, "every command that starts or lists bottles fails on it"
        )
