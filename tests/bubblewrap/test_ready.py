"""When a sidecar counts as ready: not before the first line of its audit is written."""

import json
import socket
from pathlib import Path

import pytest

from bottlegen.errors import RuntimeFailure
from runtime.bubblewrap import records
from tests.contract.bottle import make_runtime


@pytest.mark.parametrize("audited", [True, False])
def test_it_listens_and_its_audit_has_begun(tmp_path: Path, audited: bool) -> None:
    with make_runtime("bubblewrap", tmp_path) as runtime:
        folder = records.claim(runtime._root, "b", {"session": "s", "ready": {"egress": ["bottle", 3128]}})
        service = folder.service("egress")
        service.mkdir()
        (service / "order").write_text(json.dumps({"audit": {"folder": "audit"} if audited else None}))
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(folder.sockets("bottle") / "3128"))
            door.listen()
            if audited:
                with pytest.raises(RuntimeFailure, match="is not ready after"):
                    runtime.wait_ready("b", "egress", 0.1)
                (service / "recording").touch()
            runtime.wait_ready("b", "egress", 0.1)
