"""What a review of a profile with 5,000 routes costs, as whole commands: diff, explain and graph."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from _paired import middle, milliseconds, rounds, table

ROOT = Path(__file__).parents[1]
ROUTES = 5_000
ROUNDS = 7
FLOOR = 'python -c "import pydantic, invoke"'


def profile(hosts: int, *, changed: int = 0) -> str:
    """ROUTES over as many hosts, of which every `changed`-th has another method."""
    parts = ['[agent_provider]\ntemplate = "shell"\n']
    for number in range(ROUTES):
        host = number * hosts // ROUTES
        methods = '["GET", "PUT"]' if changed and number % changed == 0 else '["GET", "POST"]'
        parts.append(
            f'[[egress.routes]]\nhost = "h{host}.example.com"\nmethods = {methods}\npaths = ["/r{number}/**"]\n'
            f'auth = {{ token_ref = "TOKEN_{host % 20}" }}\n'
        )
    return "\n".join(parts)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bottlegen-bench.") as place:
        folder = Path(place) / "profiles"
        folder.mkdir()
        for hosts in (1, 500):
            (folder / f"hosts{hosts}.toml").write_text(profile(hosts))
            (folder / f"changed{hosts}.toml").write_text(profile(hosts, changed=100))
        (folder / "small.toml").write_text('[agent_provider]\ntemplate = "shell"\n')
        measure(Path(place))


def measure(folder: Path) -> None:
    processor: dict[str, list[float]] = {}

    def timed(name: str, *arguments: str) -> Callable[[], object]:
        def run() -> None:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)}
            subprocess.run([sys.executable, *arguments], cwd=folder, env=env, stdout=subprocess.DEVNULL, check=False)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            processor.setdefault(name, []).append(used)

        return run

    cli = ("-m", "runtime.cli")
    things = {FLOOR: timed(FLOOR, "-c", "import pydantic, invoke")}
    for hosts in (500, 1):
        name = f"diff, {hosts} host{'s' * (hosts > 1)}, 50 changes"
        things[name] = timed(name, *cli, "diff", "--from", f"hosts{hosts}", "--to", f"changed{hosts}")
    same, asked, drawn = "diff, 500 hosts, no change", "explain, 500 hosts", "graph, 500 hosts"
    things[same] = timed(same, *cli, "diff", "--from", "hosts500", "--to", "hosts500")
    url = "https://h250.example.com/r2500/x"
    things[asked] = timed(asked, *cli, "explain", "--profile", "hosts500", "--request", url)
    things[drawn] = timed(drawn, *cli, "graph", "--profile", "hosts500")
    taken = rounds(ROUNDS, things)
    table(
        f"A profile of {ROUTES} routes, fresh process each (median of {ROUNDS} rounds)",
        ("", "time", "processor, median", "processor, least"),
        (
            (name, *map(milliseconds, (middle(times), middle(processor[name][1:]), min(processor[name][1:]))))
            for name, times in taken.items()
        ),
    )


if __name__ == "__main__":
    main()
