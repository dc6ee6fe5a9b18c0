"""The exact text of an error, and that exit codes tell the classes apart."""

import pytest

from bottlegen import errors
from bottlegen.errors import BottlegenError, Problem, ProfileError, Where


def subclasses(cls: type[BottlegenError]) -> list[type[BottlegenError]]:
    return [cls, *(below for child in cls.__subclasses__() for below in subclasses(child))]


def test_full_problem():
    where = Where(file="profiles/dev.toml", line=12, field="egress.routes[1].methdos")
    fix = "use one of auth, host, methods - did you mean 'methods'?"
    assert str(Problem(what="unknown field 'methdos'", where=where, fix=fix)) == (
        "error: unknown field 'methdos'\n"
        "  --> profiles/dev.toml:12  egress.routes[1].methdos\n"
        "  fix: use one of auth, host, methods - did you mean 'methods'?"
    )


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (Where(file="a.toml"), "a.toml"),
        (Where(file="a.toml", line=3), "a.toml:3"),
        (Where(file="a.toml", field="env.X"), "a.toml  env.X"),
    ],
)
def test_where(where, text):
    assert str(where) == text


def test_second_line_of_a_fix_is_indented():
    assert str(Problem(what="x", fix="one\ntwo")) == "error: x\n  fix: one\n       two"


def test_bare_problem():
    assert str(Problem(what="x")) == "error: x"


def test_all_problems_are_shown():
    error = ProfileError([Problem(what="one"), Problem(what="two")])
    assert str(error) == "error: one\nerror: two"
    assert len(error.problems) == 2


def test_text_alone_becomes_a_problem():
    assert ProfileError("no such thing", fix="bottlegen build").problems == (
        Problem(what="no such thing", fix="bottlegen build"),
    )


def test_an_error_without_problems_is_a_bug():
    with pytest.raises(ValueError, match="needs a problem"):
        ProfileError([])


def test_exit_codes_are_unique_and_clear_of_the_shell_s():
    codes = [cls.exit_code for cls in subclasses(BottlegenError)]
    assert len(codes) == len(set(codes))
    assert all(3 <= code < 64 for code in codes)


def test_every_user_error_is_defined_in_one_place():
    assert {cls.__module__ for cls in subclasses(BottlegenError)} == {errors.__name__}
