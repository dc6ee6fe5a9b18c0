"""The tasks for who reviews a profile: `diff`, `review`, `graph`, `explain`, `suggest`; thin as in runtime/cli.py."""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.user_task import JSON, PROFILE, user_task

if TYPE_CHECKING:
    from invoke.context import Context


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """For what is over at once: looking for garbage among thousands of routes takes a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@user_task(
    help={
        "profile": "what it is now: " + PROFILE,
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
    What a change lets the agent do: what widens, what narrows, and the rest.

    Both sides are built by this bottlegen from the files as they are, or were;
    nothing is checked out or written. Status 0: nothing; 2: differences; 3: see
    --fail-on.

      invoke diff --profile codex
      invoke diff --profile codex --against v1.2 --format markdown
      invoke diff --from bundles/codex --to profiles/codex.toml --files
    """
    from runtime.diff import DiffRequest, show_diff

    asked = DiffRequest(
        profile=profile, against=against, before=from_, after=to, format=format, files=files, fail_on=fail_on
    )
    with _uncollected():
        return show_diff(asked, Path.cwd())


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
    For CI: the changes of all profiles, as Markdown.

    Status 3: a widening that nobody said is meant; 13: stale bundles.

      invoke review
      invoke review --label bottle-widens --post
    """
    from runtime.review import ReviewRequest
    from runtime.review import review as review_all

    return review_all(ReviewRequest(against=against, label=label, trailer=trailer, out=out, post=post), Path.cwd())


@user_task(
    help={
        "profile": PROFILE,
        "bundle": "instead: the folder of a bundle",
        "format": "svg, or mermaid for Markdown pages",
        "out": "write to this file instead of the terminal",
    }
)
def graph(_: "Context", profile: str = "", bundle: str = "", format: str = "svg", out: str = "") -> None:  # noqa: A002
    """
    The bottle as a picture.

    Agent, sidecars, the hosts it may reach, by credential, and what is inspected.
    Same profile, same bytes: it can be committed beside the profile.

      invoke graph --profile codex --out codex.svg
      invoke graph --profile codex --format mermaid
    """
    from runtime.graph import draw

    draw(profile, bundle, form=format, out=out, cwd=Path.cwd())


@user_task(help={"profile": PROFILE, "request": "METHOD and URL, or a URL for a GET", "json": JSON})
def explain(_: "Context", profile: str = "", request: str = "", json: bool = False) -> int:
    """
    Whether a request would pass, by which line, and with which credential.

    Status 0 yes, 2 no.

      invoke explain --profile codex --request "GET https://chatgpt.com/x"
      bottlegen explain --profile codex GET https://chatgpt.com/x
    """
    from runtime.explain import explain_request

    with _uncollected():
        return explain_request(profile, request, as_json=json, cwd=Path.cwd())


@user_task(
    help={
        "profile": PROFILE,
        "json": JSON,
        "forget": "instead: forget what was recorded of this profile's runs",
    }
)
def suggest(_: "Context", profile: str = "", json: bool = False, forget: bool = False) -> None:
    """
    A patch of the profile, from what its runs were refused and never used.

    Of runs with `up --observe`. Changes nothing itself.

      invoke suggest --profile dev > dev.patch
      git apply dev.patch
    """
    from runtime.suggest import suggest_patch

    suggest_patch(profile, as_json=json, drop=forget, cwd=Path.cwd())
