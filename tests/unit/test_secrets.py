"""Tokens become values in one place; what is missing is named, all of it, and no value is ever said."""

import pickle
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest

from bottlegen.errors import SecretError
from bottlegen.secret import Secret
from runtime.host import SecretSource
from runtime.secrets import effective_values, resolve

CANARY = "canary-0451"


def _values(
    refs: set[str],
    *,
    env: Mapping[str, str] | None = None,
    sources: Mapping[str, SecretSource] | None = None,
    provisioned: Mapping[str, Secret] | None = None,
) -> dict[str, Secret]:
    values, failed = effective_values(
        frozenset(refs), env=env or {}, sources=sources or {}, provisioned=provisioned or {}
    )
    assert not failed
    return values


def test_unset_and_empty_differ_and_all_are_named() -> None:
    with pytest.raises(SecretError) as caught:
        resolve({"S0": "UNSET", "S1": "EMPTY", "S2": "BLANK", "S3": "GOOD"}, {
            "EMPTY": Secret(""), "BLANK": Secret("  "), "GOOD": Secret(CANARY),
        })  # fmt: skip
    text = str(caught.value)
    assert "secret 'UNSET' is not set on this host" in text
    assert "secret 'EMPTY' is set but empty" in text
    assert "secret 'BLANK' is set but empty" in text
    assert "GOOD" not in text
    assert "export UNSET=" in text


@pytest.mark.parametrize("value", [f"{CANARY}\nx", f"{CANARY}\r", f"{CANARY}\x00", f"{CANARY}\x7f"])
def test_what_no_header_can_carry(value: str) -> None:
    with pytest.raises(SecretError) as caught:
        resolve({"S0": "TOKEN"}, {"TOKEN": Secret(value)})
    shown = "".join(traceback.format_exception(caught.value))
    assert "control character" in shown
    assert CANARY not in shown


def test_provisioned_wins_over_source_and_environment(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    sources = {name: SecretSource(file=str(tmp_path / "token")) for name in ("A", "B")}
    values = _values(
        {"A", "B", "C"}, env={"A": "env", "B": "env", "C": "env"}, sources=sources, provisioned={"A": Secret("given")}
    )
    assert {ref: value.reveal() for ref, value in values.items()} == {"A": "given", "B": "from-file", "C": "env"}


def test_a_named_source_that_is_absent_is_not_replaced_by_the_variable() -> None:
    assert _values({"A"}, env={"A": "stale"}, sources={"A": SecretSource(env="NOT_THERE")}) == {}


def test_only_asked_refs_are_taken() -> None:
    values = _values({"A"}, env={"A": "1", "B": "2"}, provisioned={"C": Secret("3")})
    assert set(values) == {"A"}


def test_a_failing_file_is_a_problem_with_its_path(tmp_path: Path) -> None:
    _, failed = effective_values(
        frozenset({"A"}), env={}, sources={"A": SecretSource(file=str(tmp_path / "absent"))}, provisioned={}
    )
    assert "absent" in failed["A"].what


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret(CANARY)
    assert CANARY not in f"{secret} {secret!r} {secret!s:>40}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert secret.reveal() == CANARY
