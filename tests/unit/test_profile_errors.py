"""Each folder of tests/errors is a broken profile with the exact text that its user sees."""

from pathlib import Path

import pytest

from bottlegen.errors import ProfileError
from bottlegen.profile import load

CASES = Path(__file__).parents[1] / "errors"
FIELDS = {
    "claude": frozenset({"auth_token"}),
    "codex": frozenset({"forward_host_credentials"}),
    "shell": frozenset[str](),
}
MADE_UP_SECRETS = (
    "hunter2",
    "ghp_01",
    "ghs_01",
    "github_pat_11",
    "glpat-",
    "sk-",
    "xoxb-",
    "AKIA",
    "AIza",
    "npm_01",
    "eyJ",
    "kV9x",
    "9f86",
    "BEGIN",
    "token@",
)


def _main(case: Path) -> str:
    """The file to load: `profile.*`, or the only one."""
    files = sorted(path.name for path in case.iterdir() if path.name != "expected.txt")
    return next((name for name in files if name.startswith("profile.")), files[0])


def _error(case: Path) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        load(_main(case), lambda name: (case / name).read_bytes(), provider_fields=FIELDS)
    return caught.value


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_exact_text(case: Path) -> None:
    assert f"{_error(case)}\n" == (case / "expected.txt").read_text()


@pytest.mark.parametrize(
    "case", [*sorted(CASES.glob("secret-*")), CASES / "host-user-information"], ids=lambda c: c.name
)
def test_no_secret_in_the_exception_or_what_caused_it(case: Path) -> None:
    error: BaseException | None = _error(case)
    text = (case / _main(case)).read_text()
    assert any(secret in text for secret in MADE_UP_SECRETS), "the case plants none"
    while error:
        shown = f"{error!r} {error} {error.args} {vars(error)}"
        assert [secret for secret in MADE_UP_SECRETS if secret in shown] == []
        error = error.__cause__ or error.__context__


def test_every_message_says_where_and_what_to_do() -> None:
    for case in CASES.iterdir():
        for problem in _error(case).problems:
            assert problem.where, problem
            assert problem.fix, problem
            assert problem.what[0].islower() or problem.what.startswith(("'", "<", "TOML", "YAML")), problem
