"""What `up --detach` and `down` cost, warm, against the same engine objects made by bare engine calls.

The floor does what no arrangement could leave out: two networks, two containers from the same images with the same
limits and mounts, the sidecar on both networks, started, the sidecar listening, the agent running; then all removed.
It makes its calls one after the other in one process that has the SDK loaded; `up` pays for its own interpreter.
"""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _paired import middle, milliseconds, progress, ratio, rounds, table

ROOT = Path(__file__).parents[1]
ROUNDS = 7
NAME = f"bench-{os.getpid()}"
OWNER = 1000
FLOOR_UP, FLOOR_DOWN = "engine calls: up", "engine calls: down"
UP, DOWN = "bottlegen up --detach", "bottlegen down"
LOADED_UP, LOADED_DOWN = "the same, libraries loaded: up", "the same, libraries loaded: down"
IMPORTS = "import invoke, pydantic, docker, cryptography.x509"
LIBRARIES = f'python -c "{IMPORTS}"'


class Bench:
    """One workspace and home, and both ways to make a bottle on them."""

    def __init__(self, folder: Path, api: Any) -> None:
        self.api = api
        self.work = folder / "work"
        self.work.mkdir()
        self.home = folder / "home"  # of the floor; bottlegen makes its own, which goes when nothing is in it
        self.home.mkdir()
        for path in (self.work, self.home):
            os.chown(path, OWNER, OWNER)
        folder.chmod(0o755)
        settings = folder / "config" / "bottlegen" / "host.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text('[images]\nbase = "debian:bookworm-slim"\n')  # what the engine has; no registry is needed
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }
        self.made: dict[str, Any] = {}

    def bottlegen(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "runtime.cli", *arguments],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"bottlegen {arguments[0]} failed:\n{done.stderr}")

    def up(self) -> None:
        self.bottlegen(
            "up", "--profile", "shell", "--name", NAME, "--detach", "--workspace", str(self.work), "--", "sleep", "600"
        )

    def down(self) -> None:
        self.bottlegen("down", "--name", NAME)

    def loaded_up(self) -> None:
        """What the command does, in this process: as the floor, it has its libraries loaded."""
        from runtime.up import UpRequest, bring_up

        request = UpRequest(
            profile="shell",
            name=NAME,
            dev=False,
            detach=True,
            workspace=str(self.work),
            runtime="",
            command=("sleep", "600"),
            as_json=False,
        )
        with contextlib.redirect_stdout(io.StringIO()):
            bring_up(request)

    def loaded_down(self) -> None:
        from runtime.bottles import take_down

        with contextlib.redirect_stdout(io.StringIO()):
            take_down(NAME, everything=False, purge=False)

    def learn(self) -> None:
        """Take images and settings of the floor from a bottle that is up, so that both are the same."""
        for service in ("egress", "agent"):
            found = self.api.inspect_container(f"bottlegen-{NAME}-{service}")
            for mount in found["HostConfig"].get("Mounts") or ():
                if not Path(mount["Source"]).is_relative_to(self.work):
                    mount["Source"] = str(self.home)
            self.made[service] = {"config": found["Config"], "host": found["HostConfig"]}

    def bare_up(self) -> None:
        inside, outside = f"{NAME}-floor-inside", f"{NAME}-floor-outside"
        self.api.create_network(
            inside, driver="bridge", internal=True, options={"com.docker.network.bridge.inhibit_ipv4": "true"}
        )
        self.api.create_network(outside, driver="bridge")
        egress = self._create("egress", outside, ["sh", "-c", "echo ready; exec sleep 600"])
        self.api.connect_container_to_network(egress, inside)
        self.api.start(egress)
        while b"ready" not in self.api.logs(egress):
            time.sleep(0.005)
        agent = self._create("agent", inside, ["sleep", "600"])
        self.api.start(agent)

    def _create(self, service: str, network: str, command: list[str]) -> str:
        config, host = self.made[service]["config"], dict(self.made[service]["host"])
        host["NetworkMode"] = network
        host["ExtraHosts"] = None
        created = self.api.create_container_from_config(
            {
                "Image": config["Image"],
                "User": config["User"],
                "Env": config["Env"],
                "Entrypoint": [],
                "Cmd": command,
                "HostConfig": host,
            },
            name=f"{NAME}-floor-{service}",
        )
        return str(created["Id"])

    def bare_down(self) -> None:
        for service in ("agent", "egress"):
            self.api.remove_container(f"{NAME}-floor-{service}", force=True, v=True)
        for side in ("inside", "outside"):
            self.api.remove_network(f"{NAME}-floor-{side}")

    def clean(self) -> None:
        """Whatever is left when a round was interrupted."""
        self.bottlegen("down", "--name", NAME, "--purge")
        for part in self.api.containers(all=True, filters={"name": f"{NAME}-floor-"}):
            self.api.remove_container(part["Id"], force=True)
        for part in self.api.networks(names=[f"{NAME}-floor-"]):
            self.api.remove_network(part["Id"])


def engine() -> Any:
    """A client of the engine; without one the bench says so and ends well."""
    import docker

    try:
        return docker.APIClient(version="auto", timeout=120)
    except docker.errors.DockerException as e:
        print(f"skipped: no docker engine answers ({e})")
        raise SystemExit(0) from e


def main() -> None:
    api = engine()
    with tempfile.TemporaryDirectory(prefix="bottlegen-bench-") as folder:
        bench = Bench(Path(folder), api)
        try:
            bench.up()  # builds the images where they are missing
            bench.learn()
            bench.down()
            os.environ.update(bench.env)
            bench.loaded_up()  # imports what it needs
            bench.loaded_down()
            times = measured(bench)
        finally:
            bench.clean()
    show(times)


def measured(bench: Bench) -> dict[str, list[float]]:
    """Seconds by step and round. What one side made is removed before the other begins, and sides take turns."""
    sides = [
        {UP: bench.up, DOWN: bench.down},
        {FLOOR_UP: bench.bare_up, FLOOR_DOWN: bench.bare_down},
        {LOADED_UP: bench.loaded_up, LOADED_DOWN: bench.loaded_down},
    ]
    times: dict[str, list[float]] = {name: [] for side in sides for name in side}
    for number in range(ROUNDS):
        turn = number % len(sides)
        for side in sides[turn:] + sides[:turn]:
            for name, step in side.items():
                begun = time.perf_counter()
                step()
                times[name].append(time.perf_counter() - begun)
        progress(f"round {number + 1} of {ROUNDS}")
    progress("")
    libraries = rounds(ROUNDS, {LIBRARIES: lambda: subprocess.run([sys.executable, "-c", IMPORTS], check=True)})
    return times | libraries


def show(times: dict[str, list[float]]) -> None:
    pairs = (
        (FLOOR_UP, FLOOR_UP), (LOADED_UP, FLOOR_UP), (UP, FLOOR_UP),
        (FLOOR_DOWN, FLOOR_DOWN), (LOADED_DOWN, FLOOR_DOWN), (DOWN, FLOOR_DOWN),
    )  # fmt: skip
    rows = [(name, milliseconds(middle(times[name])), f"{ratio(times, name, floor):.2f}") for name, floor in pairs]
    rows.append((LIBRARIES, milliseconds(middle(times[LIBRARIES])), "part of up and down, not of the floor"))
    table(f"A bottle of profile shell, warm (median of {ROUNDS} rounds)", ("", "time", "ratio to the floor"), rows)


if __name__ == "__main__":
    main()
