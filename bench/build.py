"""What building costs: one profile against the import of the libraries it needs, and how many profiles grow."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from _paired import Times, middle, milliseconds, progress, ratio, rounds, table

ROOT = Path(__file__).parents[1]
ROUNDS = 15
MANY = (100, 300, 1000)
MANY_ROUNDS = 3
FLOOR = 'python -c "import pydantic, yaml"'

_LIBRARY_HASH = """
from bottlegen.pins import load
from bottlegen.pipeline import build, load_profile
build(load_profile("profiles/codex.toml"), load()).hash
"""
_LIBRARY_BUILD = """
from pathlib import Path
from runtime.build import build_bundles
build_bundles("codex", check=False, out="", as_json=False, cwd=Path.cwd())
"""


class Project:
    """A folder with profiles of its own and a cache that nobody else fills."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "profiles").mkdir(parents=True)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def python(self, *arguments: str) -> Callable[[], object]:
        def run() -> None:
            subprocess.run(
                [sys.executable, *arguments], cwd=self.folder, env=self.env, stdout=subprocess.DEVNULL, check=True
            )

        return run

    def cli(self, *arguments: str) -> Callable[[], object]:
        return self.python("-m", "runtime.cli", *arguments)

    def cold(self, run: Callable[[], object]) -> Callable[[], object]:
        """`run` with neither bundles nor the cache. Removing them is measured too; it is a hundredth of the rest."""

        def removed_first() -> None:
            shutil.rmtree(self.folder / "bundles", ignore_errors=True)
            shutil.rmtree(self.folder / "cache", ignore_errors=True)
            run()

        return removed_first


@contextmanager
def project(name: str) -> Iterator[Project]:
    with tempfile.TemporaryDirectory(prefix="bottlegen-bench-") as folder:
        yield Project(Path(folder) / name)


def one() -> None:
    """Fresh processes around one profile."""
    with project("one") as cold, project("two") as same:
        for place in (cold, same):
            shutil.copy(ROOT / "profiles" / "codex.toml", place.folder / "profiles")
        same.cli("build")()
        things = {
            FLOOR: same.python("-c", "import pydantic, yaml"),
            "library: build and hash in memory": same.python("-c", _LIBRARY_HASH),
            "library: build, cold": cold.cold(cold.python("-c", _LIBRARY_BUILD)),
            "library: build, unchanged": same.python("-c", _LIBRARY_BUILD),
            "command: --help": same.cli("--help"),
            "command: hash": same.cli("hash", "--profile", "codex"),
            "command: build, cold": cold.cold(cold.cli("build", "--profile", "codex")),
            "command: build, unchanged": same.cli("build", "--profile", "codex"),
        }
        times = rounds(ROUNDS, things)
    rows = [(name, milliseconds(middle(times[name])), f"{ratio(times, name, FLOOR):.2f}") for name in things]
    table(f"One profile, fresh process each (median of {ROUNDS} rounds)", ("", "time", "ratio to the first"), rows)


def many() -> None:
    """The whole folder by `build`: everything new, and nothing new."""
    rows = []
    first: Times = {}
    for count in MANY:
        progress(f"{count} profiles")
        with project("many") as place:
            for number in range(count):
                write_profile(place.folder / "profiles", number)
            build = place.cli("build")
            times = rounds(MANY_ROUNDS, {"cold": place.cold(build), "unchanged": build})
        each = {name: [seconds / count for seconds in taken] for name, taken in times.items()}
        first = first or each
        growth = [f"{middle(each[name]) / middle(first[name]):.2f}" for name in ("cold", "unchanged")]
        rows.append(
            (
                str(count),
                f"{middle(times['cold']):.2f} s",
                milliseconds(middle(each["cold"])),
                growth[0],
                f"{middle(times['unchanged']):.2f} s",
                milliseconds(middle(each["unchanged"])),
                growth[1],
            )
        )
    head = ("profiles", "cold", "each", "to first row", "unchanged", "each", "to first row")
    table(f"Many profiles, one process (median of {MANY_ROUNDS} rounds; 1.00 is linear growth)", head, rows)


def write_profile(folder: Path, number: int) -> None:
    """Profile `number`: nine routes; every tenth is a base that the nine after it extend."""
    routes = "".join(
        f'[[egress.routes]]\nhost = "api-{number}-{route}.example.org"\nmethods = ["GET", "POST"]\n'
        f'paths = ["/repos/*/{route}/**", "/v{route}"]\nauth = {{ token_ref = "TOKEN_{route % 3}" }}\n'
        for route in range(6)
    ) + "".join(f'[[egress.routes]]\nhost = "*.mirror-{number}-{route}.example.org"\n' for route in range(3))
    base = number - number % 10
    start = f'extends = ["profile-{base}.toml"]\n' if number % 10 else ""
    template = ("codex", "claude", "shell")[base // 10 % 3]
    head = f'[agent_provider]\ntemplate = "{template}"\n[env]\nNUMBER = "{number}"\n'
    (folder / f"profile-{number}.toml").write_text(start + head + routes)


if __name__ == "__main__":
    one()
    many()
