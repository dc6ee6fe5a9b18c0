"""What is installed brings what ships: profiles, their bundles, and the lock that both were made with."""

import subprocess
import sys
import zipfile
from pathlib import Path

from bottlegen.locate import LOCK_NAME

ROOT = Path(__file__).parents[2]
_BUILD = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"


def test_the_wheel_holds_the_lock_beside_the_profiles(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _BUILD, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert archive.read(f"bottlegen/_shipped/{LOCK_NAME}") == (ROOT / LOCK_NAME).read_bytes()
    assert {"bottlegen/pins.toml", "bottlegen/_shipped/profiles/codex.toml"} <= names
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"bottlegen", "runtime"}
