"""The tasks that users type, thin: each reads its options, calls one function, and shows the result.

The same collection serves `invoke` (through tasks.py) and the console script `bottlegen` in any folder. What is heavy
is imported inside the tasks, so that `--help` and completion stay quick; invoke itself only where its parser is needed.
"""

import functools
import os
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bottlegen.errors import BottlegenError, UsageError

if TYPE_CHECKING:
    from invoke.collection import Collection
    from invoke.context import Context

_TASKS: list[tuple[Callable[..., None], dict[str, Any]]] = []


def user_task(**options: Any) -> Callable[[Callable[..., int | None]], Any]:
    """A task behind the one place that catches: a user's mistake is printed and becomes its exit status."""

    def wrap(function: Callable[..., int | None]) -> Any:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            sys.dont_write_bytecode = False  # invoke switches it on, which would compile every lazy import at each run
            try:
                status = function(*args, **kwargs)
            except BottlegenError as e:
                _fail(e)
            except KeyboardInterrupt:
                print("interrupted", file=sys.stderr)
                sys.exit(130)
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(141)
            if status:
                sys.exit(status)

        _TASKS.append((guarded, options))
        return guarded

    return wrap


def _fail(error: BottlegenError) -> NoReturn:
    text = str(error)
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        text = text.replace("error:", "\x1b[1;31merror:\x1b[0m").replace("  fix:", "  \x1b[32mfix:\x1b[0m")
    print(text, file=sys.stderr)
    sys.exit(error.exit_code)


def _after_dashes() -> tuple[str, ...]:
    """The words after `--`, unsplit: invoke itself hands them over joined by blanks."""
    return tuple(sys.argv[sys.argv.index("--") + 1 :]) if "--" in sys.argv else ()


_PROFILE = "name of a profile (./profiles upward, then those that ship with bottlegen), or a path to one"
_NAME = "name of the bottle; needed only when several are up"
_JSON = "print JSON for programs"


@user_task(
    help={
        "profile": "only this one: " + _PROFILE,
        "all": "every profile of the folder (the default)",
        "check": "write nothing; status 13 and what differs when a committed bundle is stale or altered",
        "out": "write below this folder instead of bundles/",
        "json": _JSON,
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
    Turn profiles into bundles/: review them, commit them, and `up` runs exactly them.

    An equal bundle is left alone. Offline and deterministic: same profile, same bytes, same hash, on every machine.

      invoke build
      invoke build --profile codex --check
    """
    from runtime.build import build_bundles

    if profile and all:
        raise UsageError("--profile and --all contradict each other", fix="give one of them")
    return build_bundles(profile, check=check, out=out, as_json=json, cwd=Path.cwd())


@user_task(help={"profile": _PROFILE, "json": _JSON})
def show(_: "Context", profile: str = "", json: bool = False) -> None:
    """
    What the agent will see and may reach: env, routes, credentials' slots, sidecars, limits, hash. Starts nothing.

      invoke show --profile codex
    """
    from runtime.show import show_profile

    show_profile(profile, as_json=json, cwd=Path.cwd())


@user_task(
    name="hash",
    help={"profile": _PROFILE, "nix": "also in Nix's base-32, and the path that `nix store add-path` would give"},
)
def hash_(_: "Context", profile: str = "", nix: bool = False) -> None:
    """
    Print the bundle's hash (SRI); `nix hash path bundles/NAME` prints the same. Writes nothing and needs no Nix.

      invoke hash --profile codex
      invoke hash --profile codex --nix
    """
    from runtime.build import hash_of, nix_forms

    print((nix_forms if nix else hash_of)(profile, Path.cwd()))


@user_task(help={"bundle": "a bundle's folder, a path in the Nix store, or a link to one such as `result`"})
def verify(_: "Context", bundle: str = "") -> None:
    """
    Check every file of a bundle against its manifest and print its hash; status 13 and all that is wrong otherwise.

    It asks whether the bundle is whole, not whether a profile builds it: that is `build --check`.

      invoke verify --bundle bundles/codex
    """
    from runtime.verify import verified_hash

    print(verified_hash(bundle))


@user_task(
    help={
        "profile": "what it is now: " + _PROFILE,
        "against": "what it was in this git revision (default: where HEAD left the main branch)",
        "from": "instead of both: a profile's name or path, or the folder of a bundle",
        "to": "what to compare that one with",
        "format": "terminal, markdown (for a pull request) or json",
        "files": "also how the files of the bundle differ",
        "fail-on": "widen: status 3 when the agent may do more than before",
    },
)
def diff(
    _: "Context",
    profile: str = "",
    against: str = "",
    from_: str = "",
    to: str = "",
    format: str = "terminal",  # noqa: A002 - the option's name
    files: bool = False,
    fail_on: str = "",
) -> int:
    """
    What a change lets the agent do. Status 0: nothing; 2: differences; 3: see --fail-on.

    Both sides are built by this bottlegen from the files as they are, or were; nothing is checked out or written.

      invoke diff --profile codex
      invoke diff --profile codex --against v1.2 --format markdown
      invoke diff --from bundles/codex --to profiles/codex.toml --files
    """
    from runtime.diff import DiffRequest, show_diff

    return show_diff(
        DiffRequest(
            profile=profile, against=against, before=from_, after=to, format=format, files=files, fail_on=fail_on
        ),
        Path.cwd(),
    )


@user_task(
    help={
        "against": "what it was in this git revision (default: in CI the request's base, else where HEAD left main)",
        "label": "widening is meant when the pull or merge request has this label",
        "trailer": "widening is meant when a commit message ends with this trailer and a reason",
        "out": "also write the page to this file",
        "post": "also put it into one comment on the request of this CI job",
    }
)
def review(
    _: "Context", against: str = "", label: str = "", trailer: str = "", out: str = "", post: bool = False
) -> int:
    """
    For CI: all profiles' changes as Markdown. Status 3: a widening that nobody said is meant; 13: stale bundles.

      invoke review
      invoke review --label bottle-widens --post
    """
    from runtime.review import ReviewRequest
    from runtime.review import review as review_all

    return review_all(ReviewRequest(against=against, label=label, trailer=trailer, out=out, post=post), Path.cwd())


@user_task(
    help={
        "profile": _PROFILE,
        "bundle": "instead: the folder of a bundle",
        "format": "svg, or mermaid for Markdown pages",
        "out": "write to this file instead of the terminal",
    }
)
def graph(_: "Context", profile: str = "", bundle: str = "", format: str = "svg", out: str = "") -> None:  # noqa: A002
    """
    The bottle as a picture: agent, sidecars, the hosts it may reach, by credential, and what is to be inspected.

    Same profile, same bytes: it can be committed beside the profile.

      invoke graph --profile codex --out codex.svg
      invoke graph --profile codex --format mermaid
    """
    from runtime.graph import draw

    draw(profile, bundle, form=format, out=out, cwd=Path.cwd())


@user_task(help={"profile": _PROFILE, "request": "METHOD and URL, or a URL for a GET", "json": _JSON})
def explain(_: "Context", profile: str = "", request: str = "", json: bool = False) -> int:
    """
    Whether a request would pass, by which line of which file, and with which credential. Status 0 yes, 2 no.

      invoke explain --profile codex --request "POST https://api.github.com/repos/a/b"
      bottlegen explain --profile codex POST https://api.github.com/repos/a/b
    """
    from runtime.explain import explain_request

    return explain_request(profile, request, as_json=json, cwd=Path.cwd())


@user_task(
    help={
        "profile": _PROFILE,
        "name": "name of the bottle (default: the profile's); several may run at once",
        "dev": "run the profile as it is now instead of its committed bundle",
        "detach": "leave it running and come back; see attach",
        "workspace": "folder that the agent works in (default: the git repository around here, else here)",
        "runtime": "docker, bubblewrap or auto; default from the profile, then host.toml",
        "json": _JSON + " (with --detach)",
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
) -> int:
    """
    Start a bottle from its committed bundle and work in it. `-- CMD...` runs something else than the agent.

    Everything is undone when the agent ends, when the start fails, and on Ctrl-C before the agent runs.

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
    Run one command beside the agent, as the agent's user, with its environment.

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
        "json": "audit lines as they are",
    },
)
def logs(
    _: "Context",
    name: str = "",
    follow: bool = False,
    audit: bool = False,
    json: bool = False,
) -> None:
    """
    What the agent printed, or with --audit every request it made and what was decided.

      invoke logs --audit --follow
    """
    from runtime.bottles import show_logs

    show_logs(name, follow=follow, audit=audit, as_json=json)


@user_task(help={"json": _JSON})
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
    Remove a bottle, in whatever state it is; twice is fine. The agent's home stays unless --purge.

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

    return Collection(*(task(function, **options) for function, options in _TASKS))


def main() -> None:
    """The console script `bottlegen`: the same tasks, in any folder."""
    try:
        _main()
    except KeyboardInterrupt:  # while still loading; tasks have their own answer
        sys.exit(130)


def _main() -> None:
    # What editors and hooks run all the time is told apart without invoke, whose import takes longer than a build.
    match sys.argv[1:]:
        case ["build"]:
            build(None)
        case ["build", "--profile", name] if not name.startswith("-"):
            build(None, profile=name)
        case ["hash", "--profile", name] if not name.startswith("-"):
            hash_(None, profile=name)
        case _:
            _parse_and_run()


def _parse_and_run() -> None:
    from invoke.program import Program

    from bottlegen import __version__

    Program(
        name="bottlegen",
        binary="bottlegen",
        binary_names=["bottlegen"],
        namespace=collection(),
        version=__version__,
    ).run(_joined_request(sys.argv))


def _joined_request(argv: list[str]) -> list[str]:
    """`explain … METHOD URL` as `explain … --request "METHOD URL"`: invoke takes a bare word for another task."""
    if argv[1:2] != ["explain"] or not any("://" in word for word in argv):
        return argv
    words = iter(argv[2:])
    options: list[str] = []
    bare: list[str] = []
    for word in words:
        if word in _EXPLAIN_VALUES:
            options += [word, *islice(words, 1)]
        else:
            (options if word.startswith("-") else bare).append(word)
    return [*argv[:2], *options, *(["--request", " ".join(bare)] if bare else [])]


_EXPLAIN_VALUES = ("--profile", "-p", "--request", "-r")
"""Options of `explain` whose value is the next word."""


if __name__ == "__main__":
    main()
