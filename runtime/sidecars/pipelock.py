"""What pipelock gets at a start: its config for this host, a CA that egress alone trusts, values that must not leak."""

import json
from collections.abc import Iterator, Mapping

from bottlegen.bundle import Bundle
from bottlegen.errors import Problem
from bottlegen.render import canonical_json
from bottlegen.secret import Secret
from bottlegen.sidecars import pipelock
from runtime.base import MaterialFile
from runtime.host import split_address
from runtime.sidecars.begin import EXTRA_CA, Begin

_SHORTEST = 16
"""Characters; what is shorter would be found in innocent text."""


def check(bundle: Bundle, static_hosts: Mapping[str, str]) -> Iterator[Problem]:
    """It connects to the port that was asked for, at the address that the name has: no other port can be fixed."""
    for route in json.loads(bundle.data("routes.json"))["routes"]:
        name, port = route["host"], route["port"]
        target = static_hosts.get(name)
        if target and split_address(target, port)[1] != port:
            yield Problem(
                what=f"[upstream] hosts leads '{name}' to '{target}', and with pipelock the port must stay {port}",
                fix=f'leave the port out: "{name}" = "{split_address(target, port)[0]}"',
            )


def material(begin: Begin) -> tuple[MaterialFile, ...]:
    """The values of this start are looked for in all that leaves but the headers that egress itself fills in."""
    signer = begin.signer
    assert signer is not None  # minted for every bundle with this sidecar
    known = "".join(f"{value.reveal()}\n" for value in begin.every_value if _can_be_found(value.reveal()))
    return (
        MaterialFile(path=pipelock.CA, mode=0o600, data=signer.certificate),
        MaterialFile(path=pipelock.CA_KEY, mode=0o600, data=signer.key),
        MaterialFile(path=pipelock.SECRETS, mode=0o600, data=known.encode()),
        MaterialFile(path=f"{pipelock.BASE}/{EXTRA_CA}", mode=0o644, data=begin.extra_trust),
        MaterialFile(path=pipelock.CONFIG, mode=0o600, data=_config(begin)),
    )


def credentials(_bundle: Bundle, _values: Mapping[str, Secret]) -> tuple[MaterialFile, ...]:
    """None of its own. The values to look for stay those of the start: what `refresh` brings is new to it."""
    return ()


def _can_be_found(value: str) -> bool:
    return len(value) >= _SHORTEST and not value.startswith("#") and value.isprintable() and len(value) <= 4096


def _config(begin: Begin) -> bytes:
    tree = json.loads(begin.bundle.data(pipelock.FILE))
    tree["fetch_proxy"]["listen"] = begin.listens[pipelock.NAME]
    tree["trusted_domains"] = sorted(
        begin.static_hosts
    )  # the host's own word: exempt from the refusal of private addresses
    return canonical_json(tree)
