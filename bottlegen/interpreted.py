"""Agents that are no programs of their own: an interpreter from its own pin, and a script that starts them with it."""

from bottlegen.pins import Pins
from bottlegen.plan import Image, RenderedFile

PROGRAMS = "/opt/agent"
"""Where the image's `agent/` is in the bottle; its `bin` is on the agent's PATH."""

_CONTEXT = "images/agent"


def node_image(pins: Pins, name: str, version: str) -> Image:
    """The agent `name` with the pinned Node; what it was tried with, whatever the base image has."""
    return Image(context=_CONTEXT, base=pins.base, artifacts=(*pins.artifacts(name, version), *pins.artifacts("node")))


def launcher(name: str, *command: str) -> RenderedFile:
    """A program `name` on the agent's PATH that is `command` with the arguments it is given."""
    words = " ".join(command)
    return RenderedFile(
        path=f"{_CONTEXT}/agent/bin/{name}", data=f'#!/bin/sh\nexec {words} "$@"\n'.encode(), mode=0o755
    )
