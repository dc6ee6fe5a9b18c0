"""The tasks of a checkout: everything that `bottlegen` offers its users, and what its developers need besides."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from invoke import Context, Exit, task

from runtime.cli import collection, main

ROOT = Path(__file__).parent
namespace = collection()

Step = tuple[str, list[str]]
"""A title and a command."""


@task(
    help={
        "unit": "only tests/unit: seconds, no engine, no network, no linters",
        "engine-required": "fail where a test of the engine, the agents, Envoy or Nix would be skipped, as CI does",
        "k": "only tests whose names match this pytest expression",
        "cov": "show which lines no test ran",
    }
)
def test(_: Context, unit: bool = False, engine_required: bool = False, k: str = "", cov: bool = False) -> None:
    """
    Run the linters, then every test that this machine can run.

    Skipped ones are listed with their reason.

      ./inv test                      what CI runs (there a skip is a failure)
      ./inv test --unit               while you type
      ./inv test -k "nar or bundle"   a few, by name
    """
    if engine_required:
        os.environ["BOTTLEGEN_REQUIRE"] = "engine,namespaces,agents,envoy,nix,sshd"
    options = [*(["tests/unit"] if unit else []), *(["-k", k] if k else [])]
    if not (unit or k or cov):
        # Some of it waits for engines, so one more than two processors; tests/conftest.py says which files come first.
        options += ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
    if cov:
        options += ["--cov", "--cov-report=term-missing:skip-covered"]
    linters = [] if unit or k else _linters()
    _run_all([*linters, ("tests", [sys.executable, "-m", "pytest", *options])])


@task(
    name="test-microvm",
    help={
        "k": "only tests whose names match this pytest expression",
        "minutes": "kill the machine when its tests take longer",
    },
)
def test_microvm(context: Context, k: str = "", minutes: int = 10) -> None:
    """
    Run the tests that boot real microVMs, in an emulated machine.

    Builds that machine's disk first when it must. Needs no KVM: QEMU emulates a
    processor with virtualisation, so this is slow and its timings say nothing of
    yours.

      ./inv test-microvm
    """
    del context
    from tests.microvm import machine
    from tests.microvm.tools import BedError

    pytest = ["python", "-m", "pytest", "-p", "no:cacheprovider", "-m", "microvm", *(["-k", k] if k else [])]
    try:
        status = machine.run([*pytest, "tests/microvm", "tests/contract"], seconds=minutes * 60)
    except BedError as e:
        raise Exit(str(e), code=1) from e
    if status:
        raise Exit(f"failed: microVM tests ({status})", code=1)


@task
def lint(_: Context) -> None:
    """
    Check style, types, the direction of imports and the lock; changes nothing.

    `./inv format` mends what a program can mend. Each rule that is switched off
    says why in pyproject.toml.
    """
    _run_all(_linters())


@task(name="format")
def format_(_: Context) -> None:
    """
    Format the code and apply the linter's safe fixes.

    Look at `git diff` afterwards: the rest of what `./inv lint` names is yours.
    """
    _run_all(
        [
            ("fixes", [_tool("ruff"), "check", "--fix-only", "--quiet"]),
            ("format", [_tool("ruff"), "format", "--quiet"]),
        ]
    )


@task(positional=["name"], help={"name": "a script of bench/ without its .py; none runs them all"})
def bench(_: Context, name: str = "") -> None:
    """
    Measure builds, starts and the egress path, each against a yardstick.

    That is measured in the same run: bench/README.md says how to read the tables.
    Close what else keeps the machine busy first.

      ./inv bench
      ./inv bench --name build
    """
    found = {path.stem: path for path in sorted((ROOT / "bench").glob("[a-z]*.py"))}
    if name and name not in found:
        raise Exit(f"error: no benchmark '{name}'\n  fix: use one of {', '.join(found)}", code=10)
    _run_all([(stem, [sys.executable, str(found[stem])]) for stem in ([name] if name else found)])


@task(help={"check": "write nothing; fail when a page is not what the code would write"})
def docs(_: Context, check: bool = False) -> None:
    """
    Write the pages of docs/ that are made from code.

    Edit the code's own descriptions, then run this and commit both.
    """
    _run_all([("docs", [sys.executable, "docs/generate.py", *(["--check"] if check else [])])])


for added in (test, test_microvm, lint, format_, bench, docs):
    namespace.add_task(added)  # type: ignore[arg-type] # what @task returns is typed as the function too


def _linters() -> list[Step]:
    steps = [
        ("ruff", [_tool("ruff"), "check", "--quiet", "--output-format", "concise"]),
        ("format", [_tool("ruff"), "format", "--check", "--quiet", "--output-format", "concise"]),
        ("types", [_tool("mypy"), "--no-error-summary"]),
        ("imports", [_tool("lint-imports"), "--no-logo"]),
    ]
    return [*steps, ("lock", [uv, "lock", "--check", "--quiet"])] if (uv := _uv()) else steps


def _tool(name: str) -> str:
    """Beside the interpreter, as in a virtual environment; on PATH otherwise, as in a Nix shell."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def _uv() -> str | None:
    """The uv that ./inv used: that on PATH, or the one it fetched. A check of the lock without either is left to CI."""
    return shutil.which("uv") or next((str(path) for path in sorted(ROOT.glob(".inv/uv==*/bin/uv"))), None)


def _run_all(steps: list[Step]) -> None:
    """Run each step, whatever became of the one before, and fail when one failed: one round shows everything."""
    failed = [title for title, command in steps if not _passes(title, command)]
    if failed:
        raise Exit(f"failed: {', '.join(failed)}", code=1)


def _passes(title: str, command: list[str]) -> bool:
    """Run from the checkout's root, whatever the user's folder."""
    begun = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, check=False)
    print(f"{title}: {'failed' if done.returncode else 'ok'} ({time.monotonic() - begun:.1f} s)", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    main(lambda: namespace, "./inv")
