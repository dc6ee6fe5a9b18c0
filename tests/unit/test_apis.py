"""APIs by model: the word before the first slash, and no guess when it is none that is known."""

import pytest

from bottlegen.apis import APIS, of_model
from bottlegen.errors import PlanError


def test_the_api_is_the_first_word() -> None:
    assert of_model("openrouter/anthropic/claude", APIS) == "openrouter"


@pytest.mark.parametrize("model", ["gpt-5.5", "acme/gpt", "openai"])
def test_another_is_refused_with_those_that_there_are(model: str) -> None:
    with pytest.raises(PlanError) as refused:
        of_model(model, ("openai", "anthropic"))
    assert str(refused.value) == (
        f"error: model '{model}' does not begin with an API that this agent can use here\n"
        "  fix: write it as api/model with one of: anthropic, openai"
    )


def test_a_route_without_a_key_leaves_the_agents_own() -> None:
    route = APIS["anthropic"].route("", "provider x")
    assert (route.auth, route.tls_passthrough) == (None, True)
