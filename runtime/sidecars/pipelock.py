"""What pipelock gets at a start: its config for this host, a CA that egress alone trusts, values that must not leak."""

import json
from collections.abc import Iterator, Mapping

from bottlegen.bundle import Bundle
from bottlegen.errors import Problem
from bottlegen.render import canonical_json
from bottlegen.sidecars import git_gate, pipelock
from runtime.base import MaterialFile
from runtime.host import split_address
from runtime.sidecars.begin import EXTRA_CA, SHORTEST, Begin, Held, Setting


def check(bundle: Bundle, static_hosts: Mapping[str, str]) -> Iterator[Problem]:
    """It connects to the port that was asked for, at the address that the name has: no other port can be fixed."""
    ways = json.loads(bundle.data("routes.json"))["routes"]
    ways += json.loads(bundle.data(git_gate.RULES))["remotes"] if git_gate.RULES in bundle.files else []
    for name, port in dict.fromkeys((way["host"], way["port"]) for way in ways):
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
    return (
        MaterialFile(path=pipelock.CA, mode=0o600, data=signer.certificate),
        MaterialFile(path=pipelock.CA_KEY, mode=0o600, data=signer.key),
        _secrets(begin),
        MaterialFile(path=f"{pipelock.BASE}/{EXTRA_CA}", mode=0o644, data=begin.extra_trust),
        _config(begin, begin.listens[pipelock.NAME]),
    )


def settings(setting: Setting) -> tuple[MaterialFile, ...]:
    """What the host adds to the trust, and the config as the start brought it, or as a refresh did since."""
    return (
        MaterialFile(path=f"{pipelock.BASE}/{EXTRA_CA}", mode=0o644, data=setting.extra_trust),
        _config(setting, setting.listens[pipelock.NAME]),
        _config(setting),
    )


def credentials(held: Held) -> tuple[MaterialFile, ...]:
    """None of its own, but the values to look for; it reads them with its config, and that when the file is replaced.

    Where it listens was settled at its start, and what a later config says of that is not read.
    """
    return (_secrets(held), _config(held))


def _secrets(held: Held) -> MaterialFile:
    known = "".join(f"{value.reveal()}\n" for value in held.every_value if _can_be_found(value.reveal()))
    return MaterialFile(path=pipelock.SECRETS, mode=0o600, data=known.encode())


def _can_be_found(value: str) -> bool:
    return len(value) >= SHORTEST and not value.startswith("#") and value.isprintable() and len(value) <= 4096


def _config(held: Held | Setting, listen: str = "") -> MaterialFile:
    tree = json.loads(held.bundle.data(pipelock.FILE))
    if listen:
        tree["fetch_proxy"]["listen"] = listen
    # The host's own word: exempt from the refusal of private addresses.
    tree["trusted_domains"] = sorted(held.static_hosts)
    return MaterialFile(path=pipelock.CONFIG, mode=0o600, data=canonical_json(tree))
