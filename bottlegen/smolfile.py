"""The bundle's Smolfile: the agent's machine for who runs plain smolvm, reaching nothing until an interceptor is bound.

It holds no host path: the workspace is what lies where the command is typed. `smolvm machine create -s` reads it
strictly; labels, name, image and interceptor are no part of its format.
"""

from collections.abc import Mapping, Sequence
from math import floor

import tomli_w

from bottlegen.plan import EGRESS_ADDRESS, ONLY_NAME, PROXY_HOST, PROXY_PORT, WORKSPACE, RenderedFile, Resources

PATH = "Smolfile"

_MIB = 1024 * 1024


def render(command: Sequence[str], env: Mapping[str, str], source: str, resources: Resources) -> RenderedFile:
    """`source` is the folder below the user's workspace, `.` for all of it, empty for none."""
    proxy = f"://{PROXY_HOST}:{PROXY_PORT}", f"://{EGRESS_ADDRESS}:{PROXY_PORT}"
    document: dict[str, object] = {
        "cmd": list(command),
        "cpus": max(1, floor(resources.cpus)),
        "memory": resources.memory // _MIB,
        "env": [f"{name}={value.replace(*proxy)}" for name, value in sorted(env.items())],
    }
    if source:
        document |= {"workdir": WORKSPACE, "volumes": [f"./{source.removeprefix('.')}:{WORKSPACE}"]}
    document["network"] = {"allow_cidrs": [f"{EGRESS_ADDRESS}/32"], "allow_host_patterns": [ONLY_NAME]}
    return RenderedFile(path=PATH, data=tomli_w.dumps(document).encode())
