"""Live probes of a bottle: from inside of its agent nothing may be reached but its doors, each beside a control.

A way is shut when the attempt never leaves the bottle. Silence alone is no proof: whoever drops a packet got it.
"""

import json
import re
import secrets as random_source
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bottlegen.plan import HOME
from runtime.base import Finding, MaterialFile, Run, Runtime, Surroundings

PART = "from the agent"
OUTSIDE = ("192.0.2.1", "198.51.100.7")
"""Addresses of nobody (RFC 5737): what is sent there is answered by no one, and no one but a wall refuses it."""

OUTSIDE6 = "2001:db8::1"
"""The same for IPv6 (RFC 3849)."""

METADATA = ("169.254.169.254", "fd00:ec2::254")
"""Where clouds tell a machine its credentials; only the connection is tried."""

_NOBODY = 1
"""A port on which nothing listens: a host that is reached answers with a refusal."""

_ADMIN = (2019, 8001, 8080, 8081, 8443, 8888, 8889, 9090, 9091, 9901, 10000, 15000, 15001, 19000)
"""Where proxies have their administration, and what lies around it."""

_FOLDERS = ("/tmp", "/run", "/var/tmp", "/dev/shm", HOME)  # noqa: S108 - paths inside the bottle
_SCRIPT = Path(__file__).with_name("probe_script.py")
_DISTURBED = "the probes were disturbed: what they say is not in their form"
_SHUT = frozenset({"unreachable", "forbidden"})
_REFUSED = _SHUT | {"refused", "closed", "silence", "no such name", "no answer"}
"""Where a monitor stands for the network: it ends connections, answers names itself, and drops the rest."""

_LOCAL = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


def probe(run: Run, runtime: Runtime, *, addresses: Sequence[str]) -> list[Finding]:
    """One row for each thing that an agent must not reach. `addresses` are this host's own."""
    around = runtime.surroundings(run)
    halves = (random_source.token_hex(16), random_source.token_hex(16))
    attempts = [*_attempts(around, addresses)]
    wanted = {
        "attempts": attempts,
        # Seconds: a monitor takes a connection before it ends it, on a busy host a while before.
        "stays": 2.0 if around.refused else 0.5,
        "ends": 15.0 if around.refused else 0.5,
        "scan": dict.fromkeys(sorted(_scanned(around)), _PORTS),
        "canary": halves,
        "folders": _FOLDERS,
        "read_only": ["/", *(bind.target for bind in run.spec.binds if bind.read_only)],
    }
    _place(run, runtime, "".join(halves))
    try:
        told = _ask(run, runtime, around, json.dumps(wanted))
    finally:
        _place(run, runtime, "")
    if not isinstance(told, str):
        try:
            return [*_judged(told, [name for name, *_ in attempts], around)]
        except (LookupError, TypeError, ValueError, AttributeError):
            told = _DISTURBED
    return [Finding(part=PART, check="probes", state="unknown", found=told)]


def _place(run: Run, runtime: Runtime, canary: str) -> None:
    """Beside the material of every sidecar, in its memory: a value that is worth nothing."""
    for name, files in run.settings.items():
        path = f"{files[-1].path.rpartition('/')[0]}/canary"
        runtime.place(run.spec.bottle, name, [MaterialFile(path=path, mode=0o600, data=canary.encode())])


def _ask(run: Run, runtime: Runtime, around: Surroundings, wanted: str) -> dict[str, Any] | str:
    """What the script says, by the first Python that runs there; why there is nothing, otherwise."""
    script = _SCRIPT.read_text()
    why = "there is no Python in the bottle, so nothing can be tried"
    for python in around.pythons:
        status, output = runtime.capture(run.spec.bottle, [*python, "-I", "-S", "-B", "-c", script, wanted])
        if status == 0:
            try:
                return dict(json.loads(output))
            except (ValueError, TypeError):
                why = _DISTURBED
        elif status not in (126, 127):
            why = f"{_DISTURBED} (exit status {status})"
    return why


def host_addresses() -> tuple[str, ...]:
    """Every IPv4 address of this host but its loopback's (/proc/net/fib_trie); none where that cannot be read."""
    try:
        text = Path("/proc/net/fib_trie").read_text()
    except OSError:
        return ()
    found = {address for address in _LOCAL.findall(text) if not address.startswith("127.")}
    return tuple(sorted(found, key=socket.inet_aton))


Tried = tuple[str, str, str, int]
"""Name, kind, address, port."""


def _attempts(around: Surroundings, addresses: Sequence[str]) -> Iterator[Tried]:
    for address, port in around.doors:
        yield f"door {address}:{port}", "tcp", address, port
    for address in OUTSIDE:
        yield f"tcp {address}", "tcp", address, 443
        yield f"udp {address}", "udp", address, 443
        yield f"icmp {address}", "icmp", address, 0
        yield f"dns {address}", "dns", address, 53
    for kind in ("tcp", "udp", "icmp"):
        yield f"ipv6 {kind}", kind, OUTSIDE6, 443
    for address in METADATA:
        yield f"metadata {address}", "tcp", address, 80
    for address in dict.fromkeys((*around.neighbours, *(each for each in addresses if each not in METADATA))):
        yield f"host {address}", "tcp", address, _NOBODY
    ports = {(address, port) for address, _ in around.doors for port in _ADMIN if around.refused} - {*around.doors}
    for what, places in (("other", around.others), ("hidden", around.hidden), ("port", sorted(ports))):
        for address, port in places:
            yield f"{what} {address}:{port}", "tcp", address, port


def _scanned(around: Surroundings) -> set[str]:
    """Addresses of sidecars that are theirs alone: on a loopback the agent's own servers would be found, and where a
    monitor takes every connection before it ends it, only attempts that wait for the end tell."""
    return {address for address, _ in around.doors if not address.startswith("127.") and not around.refused}


_PORTS = sorted({*range(1, 1024), 3128, *_ADMIN})
"""A bridge refuses a thousand in a tenth of a second."""


_ROWS = {
    "tcp outside": ("tcp ", "tcp"),
    "udp outside": ("udp ", "udp"),
    "icmp outside": ("icmp ", "icmp"),
    "dns": ("dns ", "udp"),
    "ipv6": ("ipv6 ", "tcp"),
    "metadata": ("metadata ", "tcp"),
    "host": ("host ", "tcp"),
    "other bottles": ("other ", "tcp"),
    "hidden sidecars": ("hidden ", "tcp"),
}
"""By row: the attempts that it speaks of, and the control without which they say nothing."""


def _judged(told: Mapping[str, Any], wanted: Iterable[str], around: Surroundings) -> Iterator[Finding]:
    """What was asked for and not tried is as bad as what is open: who disturbs the probes must not turn them green."""
    tried: Mapping[str, str] = dict.fromkeys(wanted, "not tried") | told["attempts"]
    control: Mapping[str, str] = told["control"]
    shut_doors = (f"{name}: {tried[name]}" for name in tried if name.startswith("door ") and tried[name] != "connected")
    yield _row("doors", shut_doors, "open")
    for row, (begin, kind) in _ROWS.items():
        its = {name: result for name, result in tried.items() if name.startswith(begin)}
        if control[kind] not in ("answered", "forbidden"):
            yield Finding(part=PART, check=row, state="unknown", found=f"the control for {kind}: {control[kind]}")
        else:
            yield _row(row, _open(its, around, _handed(told["neighbours"], around)), _shortly(its))
    ports = {name: result for name, result in tried.items() if name.startswith("port ")}
    yield _row(
        "sidecar ports", [*_beyond(told["scan"], around), *_open(ports, around, False)], "only the doors are open"
    )
    yield _row("read-only", [f"{path} can be written" for path in told["writable"]], "as mounted")
    yield _canary(told["canary"])


def _row(check: str, wrong: Iterable[str], fine: str = "") -> Finding:
    told = "; ".join(wrong)
    return Finding(part=PART, check=check, state="differs" if told else "equal", found=told or fine)


def _handed(neighbours: Iterable[str], around: Surroundings) -> bool:
    """Whether anybody but the sidecars is on the agent's network, to whom a packet for elsewhere could be handed."""
    return bool({*neighbours} - {address for address, _ in around.doors})


def _open(tried: Mapping[str, str], around: Surroundings, handed: bool) -> Iterator[str]:
    """Only TCP is told that there was nobody; of the rest silence counts where nobody was there to take it."""
    for name, result in tried.items():
        shut = _REFUSED if around.refused else _SHUT
        if not handed and name.partition(" ")[0] in ("udp", "icmp", "dns"):
            shut = shut | {"silence"}
        if name.startswith("dns ") and name.removeprefix("dns ") not in OUTSIDE:
            shut = shut | {"silence", "no answer", "refused"}  # a resolver of the bottle's own that knows nothing
        if name.startswith(("tcp ", "port ", "host ", "metadata ")):
            shut = shut - {"silence"}
        if result not in shut:
            yield f"{name}: {result}"


def _shortly(tried: Mapping[str, str]) -> str:
    results = sorted(set(tried.values()))
    return f"{len(tried)} tried: {', '.join(results)}" if tried else "there are none"


def _beyond(scan: Mapping[str, Sequence[int]], around: Surroundings) -> Iterator[str]:
    for address, ports in scan.items():
        for port in ports:
            if (address, port) not in around.doors:
                yield f"{address}:{port} is open"


def _canary(told: Mapping[str, Any]) -> Finding:
    if not told["control"]:
        return Finding(part=PART, check="canary", state="unknown", found="the search does not find what it planted")
    found = [f"{path} holds what was put into a sidecar" for path in told["found"]]
    return _row("canary", found, "what sidecars hold in memory is nowhere in sight")
