"""When a bottle's certificates are renewed, and what is said of them: nothing, until a third of their life is left."""

import datetime
from pathlib import Path

import pytest

from runtime import ca, certificates
from runtime.certificates import Certificates

NOW = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)
GOOD = Certificates(terms=ca.mint((), bottle="b", now=NOW, lives=ca.LIVES).terms)


def _at(days: float) -> datetime.datetime:
    return NOW + datetime.timedelta(days=days)


@pytest.mark.parametrize(
    ("days", "used", "said"),
    [
        (0, 0, ""),
        (59, 0, ""),
        (61, 0, "end on 2027-02-20"),
        (61, 1, ""),
        (91, 0, "ended on 2027-02-20: its agent reaches nothing"),
        (700, 11, ""),
        (749, 11, "end on 2028-12-11"),
        (751, 11, "this host's clock says 2028-12-12: its agent reaches nothing"),
        (-1, 0, "this host's clock says 2026-11-21: its agent reaches nothing"),
    ],
)
def test_what_is_said(days: float, used: int, said: str) -> None:
    found = GOOD.using(used).said("dev", _at(days))
    assert found.endswith(said)
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("days", "used", "task"),
    [
        (61, 0, "refresh --name dev"),
        (91, 0, "refresh --name dev"),
        (749, 11, "down --name dev"),
        (751, 0, "down --name dev"),
    ],
)
def test_what_mends_it(days: float, used: int, task: str) -> None:
    assert GOOD.using(used).fix("dev", _at(days)).startswith(f"bottlegen {task}")


def test_a_clock_that_jumps_far_finds_the_term_of_that_day() -> None:
    assert [GOOD.due(_at(days)) for days in (-400, 0, 90, 365, 749, 9999)] == [0, 0, 1, 6, 11, 11]
    assert [GOOD.over(_at(days)) for days in (-400, 0, 90, 365, 749, 9999)] == [True, False, False, False, False, True]


def test_kept_as_written(tmp_path: Path) -> None:
    certificates.write(tmp_path / "c.json", GOOD.using(3))
    assert certificates.read(tmp_path / "c.json") == GOOD.using(3)
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"terms": [], "used": 0}', '{"terms": [["x", "y"]], "used": 0}', '{"terms": 3, "used": 0}',
     '{"terms": [["2026-11-22T12:00:00", "2026-11-22T12:00:00"]], "used": 0}', '{"terms": null, "used": null}'],
)  # fmt: skip
def test_what_is_of_another_form_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    assert certificates.read(tmp_path / "c.json") is None
    assert certificates.read(tmp_path / "absent.json") is None


@pytest.mark.parametrize("used", [-1, len(GOOD.terms)])
def test_a_term_that_is_not_among_them_is_none(tmp_path: Path, used: int) -> None:
    certificates.write(tmp_path / "c.json", GOOD.using(used))
    assert certificates.read(tmp_path / "c.json") is None
