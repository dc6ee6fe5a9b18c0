"""The one place that knows how to reach a docker engine and what its failures mean to a user."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bottlegen.errors import RuntimeFailure

Api = Any
"""docker.APIClient, untyped: the low-level client answers in one request where the high one needs three."""

_TIMEOUT = 120
_SOCKET = Path("/var/run/docker.sock")
"""Where the library looks when nothing names an engine."""

_INSTALL = "not installed? https://docs.docker.com/engine/install/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What a runtime must know of the engine. `local` is whether its bind mounts are this host's folders, `plain`
    whether a connection to it can be handed to another process, `runtimes` the names of the OCI runtimes that it was
    configured with, `default_runtime` the one that it takes unasked."""

    api: Api
    version: tuple[int, ...]
    platform: str
    local: bool
    plain: bool
    rootless: bool
    remapped: bool
    cpus: int
    cgroup_v1: bool
    runtimes: tuple[str, ...]
    default_runtime: str


def connect(env: Mapping[str, str]) -> Engine:
    """The engine that DOCKER_HOST or the current docker context names."""
    if _surely_absent(env):
        raise _unreachable(FileNotFoundError("No such file"))
    import docker

    with translated("reach the docker engine"):
        host, tls = _endpoint(env)
        api = docker.APIClient(base_url=host, tls=tls, version="auto", timeout=_TIMEOUT)
        info = api.info()
        version = api.version(api_version=False)
    if info.get("OSType") != "linux":
        raise RuntimeFailure("the docker engine runs no linux containers", fix="switch it to linux containers")
    options = " ".join(info.get("SecurityOptions") or ())
    return Engine(
        api=api,
        version=_numbers(version["Version"]),
        platform=f"linux/{version['Arch']}",
        local=host is None or host.startswith(("unix://", "http+unix://", "npipe://")),
        plain=not tls and not str(host or "").startswith(("ssh://", "https://")),
        rootless="name=rootless" in options,
        remapped="name=userns" in options,
        cpus=int(info.get("NCPU") or 1),
        cgroup_v1=info.get("CgroupVersion", "1") == "1",
        runtimes=tuple(sorted(info.get("Runtimes") or ())),
        default_runtime=str(info.get("DefaultRuntime") or "runc"),
    )


def _surely_absent(env: Mapping[str, str]) -> bool:
    """Whether nothing here speaks of an engine: then its library need not be loaded to find none."""
    config = Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME") or "/") / ".docker") / "config.json"
    named = env.get("DOCKER_HOST") or env.get("DOCKER_CONTEXT")
    return sys.platform == "linux" and not named and not config.exists() and not _SOCKET.exists()


def _endpoint(env: Mapping[str, str]) -> tuple[str | None, Any]:
    from docker.context import ContextAPI
    from docker.utils import kwargs_from_env

    if env.get("DOCKER_HOST"):
        settings = kwargs_from_env(environment=dict(env))
        return settings["base_url"], settings.get("tls", False)
    context: Any = ContextAPI.get_context(env.get("DOCKER_CONTEXT") or None)
    if context is None:
        return None, False
    return context.Host or None, context.TLSConfig or False


def _numbers(version: str) -> tuple[int, ...]:
    """`20.10.24+dfsg1` as (20, 10)."""
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    return (int(major) if major.isdigit() else 0, int(minor) if minor.isdigit() else 0)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the SDK and its HTTP library raise into RuntimeFailure: `cannot <doing>: …`."""
    import requests
    from docker.errors import APIError, DockerException

    try:
        yield
    except APIError as e:
        explanation = str(e.explanation or e)
        raise RuntimeFailure(f"cannot {doing}: {explanation}", fix=_fix(explanation)) from e
    except (DockerException, requests.RequestException, OSError) as e:
        raise _unreachable(e) from e


def _unreachable(error: Exception) -> RuntimeFailure:
    text = str(error)
    if "Permission" in text:
        fix = "sudo usermod -aG docker $USER, then log in again; or use rootless docker"
        return RuntimeFailure("you may not use the docker engine: permission denied on its socket", fix=fix)
    if "FileNotFound" in text or "No such file" in text:
        return RuntimeFailure(
            "no docker engine here: its socket does not exist", fix=f"sudo systemctl start docker\n{_INSTALL}"
        )
    if "refused" in text:
        return RuntimeFailure("the docker engine does not answer", fix=f"sudo systemctl start docker\n{_INSTALL}")
    if "timed out" in text or "Timeout" in text:
        return RuntimeFailure(
            "the docker engine does not answer in time", fix="docker info; sudo systemctl restart docker"
        )
    return RuntimeFailure(f"cannot talk to the docker engine: {text}", fix="docker info; check DOCKER_HOST")


def _fix(explanation: str) -> str:
    known = {
        "address pool": "bottlegen down --all frees networks; or widen default-address-pools of the engine",
        "no space left": "free disk space of the engine: docker system df shows what uses it",
        "No such image": "bottlegen up builds it again",
        "Range of CPUs": "lower resources.cpus in the profile to what the engine has",
        "memory limit": "raise resources.memory in the profile",
        "network": "docker network ls; check [docker] outside_network in host.toml",
    }
    return next((fix for text, fix in known.items() if text in explanation), "docker info; then try again")
