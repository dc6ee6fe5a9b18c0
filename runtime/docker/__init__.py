"""The docker runtime: one isolated network per bottle, with the egress sidecar as the only way out of it."""

from runtime.docker.runtime import DockerRuntime

__all__ = ["DockerRuntime"]
