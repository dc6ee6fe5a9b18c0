"""The canonical form is the one that json.dumps would write, sorted and indented."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlegen.render import Fixed, canonical_json

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_VALUES)
def test_equals_the_library(value: object) -> None:
    assert canonical_json(value) == (json.dumps(value, sort_keys=True, indent=2) + "\n").encode()


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_order_of_keys_is_not_seen(value: dict[str, int]) -> None:
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


@given(st.dictionaries(st.text(), _VALUES))
def test_a_shared_part_looks_the_same_at_every_depth_and_time(part: dict[str, object]) -> None:
    fixed = Fixed(part)
    for _ in range(2):
        assert canonical_json({"a": fixed, "b": [fixed]}) == canonical_json({"a": part, "b": [part]})


def test_tuples_are_lists() -> None:
    assert canonical_json({"a": (1, "é")}) == b'{\n  "a": [\n    1,\n    "\\u00e9"\n  ]\n}\n'


def test_refuses_what_json_cannot_say() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json([float("nan")])
