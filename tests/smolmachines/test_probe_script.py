"""The probes' own script, against a listener of this process."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import runtime

SCRIPT = Path(runtime.__file__).with_name("probe_script.py")


def test_what_a_monitor_ends_late_is_shut_and_a_door_is_not_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def monitor() -> None:
            taken = [server.accept()[0] for _ in range(2)]
            time.sleep(0.8)
            for stream in taken:
                stream.close()

        ending = Thread(target=monitor)
        ending.start()
        told = {
            "attempts": [[f"{what} 127.0.0.1:{port}", "tcp", "127.0.0.1", port] for what in ("door", "port")],
            "stays": 0.2, "ends": 30, "scan": {}, "canary": ["not", "here"], "folders": [str(tmp_path)],
            "read_only": [],
        }  # fmt: skip
        command = [sys.executable, "-I", "-S", "-B", str(SCRIPT), json.dumps(told)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        ending.join()
    tried = json.loads(done.stdout)["attempts"]
    assert [tried[f"{what} 127.0.0.1:{port}"] for what in ("door", "port")] == ["connected", "closed"]
