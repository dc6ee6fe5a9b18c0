"""The tasks that users type, thin: each reads its options, calls one function, and shows the result.

The same collection serves `invoke` (through tasks.py) and the console script `bottlegen` in any folder. What is heavy
is imported inside the tasks, so that `--help` and completion stay quick; invoke itself only where its parser is needed.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bottlegen.errors import BottlegenError, UsageError
from runtime import audit_tasks, host_tasks, review_tasks  # noqa: F401 - their tasks are listed with those here
from runtime.user_task import JSON, PROFILE, TASKS, end_unheard, fail, user_task

if TYPE_CHECKING:
    from invoke.collection import Collection
    from invoke.context import Context

_NAME = "name of the bottle; needed only when several are up"


def _after_dashes() -> tuple[str, ...]:
    """The words after `--`, unsplit: invoke itself hands them over joined by blanks."""
    return tuple(sys.argv[sys.argv.index("--") + 1 :]) if "--" in sys.argv else ()


@user_task(
    help={
        "profile": "only this one: " + PROFILE,
        "all": "every profile of the folder (the default)",
        "check": "write nothing; status 13 and what differs when a committed bundle is stale or altered",
        "out": "write below this folder instead of bundles/",
        "json": JSON,
    }
)
def build(
    _: "Context",
    profile: str = "",
    all: bool = False,  # noqa: A002 - the option's name
    check: bool = False,
    out: str = "",
    json: bool = False,
) -> int:
    """
    Turn profiles into bundles/, to review and commit: `up` runs exactly those.

    An equal bundle is left alone. Offline and deterministic: same profile, same
    bytes, same hash, on every machine.

      invoke build
      invoke build --profile codex --check
    """
    from runtime.build import build_bundles

    if profile and all:
        raise UsageError("--profile and --all contradict each other", fix="give one of them")
    return build_bundles(profile, check=check, out=out, as_json=json, cwd=Path.cwd())


@user_task(help={"json": JSON})
def agents(_: "Context", json: bool = False) -> None:
    """
    List the agents, what gives each access, and whether this host has it.

    Reads no secret's value out.
    """
    from runtime.agents import list_agents

    list_agents(as_json=json)


@user_task(help={"profile": PROFILE, "json": JSON})
def show(_: "Context", profile: str = "", json: bool = False) -> None:
    """
    What the agent will see and may reach. Starts nothing.

    Its environment, the routes and the credential that each adds, sidecars,
    limits, and the hash of the bundle.

      invoke show --profile codex
    """
    from runtime.show import show_profile

    show_profile(profile, as_json=json, cwd=Path.cwd())


@user_task(
    name="hash",
    help={
        "profile": PROFILE,
        "path": "instead of a bundle: a folder or an archive, for rootfs.hash of a profile",
        "nix": "also in Nix's base-32, and the path that `nix store add-path` would give",
    },
)
def hash_(_: "Context", profile: str = "", path: str = "", nix: bool = False) -> None:
    """
    Print the bundle's hash, as `nix hash path bundles/NAME` does.

    Writes nothing and needs no Nix.

      invoke hash --profile codex
      invoke hash --profile codex --nix
      invoke hash --path images/agent.tar.gz
    """
    from runtime.build import asked_hash

    print(asked_hash(profile, path, nix=nix, cwd=Path.cwd()))


@user_task(
    help={
        "name": _NAME,
        "bundle": "instead of a bottle: a bundle's folder, a path in the Nix store, or a link to one such as `result`",
        "no-probes": "compare, and try nothing from inside of the agent",
        "json": JSON,
    },
)
def verify(_: "Context", name: str = "", bundle: str = "", no_probes: bool = False, json: bool = False) -> int:
    """
    Is a running bottle what its bundle says, and shut from the inside?

    Status 0 yes, 2 no, with every row. With a bundle instead: check every file of
    it against its manifest and print its hash; status 13 and all that is wrong
    otherwise. That asks whether the bundle is whole, not whether a profile builds
    it: that is `build --check`.

      invoke verify --name codex
      invoke verify --bundle bundles/codex
    """
    from runtime.verify import verified_hash, verify_bottle

    if not bundle:
        return verify_bottle(name, probes=not no_probes, as_json=json)
    if name:
        raise UsageError("--name and a bundle contradict each other", fix="give one of them")
    print(verified_hash(bundle))
    return 0


@user_task(
    optional=["update"],
    help={
        "update": "ask the registries what is new: for NAME alone, else for everything",
        "check": "write nothing and ask nobody; status 17 and what is lacking when the lock is not complete",
    },
)
def lock(_: "Context", update: str | bool | None = None, check: bool = False) -> None:
    """
    Pin everything that would float, by version and hash, in bottlegen.lock.

    It stands beside profiles/: review it, commit it. Alone this adds what is
    missing, from the pins that ship with bottlegen where they have it; what is
    pinned stays. Builds read only the lock and no network. A project without one
    has the pins that ship with bottlegen.

      invoke lock
      invoke lock --update codex
      invoke lock --check
    """
    from runtime.lock import LockRequest, lock_project

    # True is what invoke makes of an option that may have a value and got none.
    lock_project(LockRequest(update="" if update is True else update or None, check=check), Path.cwd())


@user_task(
    help={
        "profile": PROFILE,
        "name": "name of the bottle (default: the profile's); several may run at once",
        "dev": "run the profile as it is now instead of its committed bundle",
        "detach": "leave it running and come back; see attach",
        "workspace": "folder that the agent works in (default: the git repository around here, else here)",
        "runtime": "docker, smolmachines, bubblewrap or auto (the strongest here); default from host.toml",
        "json": JSON + " (with --detach)",
        "observe": "record what is refused, for `suggest`; it is refused all the same",
    },
)
def up(
    _: "Context",
    profile: str = "",
    name: str = "",
    dev: bool = False,
    detach: bool = False,
    workspace: str = "",
    runtime: str = "",
    json: bool = False,
    observe: bool = False,
) -> int:
    """
    Start a bottle from its committed bundle and work in it.

    `-- CMD...` runs something else than the agent. Everything is undone when the
    agent ends, when the start fails, and on Ctrl-C before the agent runs.

      invoke up --profile codex
      invoke up --profile codex -- codex exec "say hi"
      invoke up --profile shell --dev --detach --name scratch
    """
    from runtime.up import UpRequest, bring_up

    return bring_up(
        UpRequest(
            profile=profile,
            name=name,
            dev=dev,
            detach=detach,
            workspace=workspace,
            runtime=runtime,
            command=_after_dashes(),
            as_json=json,
            observe=observe,
        )
    )


@user_task(help={"name": _NAME})
def attach(_: "Context", name: str = "") -> int:
    """
    Join the agent of a running bottle; ctrl-p ctrl-q leaves it running.

      invoke attach --name codex
    """
    from runtime.bottles import attach_to

    return attach_to(name)


@user_task(name="exec", help={"name": _NAME})
def exec_(_: "Context", name: str = "") -> int:
    """
    Run one command beside the agent, as its user and with its environment.

      invoke exec --name codex -- git status
    """
    from runtime.bottles import exec_in

    return exec_in(name, _after_dashes())


@user_task(help={"name": _NAME})
def shell(_: "Context", name: str = "") -> int:
    """
    Open a shell beside the agent: see what it sees.

      invoke shell --name codex
    """
    from runtime.bottles import exec_in

    return exec_in(name, ("bash",))


@user_task(
    help={
        "name": _NAME,
        "follow": "go on as lines come",
        "audit": "the egress sidecar's decisions",
        "inspection": "what pipelock found until now",
        "json": "audit lines as they are, findings as JSON",
    },
)
def logs(
    _: "Context",
    name: str = "",
    follow: bool = False,
    audit: bool = False,
    inspection: bool = False,
    json: bool = False,
) -> None:
    """
    What the agent printed, or the requests that it made.

    With --audit every request and what was decided; with --inspection what
    pipelock refused or warned of: where, in which part of a request, by which
    rule, never the text itself.

      invoke logs --follow
      invoke logs --audit --follow
    """
    from runtime.bottles import show_logs

    show_logs(name, follow=follow, audit=audit, inspection=inspection, as_json=json)


@user_task(help={"json": JSON})
def ps(_: "Context", json: bool = False) -> None:
    """
    List the bottles of this host, half-made and orphaned ones too.
    """
    from runtime.bottles import list_bottles

    list_bottles(as_json=json)


@user_task(
    help={
        "name": _NAME,
        "all": "every bottle of this host",
        "purge": "also remove the agent's kept home (its login and sessions)",
    },
)
def down(_: "Context", name: str = "", all: bool = False, purge: bool = False) -> None:  # noqa: A002 - the option's name
    """
    Remove a bottle, in whatever state it is; twice is fine.

    The agent's home stays, unless --purge.

      invoke down --name codex
      invoke down --all
    """
    from runtime.bottles import take_down

    take_down(name, everything=all, purge=purge)


@user_task(help={"name": _NAME})
def refresh(_: "Context", name: str = "") -> None:
    """
    Give a running bottle the host's present credentials, without a restart.

      invoke refresh --name codex
    """
    from runtime.bottles import refresh_bottle

    refresh_bottle(name)


def collection() -> "Collection":
    """All of the tasks above, for invoke."""
    from invoke.collection import Collection
    from invoke.tasks import task

    return Collection(*(task(function, **options) for function, options in TASKS))


def main(more: Callable[[], "Collection"] = collection, binary: str = "bottlegen") -> None:
    """The console script `bottlegen`: the same tasks, in any folder; a checkout's ./inv has `more` of them."""
    try:
        _main(more, binary)
    except BottlegenError as e:
        fail(e)
    except KeyboardInterrupt:  # while still loading; tasks have their own answer
        sys.exit(130)
    except BrokenPipeError:
        end_unheard()


def _main(tasks: Callable[[], "Collection"], binary: str) -> None:
    # What editors and hooks run all the time is told apart without invoke, whose import takes longer than a build.
    match sys.argv[1:]:
        case ["build"]:
            build(None)
        case ["build", "--profile", name] if not name.startswith("-"):
            build(None, profile=name)
        case ["hash", "--profile", name] if not name.startswith("-"):
            hash_(None, profile=name)
        case ["audit"]:
            audit_tasks.audit(None, do="list")
        case _:
            from runtime.program import run

            run(tasks(), binary, sys.argv)


if __name__ == "__main__":
    main()
