"""OpenHands: a model of an API whose key egress cannot inject is refused before anything starts."""

import pytest

from bottlegen import pins
from bottlegen.errors import PlanError
from bottlegen.plan import AgentProvider
from bottlegen.providers import openhands


@pytest.mark.parametrize("model", ["google/some-model", "some-model", "nobody/some-model"])
def test_other_apis_are_refused(model: str) -> None:
    """Google's API among them, whose key was not tried here."""
    with pytest.raises(PlanError, match="does not begin with an API that this agent can use here"):
        openhands.provision(AgentProvider(template="openhands", model=model), pins.load())
