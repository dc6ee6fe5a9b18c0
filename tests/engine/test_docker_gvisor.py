"""The agent's container by another OCI runtime: only one that the engine offers, and gVisor's where it offers that."""

from pathlib import Path

import pytest

from bottlegen.errors import RuntimeFailure
from runtime.docker import DockerRuntime
from tests.engine.bottle import Bottle, SpecMaker, launch, make_folder


def test_an_oci_runtime_that_the_engine_lacks_is_refused(
    make_spec: SpecMaker, runtime: DockerRuntime, tmp_path: Path
) -> None:
    """Before anything is made, with what to do; the control is the one that every engine has."""
    work = make_folder(tmp_path / "work")
    runtime.check(make_spec(workspace=work, oci_runtime="runc"))
    with pytest.raises(RuntimeFailure, match=r"no OCI runtime 'no-such-runtime', only .*runc") as caught:
        runtime.check(make_spec(workspace=work, oci_runtime="no-such-runtime"))
    assert str(caught.value.problems[0].where) == "host.toml  docker.oci_runtime"


@pytest.fixture
def sandboxed(make_spec: SpecMaker, runtime: DockerRuntime, tmp_path: Path) -> Bottle:
    spec = make_spec("sleep", "600", workspace=make_folder(tmp_path / "work"), oci_runtime="runsc")
    launch(spec, runtime)
    runtime.release_agent(spec.bottle)
    return Bottle(name=spec.bottle, spec=spec, runtime=runtime, api=runtime.engine.api)


@pytest.mark.gvisor
def test_the_agent_meets_the_kernel_of_gvisor(sandboxed: Bottle) -> None:
    """Its own kernel, the workspace, and the same way out; the sidecar, the control, has this host's kernel."""
    assert "Starting gVisor" in sandboxed.run("dmesg")[1]
    assert sandboxed.inspect()["HostConfig"]["Runtime"] == "runsc"
    assert sandboxed.inspect("egress")["HostConfig"]["Runtime"] != "runsc"
    host = Path("/proc/version").read_text()
    assert sandboxed.run("cat", "/proc/version", service="egress")[1] == host
    assert sandboxed.run("cat", "/proc/version")[1] != host
    assert sandboxed.run("touch", "/workspace/mine")[0] == 0
    assert "403" in sandboxed.run("curl", "-sS", "https://not-allowed.test/")[1]
