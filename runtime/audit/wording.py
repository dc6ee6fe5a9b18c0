"""What is said of a run's audit when a bottle ends: how much there is, its heads, its troubles."""

from collections.abc import Iterator

from runtime.audit.runs import Run

_SETTLED = 5.0
"""Seconds for the writers' last lines, which take them a hundredth of one."""


def kept(run: Run, *, always: bool) -> str:
    """Where the audit of a run that has ended is, with its heads; without `always` only what went wrong."""
    settled = run.settle(_SETTLED)
    lines = [f"warning: {trouble}" for trouble in run.troubles()]
    if settled:
        lines += _broken_off(run)
    else:
        lines.append(f"warning: the audit in '{run.folder}' is still being written")
    if always:
        lines += _heads(run)
    return "\n".join(lines)


def _broken_off(run: Run) -> Iterator[str]:
    for service in run.chains():
        noted = run.noted(service)
        if noted is None or noted.state in ("open", "losing"):
            yield f"warning: {service}: who wrote the audit was ended before the bottle, which closed the way out"


def _heads(run: Run) -> Iterator[str]:
    for service in run.chains():
        if noted := run.noted(service):
            yield f"audit {service}: {noted.head.seq} lines, head {noted.head.hash}"
    yield f"audit kept: {run.folder}"
