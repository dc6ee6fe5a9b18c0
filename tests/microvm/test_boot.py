"""The published wheel as it is boots a kernel of its own here: what other tests of microVMs say rests on this."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def name() -> Iterator[str]:
    import smol  # only where the marker lets a test run

    made = f"bare-{uuid.uuid4().hex[:8]}"
    yield made
    smol.Machine.delete_by_name(made, smol.ConnectOptions(target="local"))


def test_a_bare_machine_has_its_own_kernel_and_goes_without_a_trace(name):
    import smol

    local = smol.ConnectOptions(target="local")
    config = smol.MachineConfig(name=name, resources=smol.ResourceSpec(cpus=1, memory_mb=256))
    baked = {*(Path.home() / ".cache/smolvm/rootfs").iterdir()}

    machine = smol.Machine.create(config, local)
    codes = [machine.exec(["true"]).exit_code, machine.exec(["false"]).exit_code]
    kernel = machine.exec(["uname", "-r"]).stdout.strip()
    listed = [known.name for known in smol.Machine.list(local)]
    machine.delete()

    assert codes == [0, 1]
    assert kernel[0].isdigit()
    assert kernel != os.uname().release
    assert name in listed
    assert name not in [known.name for known in smol.Machine.list(local)]
    # What the bed unpacked beforehand is what the engine looked for: else each run pays minutes for it.
    assert len(baked) == 1
    assert {*(Path.home() / ".cache/smolvm/rootfs").iterdir()} == baked
