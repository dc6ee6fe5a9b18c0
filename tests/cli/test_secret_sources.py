"""Secrets from a command: its output and nothing else of it, with each failure named and no value ever said."""

import os
import sys
from pathlib import Path

import pytest

from runtime.host import SecretSource
from runtime.secrets import effective_values

CANARY = "canary-0451"


def _from(*command: str) -> tuple[str | None, str]:
    values, failed = effective_values(
        frozenset({"TOKEN"}), env=dict(os.environ), sources={"TOKEN": SecretSource(command=command)}, provisioned={}
    )
    value = values["TOKEN"].reveal() if "TOKEN" in values else None
    return value, failed["TOKEN"].what if failed else ""


def test_its_output_without_the_line_end() -> None:
    assert _from(sys.executable, "-c", f"print({CANARY!r})") == (CANARY, "")


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (f"import sys; print({CANARY!r}); sys.exit(3)", "ended with status 3"),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')", "did not print UTF-8"),
    ],
)
def test_its_failure_is_named_without_the_value(tmp_path: Path, code: str, word: str) -> None:
    (tmp_path / "source.py").write_text(code)
    value, what = _from(sys.executable, str(tmp_path / "source.py"))
    assert value is None
    assert word in what
    assert CANARY not in what


def test_a_command_that_is_not_there() -> None:
    assert "cannot run 'no-such-program-0451'" in _from("no-such-program-0451")[1]


def test_no_shell_reads_it() -> None:
    assert _from("echo", "$HOME;", "id")[0] == "$HOME; id"


def test_without_the_keyring_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    _, failed = effective_values(
        frozenset({"TOKEN"}), env={}, sources={"TOKEN": SecretSource(keyring="bottlegen/me")}, provisioned={}
    )
    assert failed["TOKEN"].fix == "pip install 'bottlegen[keyring]'"
