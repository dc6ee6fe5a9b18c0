"""Each reader on many inputs, and on those that once got through it."""

import time
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bottlegen.errors import HostError
from tests.fuzz.inputs import inputs
from tests.fuzz.readers import CANARY, READERS, Reader, error_of, only_errors_of_ours

CASES = Path(__file__).parent / "cases"
_MOST_SECONDS = 10


@pytest.mark.parametrize("name", READERS)
def test_any_input(name: str, tmp_path: Path) -> None:
    @settings(hypothesis.settings.get_profile("fuzz"), suppress_health_check=list(HealthCheck))
    @given(raw=inputs(READERS[name]))
    def one(raw: bytes) -> None:
        start = time.process_time()
        only_errors_of_ours(name, raw, tmp_path)
        assert time.process_time() - start < _MOST_SECONDS

    one()


@pytest.mark.parametrize("name", READERS)
def test_the_sound_examples_are_read(name: str, tmp_path: Path) -> None:
    """The control: what is broken above is not refused at the door."""
    for seed in READERS[name].seeds:
        told = error_of(name, seed, tmp_path)
        assert told is None or name == "host-toml", told  # it names a CA file that is not there


@pytest.mark.parametrize("case", sorted(CASES.glob("*/*")), ids=lambda case: f"{case.parent.name}/{case.name}")
def test_what_once_got_through(case: Path, tmp_path: Path) -> None:
    only_errors_of_ours(case.parent.name, case.read_bytes(), tmp_path)


@pytest.mark.parametrize("escape", [RecursionError, ValueError, UnicodeEncodeError, MemoryError, RuntimeError])
def test_what_escapes_is_found(escape: type[Exception], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The other control: a reader that lets anything else out fails, and one that tells a secret does too."""

    def broken(raw: bytes, _: Path) -> object:
        raise escape("utf-8", "x", 0, 1, "x") if escape is UnicodeEncodeError else escape

    monkeypatch.setitem(READERS, "broken", Reader(read=broken, seeds=(b"",), form="text"))
    with pytest.raises(escape):
        only_errors_of_ours("broken", b"", tmp_path)


def test_a_told_secret_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def telling(raw: bytes, _: Path) -> object:
        raise HostError(f"cannot read {CANARY}", fix="x")

    monkeypatch.setitem(READERS, "telling", Reader(read=telling, seeds=(b"",), form="text"))
    with pytest.raises(AssertionError):
        only_errors_of_ours("telling", b"", tmp_path)


def test_inputs_reach_far(tmp_path: Path) -> None:
    """Of the inputs of a reader some are read and most are refused: all of one kind would try nothing."""
    accepted, refused = [], []

    @settings(hypothesis.settings.get_profile("fuzz"), suppress_health_check=list(HealthCheck))
    @given(raw=inputs(READERS["host-toml"]), _=st.none())
    def one(raw: bytes, _: None) -> None:
        try:
            READERS["host-toml"].read(raw.replace(b'ca_file = "ca.pem"', b""), tmp_path)
        except HostError:
            refused.append(raw)
        else:
            accepted.append(raw)

    one()
    assert len(accepted) > 5
    assert len(refused) > 20
