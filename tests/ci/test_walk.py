"""The walk of docs/review.md, its commands as they stand there, in a git repository with a remote."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.cli.test_diff import Repository

PAGE = (Path(__file__).parents[2] / "docs" / "review.md").read_text()


def test_the_walk(tmp_path: Path) -> None:
    project = Repository(tmp_path / "project")
    project.run("build")
    project.commit()
    project.git("init", "-q", "--bare", "-b", "main", str(tmp_path / "origin.git"))
    project.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    project.git("push", "-q", "-u", "origin", "main")
    for key, value in (("user.name", "a"), ("user.email", "a@example.com"), ("commit.gpgsign", "false")):
        project.git("config", key, value)
    walk = PAGE.partition("## A walk")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```$", walk, re.DOTALL | re.MULTILINE)
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "TMPDIR": str(tmp_path),
        "MY_TOKEN": "x",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "--norc", "-euo", "pipefail", "-c", "\n".join(blocks)], cwd=project.folder, env=env, text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(blocks) == 6
    said = "- routes: `MY_TOKEN now also reaches POST api.example.com/repos/*/issues`"
    assert said in done.stdout
    assert said in walk
    assert "in origin/main (" in done.stderr
    assert "Meant, says `trailer Bottle-Widens of commit " in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith("sha256-")
    assert (tmp_path / "dev.svg").read_text().startswith("<svg ")
    after = project.run(
        "up", "--profile", "dev", "--name", "No Name", BOTTLEGEN_HOST_CONFIG=str(tmp_path / "host/host.toml")
    )
    assert "'No Name' cannot name a bottle" in after.stderr  # the gate stood open
