"""Images of agents: a pinned program, or an interpreter from its own pin and a script that starts the agent with it."""

from bottlegen.pins import Pins
from bottlegen.plan import HOME, Image, RenderedFile

PROGRAMS = "/opt/agent"
"""Where the image's `agent/` is in the bottle; its `bin` is on the agent's PATH."""

_CONTEXT = "images/agent"


def program_image(pins: Pins, name: str, version: str) -> Image:
    """The agent `name`, which runs by itself."""
    return Image(context=_CONTEXT, base=pins.base, artifacts=pins.artifacts(name, version))


def node_image(pins: Pins, name: str, version: str, *, beside: tuple[str, ...] = ()) -> Image:
    """The agent `name` with the pinned Node, which it was tried with, whatever the base image has; and with the
    packages `beside` it, each the first that is pinned under its name."""
    others = (artifact for other in ("node", *beside) for artifact in pins.artifacts(other))
    return Image(context=_CONTEXT, base=pins.base, artifacts=(*pins.artifacts(name, version), *others))


def python_image(pins: Pins, name: str, version: str) -> Image:
    """The agent `name` with the pinned Python, among whose own packages its wheels are."""
    artifacts = (*pins.artifacts("python"), *pins.artifacts(name, version))
    return Image(context=_CONTEXT, base=pins.base, artifacts=artifacts)


PYTHON = (f"{PROGRAMS}/lib/python/bin/python3.12", "-I", "-X", f"pycache_prefix={HOME}/.cache/agent-python")
"""Neither the workspace nor a variable can put a module in place of the agent's. Its folder is read-only, and without
compiled modules a start takes three times as long: they are kept in the home."""


def launcher(name: str, *command: str) -> RenderedFile:
    """A program `name` on the agent's PATH that is `command` with the arguments it is given."""
    words = " ".join(command)
    return RenderedFile(
        path=f"{_CONTEXT}/agent/bin/{name}", data=f'#!/bin/sh\nexec {words} "$@"\n'.encode(), mode=0o755
    )
