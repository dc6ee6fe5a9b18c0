"""Towards a remote: verified TLS or ssh to a public address that is pinned before git connects, and no other host."""

import ipaddress
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from settings import PROXY_VARIABLE, Remote, Settings

CODE = Path(__file__).resolve().parent
PYTHON = (sys.executable, "-E", "-s", "-S", "-B")

_OF_THE_WAY_OUT = re.compile(r"CONNECT|Failed to connect|Couldn't connect|Recv failure")
_REFUSED = re.compile(r"\b4\d\d\b")
"""curl's words about a proxy, in several versions, and those of tunnel.py."""


class Unreachable(Exception):
    """The remote cannot be asked; the text is one line for the agent, without any value."""


class Route:
    """Where a remote's host is to be found in this start."""

    def __init__(self, settings: Settings, remote: Remote) -> None:
        self._settings = settings
        self._remote = remote
        self.fixed, self.port = _split(settings.static_hosts.get(remote.host, ""), remote.port)

    @property
    def authority(self) -> str:
        default = {"https": 443, "ssh": 22}[self._remote.transport]
        return self._remote.host + (f":{self.port}" if self.port != default else "")

    @property
    def url(self) -> str:
        user = f"{self._remote.user}@" if self._remote.user else ""
        return f"{self._remote.transport}://{user}{self.authority}{self._remote.path}"

    def addresses(self) -> list[str]:
        """Numeric addresses to connect to; Unreachable when the name leads to none that is allowed."""
        if self.fixed:
            return [self.fixed]
        host = self._remote.host
        try:
            found = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        except OSError as e:
            raise Unreachable(f"{host} cannot be resolved: {e.strerror}") from e
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        allowed = [address for address in addresses if not self._refused(address)]
        if not allowed:
            raise Unreachable(
                f"{host} has no public address; one inside a private network is named in host.toml: [upstream] hosts = "
                f'{{ "{host}" = "ADDRESS" }}'
            )
        return allowed

    def _refused(self, address: str) -> bool:
        number = ipaddress.ip_address(address.partition("%")[0])
        return any(number in ipaddress.ip_network(network) for network in self._settings.refused_addresses)


def _split(target: str, port: int) -> tuple[str, int]:
    """`address`, `address:port` or `[v6]:port` of the host's settings, which have been checked."""
    if target.startswith("["):
        address, _, rest = target[1:].partition("]")
        return address, int(rest[1:]) if rest else port
    if target.count(":") == 1:
        address, _, rest = target.partition(":")
        return address, int(rest)
    return target, port


def environment(settings: Settings, remote: Remote) -> dict[str, str]:
    """The variables of a git that speaks to the remote: where it is, and who hands over the credential. No value."""
    route = Route(settings, remote)
    helper = " ".join(map(shlex.quote, (*PYTHON, str(CODE / "credential.py"), remote.name)))
    config = {"credential.helper": f"!{helper}"}
    kept = {name: value for name, value in os.environ.items() if name != "GIT_PROTOCOL"}  # the agent's word
    env = {**kept, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "false", "SSH_ASKPASS": "false"}
    if remote.transport == "ssh":
        env["GIT_SSH_COMMAND"] = _ssh(settings, remote, route)
    elif settings.proxy:
        config["http.proxy"] = f"http://{os.environ[PROXY_VARIABLE]}"  # which looks names up, and refuses, by itself
    else:
        addresses = ",".join(f"[{found}]" if ":" in found else found for found in route.addresses())
        config["http.curloptResolve"] = f"{remote.host}:{route.port}:{addresses}"
    env["GIT_CONFIG_COUNT"] = str(len(config))
    for index, (key, value) in enumerate(config.items()):
        env |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    return env


def _ssh(settings: Settings, remote: Remote, route: Route) -> str:
    if settings.proxy:
        way = ("ProxyCommand", " ".join(map(shlex.quote, (*PYTHON, str(CODE / "tunnel.py"), "%h", "%p"))))
    else:
        way = ("HostName", route.addresses()[0])
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "15",
        "ControlMaster": "no",
        "GlobalKnownHostsFile": "none",
        "HostKeyAlias": remote.host,
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": str(settings.credential(remote.slot)),
        "ServerAliveInterval": "30",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(settings.known_hosts(remote)),
        way[0]: way[1],
    }
    return " ".join(["ssh", "-F", "none", *(shlex.quote(f"-o{name}={value}") for name, value in options.items())])


def run(settings: Settings, remote: Remote, argv: Sequence[str], given: str = "") -> str:
    """What a git command in the mirror prints; Unreachable with the last words of one that fails."""
    done = subprocess.run(
        ["git", *argv], cwd=settings.mirror(remote), env=environment(settings, remote), input=given,
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        raise Unreachable(reason(done.stderr, remote))
    return done.stdout


def reason(said: str, remote: Remote) -> str:
    """The one line of git's complaint that says most."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if any(
        "Authentication failed" in line or "could not read Username" in line or "Permission denied" in line
        for line in lines
    ):
        held = f"the credential in slot {remote.slot}" if remote.slot else "a request without a credential"
        return f"{remote.host} refused {held}; a person may run: bottlegen refresh"
    if any("Host key verification failed" in line for line in lines):
        return (
            f"{remote.host} shows another key than known_hosts has: it is not the host that was meant, or has a new key"
        )
    if PROXY_VARIABLE in os.environ and (failed := [line for line in lines if _OF_THE_WAY_OUT.search(line)]):
        if any(_REFUSED.search(line) for line in failed):
            return f"pipelock refused the way to {remote.host}: its address is private, or it was asked for too often"
        return f"pipelock, the one way to {remote.host}, does not answer"
    told = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))]
    return next(iter([*told, *lines]), "git failed")[:400]


def refs(lines: Iterable[str]) -> tuple[dict[str, str], str]:
    """The refs of `ls-remote --symref`, and what HEAD stands for."""
    found: dict[str, str] = {}
    head = ""
    for line in lines:
        value, _, name = line.partition("\t")
        if value.startswith("ref: ") and name == "HEAD":
            head = value.removeprefix("ref: ")
        elif name.startswith("refs/") and not name.endswith("^{}"):
            found[name] = value
    return found, head
