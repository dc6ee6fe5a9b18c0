"""The task about this host itself: `doctor`; thin as in runtime/cli.py."""

from typing import TYPE_CHECKING

from runtime.user_task import JSON, user_task

if TYPE_CHECKING:
    from invoke.context import Context


@user_task(
    name="doctor",
    help={
        "online": "also ask the registries that builds download from; nothing leaves this host without it",
        "json": JSON,
    },
)
def doctor_(_: "Context", online: bool = False, json: bool = False) -> int:
    """
    Look whether this host is fit to run bottles.

    Runtimes, known holes, clock, trust, disk, logins, what crashes left: each
    finding comes with the command that mends it. Changes nothing; status 1 when
    there is a problem.

      invoke doctor
      invoke doctor --online
      invoke doctor --json
    """
    from runtime.doctor.report import doctor

    return doctor(online=online, as_json=json)
