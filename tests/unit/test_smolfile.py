"""The Smolfile of a bundle: the machine of the agent as text, in one spelling, without a path of any host."""

import tomllib

import pytest

from bottlegen.plan import Resources
from bottlegen.smolfile import render

PROXY = {"HTTPS_PROXY": "http://egress:3128", "NAME": "egress"}
LIMITS = Resources(cpus=2.5, memory=4 << 30, pids=512)


def test_it_says_what_the_machine_may_reach_and_have():
    file = render(["codex", "--x"], PROXY, ".", LIMITS)
    assert (file.path, file.mode) == ("Smolfile", 0o644)
    assert tomllib.loads(file.data.decode()) == {
        "cmd": ["codex", "--x"],
        "cpus": 2,
        "memory": 4096,
        "env": ["HTTPS_PROXY=http://198.51.100.1:3128", "NAME=egress"],
        "workdir": "/workspace",
        "volumes": ["./:/workspace"],
        "network": {"allow_cidrs": ["198.51.100.1/32"], "allow_host_patterns": ["host.smolvm.internal"]},
    }


@pytest.mark.parametrize(("source", "volumes"), [("src/app", ["./src/app:/workspace"]), ("", None)])
def test_the_workspace_is_where_the_command_is_typed(source, volumes):
    assert tomllib.loads(render(["x"], {}, source, LIMITS).data.decode()).get("volumes") == volumes


def test_less_than_one_processor_is_one():
    small = Resources(cpus=0.5, memory=1 << 30, pids=1)
    assert tomllib.loads(render(["x"], {}, "", small).data.decode())["cpus"] == 1


def test_its_bytes_are_pinned():
    assert render(["a b"], {"N": 'q"\\'}, "", LIMITS).data == (
        b'cmd = [\n    "a b",\n]\ncpus = 2\nmemory = 4096\nenv = [\n    "N=q\\"\\\\",\n]\n\n'
        b'[network]\nallow_cidrs = [\n    "198.51.100.1/32",\n]\n'
        b'allow_host_patterns = [\n    "host.smolvm.internal",\n]\n'
    )
