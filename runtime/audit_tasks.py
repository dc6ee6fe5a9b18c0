"""The tasks that deal with the audit of bottles, thin like those of runtime/cli.py."""

from typing import TYPE_CHECKING

from runtime.user_task import JSON, user_task

if TYPE_CHECKING:
    from invoke.context import Context


@user_task(
    positional=["do"],
    help={
        "do": "list, verify or summary",
        "name": "only runs of this bottle, also of one that is gone",
        "run": "only this run, by its name or its session",
        "heads": "with verify: hashes of heads that you kept elsewhere, with commas, each of which has to be found",
        "json": JSON,
    },
)
def audit(_: "Context", do: str, name: str = "", run: str = "", heads: str = "", json: bool = False) -> int:
    """
    The kept audit of bottles, also of those that are gone.

    list: which runs there are. verify: whether lines were removed, altered,
    reordered or cut off; status 18 when there are any. summary: what was asked
    and denied.

      invoke audit list
      invoke audit verify --name codex
      invoke audit summary
    """
    from runtime.audit.task import audit as do_audit

    return do_audit(do, name=name, run=run, heads=heads, as_json=json)
