"""What a bottle of bubblewrap costs: its start beside bare bwrap and beside docker, its memory, and thirty at once.

The floor is what no arrangement could leave out: the same two command lines of bwrap, by the same keepers, from one
process that has everything loaded, with the same programs inside until both say that they are there.
"""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from _paired import middle, milliseconds, progress, ratio, table

ROOT = Path(__file__).parents[1]
ROUNDS = 7
MANY = 30
OWNER = 1000
BARE, LOADED, COMMAND = "bare bwrap: two sandboxes", "up, libraries loaded", "bottlegen up --detach"
DOWN, DOCKER, DOCKER_DOWN = "bottlegen down", "docker: bottlegen up --detach", "docker: bottlegen down"
IMPORTS = "import invoke, pydantic, cryptography.x509"
LIBRARIES = f'python -c "{IMPORTS}"'
_ORDER = (BARE, LOADED, COMMAND, DOWN, DOCKER, DOCKER_DOWN, LIBRARIES)


class Bench:
    """One workspace, and every way to bring something up in it."""

    def __init__(self, folder: Path, more_settings: str = "") -> None:
        self.name = f"bench-{os.getpid()}"
        self.work = folder / "work"
        self.work.mkdir()
        if os.geteuid() == 0:
            os.chown(self.work, OWNER, OWNER)
        folder.chmod(0o755)
        settings = folder / "host.toml"
        # the base that the engine has: no registry is needed
        settings.write_text(f'[images]\nbase = "debian:bookworm-slim"\n{more_settings}')
        here = {"XDG_STATE_HOME": str(folder / "state"), "BOTTLEGEN_HOST_CONFIG": str(settings)}
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), **here}
        os.environ.update(self.env)
        self.bare: list[subprocess.Popen[bytes]] = []

    def bottlegen(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "runtime.cli", *arguments], cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"bottlegen {arguments[0]} failed:\n{done.stderr}")
        return done.stdout

    def up(self, name: str = "", runtime: str = "bubblewrap", profile: Path | None = None, seconds: int = 600) -> None:
        """`profile` is one of our own, which no one has reviewed."""
        asked = ("--dev", "--profile", str(profile)) if profile else ("--profile", "shell")
        self.bottlegen(
            "up", *asked, "--name", name or self.name, "--runtime", runtime, "--detach",
            "--workspace", str(self.work), "--", "sleep", str(seconds),
        )  # fmt: skip

    def down(self, name: str = "") -> None:
        self.bottlegen("down", "--name", name or self.name)

    def loaded_up(self) -> None:
        from runtime.up import UpRequest, bring_up

        request = UpRequest(
            profile="shell", name=self.name, dev=False, detach=True, workspace=str(self.work), runtime="bubblewrap",
            command=("sleep", "600"), as_json=False,
        )  # fmt: skip
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            bring_up(request)

    def loaded_down(self) -> None:
        from runtime.bottles import take_down

        with contextlib.redirect_stdout(io.StringIO()):
            take_down(self.name, everything=False, purge=False)

    def bare_up(self) -> None:
        """Two sandboxes with a Python each, as ours have, one after the other; both have said that they run."""
        for _ in range(2):
            process = subprocess.Popen(self._bare_command(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
            self.bare.append(process)
        for process in self.bare:
            assert process.stdout
            process.stdout.read(1)

    def _bare_command(self) -> list[str]:
        from runtime.bubblewrap import tools

        found = tools.find(os.environ)
        prefix = ["--ro-bind", str(found.prefix), str(found.prefix)] if found.prefix else []
        return [
            str(found.bwrap), "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib",
            "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", *prefix, "--proc", "/proc",
            "--dev", "/dev", "--tmpfs", "/tmp", str(found.python), "-I", "-S", "-c",
            "import asyncio, ctypes, json, socket; print('.', flush=True); asyncio.run(asyncio.sleep(600))",
        ]  # fmt: skip

    def bare_down(self) -> None:
        for process in self.bare:
            process.kill()
            process.wait()
        self.bare.clear()


def measured(bench: Bench, docker: bool) -> dict[str, list[float]]:
    """Seconds by step and round: each way once a round, in turning order, and taken down before the next begins."""
    ways: list[tuple[str, Callable[[], None], str, Callable[[], None]]] = [
        (BARE, bench.bare_up, "", bench.bare_down),
        (LOADED, bench.loaded_up, "", bench.loaded_down),
        (COMMAND, bench.up, DOWN, bench.down),
        (LIBRARIES, lambda: subprocess.run([sys.executable, "-c", IMPORTS], check=True), "", lambda: None),  # type: ignore[list-item]
    ]
    if docker:
        ways.append((DOCKER, lambda: bench.up(runtime="docker"), DOCKER_DOWN, bench.down))
    times: dict[str, list[float]] = {}
    for number in range(ROUNDS + 1):
        turn = number % len(ways)
        for up_name, up, down_name, down in ways[turn:] + ways[:turn]:
            for name, step in ((up_name, up), (down_name, down)):
                begun = time.perf_counter()
                step()
                if number and name:  # the first round warms
                    times.setdefault(name, []).append(time.perf_counter() - begun)
        progress(f"round {number} of {ROUNDS}")
    progress("")
    return times


def memory(bench: Bench) -> list[tuple[str, str]]:
    """Proportional set sizes in MB of one bottle's processes, by what they are."""
    bench.up()
    try:
        below = descendants(bench)
        sizes: dict[str, float] = {}
        for pid in below:
            try:
                name = kind(pid)
                sizes[name] = sizes.get(name, 0) + share(pid, "Pss")
            except OSError:
                continue
    finally:
        bench.down()
    rows = [(name, f"{size:.1f} MB") for name, size in sorted(sizes.items(), key=lambda item: -item[1])]
    return [*rows, ("all of the bottle", f"{sum(sizes.values()):.1f} MB")]


def share(pid: int, field: str) -> float:
    """MB of a process: Rss, or Pss, which counts a page shared by n as 1/n."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def kind(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    if b"keeper.py" in b" ".join(words):
        return "two keepers"
    if words[0].endswith(b"bwrap"):
        return "two bwrap"
    if words[0].startswith(b"envoy"):
        return "Envoy"
    return "two first processes" if b"python" in words[0] else "the agent (sleep)"


def descendants(bench: Bench) -> set[int]:
    """Every process of the bottle: its keepers, known by their folder, and all below them."""
    parents = {}
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if f"/bubblewrap/{bench.name}/".encode() in (path / "cmdline").read_bytes().replace(b"\0", b"/"):
                found.add(int(path.name))
    while new := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= new
    return found


def many(bench: Bench) -> list[tuple[str, str]]:
    """Thirty bottles, started four commands at a time; each answers; all removed."""
    names = [f"{bench.name}-{number}" for number in range(MANY)]
    rows = []

    def all_of(title: str, step: Callable[[str], object]) -> None:
        begun = time.perf_counter()
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(step, names))
        seconds = time.perf_counter() - begun
        rows.append((title, f"{seconds:.1f} s", f"{seconds / MANY * 1e3:.0f} ms"))

    def answers(name: str) -> None:
        said = bench.bottlegen("exec", "--name", name, "--", "sh", "-c", "curl -sS https://no.test/ 2>&1 || true")
        if "403" not in said:
            raise SystemExit(f"{name} does not answer: {said}")

    try:
        before = _available()
        all_of("up", bench.up)
        rows.append(
            ("memory that is gone then", f"{before - _available():.0f} MB", f"{(before - _available()) / MANY:.1f} MB")
        )
        all_of("each refuses a request by its own sidecar", answers)
        all_of("down", bench.down)
    finally:
        for name in names:
            bench.bottlegen("down", "--purge", "--name", name)
    return rows


def _available() -> float:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable"))


def engine_answers() -> bool:
    import docker

    try:
        docker.from_env(timeout=10).ping()
    except docker.errors.DockerException as e:
        print(f"skipped: docker beside bubblewrap: no engine answers ({e})")
        return False
    return True


def main() -> None:
    if sys.platform != "linux":
        raise SystemExit("skipped: namespaces are Linux's")
    with tempfile.TemporaryDirectory(prefix="bottlegen-bench-") as folder:
        bench = Bench(Path(folder))
        times = measured(bench, engine_answers())
        rows = [(name, milliseconds(middle(times[name])), _over(times, name)) for name in _ORDER if name in times]
        table(f"A bottle of profile shell, warm (median of {ROUNDS} rounds)", ("", "time", "over bare bwrap"), rows)
        table("Memory of one bottle, each page shared by n counted as 1/n", ("", "PSS"), memory(bench))
        table(f"{MANY} bottles at once, four commands at a time", ("", "all", "each"), many(bench))


def _over(times: dict[str, list[float]], name: str) -> str:
    if name not in (LOADED, COMMAND, DOCKER):
        return ""
    more = middle([one - other for one, other in zip(times[name], times[BARE], strict=True)])
    return f"{milliseconds(more)} ({ratio(times, name, BARE):.1f} times)"


if __name__ == "__main__":
    main()
