"""The sidecars that stand between agent and internet, in the order in which a request meets them."""

from typing import Final, Protocol

from bottlegen.pins import Pins
from bottlegen.plan import SidecarPlan
from bottlegen.profile import Profile
from bottlegen.routes import RouteSet
from bottlegen.sidecars import egress, git_gate, pipelock


class Sidecar(Protocol):
    """What a sidecar's module defines."""

    def prepare(self, profile: Profile, routes: RouteSet, pins: Pins) -> SidecarPlan | None:
        """The sidecar as data, or None when this bottle has no use for it."""


SIDECARS: Final[tuple[Sidecar, ...]] = (egress, git_gate, pipelock)
