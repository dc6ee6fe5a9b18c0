"""host.toml: what it may say, and that each mistake is named with its line."""

from pathlib import Path

import pytest

from bottlegen.errors import HostError
from runtime.host import HostConfig, config_path, load_host, parse_host, split_address

_GOOD = b"""
runtime = "docker"
[secrets]
GITHUB_TOKEN = { command = ["gh", "auth", "token"] }
OTHER = { env = "SOMETHING" }
[upstream]
ca_file = "/etc/ssl/corp.pem"
hosts = { "Git.Corp.Example." = "10.1.2.3", "v6.corp.example" = "[2001:db8::1]:8443" }
[images]
base = "mirror.example/debian@sha256:00"
[docker]
outside_network = "corp"
"""


def _refusal(text: str) -> str:
    with pytest.raises(HostError) as caught:
        parse_host(text.encode(), "host.toml")
    return str(caught.value)


def test_everything_it_may_say() -> None:
    config = parse_host(_GOOD, "host.toml")
    assert config.secrets["GITHUB_TOKEN"].command == ("gh", "auth", "token")
    assert config.upstream.hosts == {"git.corp.example": "10.1.2.3", "v6.corp.example": "[2001:db8::1]:8443"}
    assert (config.images.base, config.docker.outside_network) == ("mirror.example/debian@sha256:00", "corp")


def test_each_mistake_has_its_line() -> None:
    text = (
        '[upstream]\nca_fil = "x"\nhosts = { "a.example" = "not-an-address" }\n'
        '[secrets]\nX = { env = "A", file = "B" }\n'
    )
    refusal = _refusal(text)
    assert "error: unknown field 'ca_fil'\n  --> host.toml:2  upstream.ca_fil" in refusal
    assert "did you mean 'ca_file'?" in refusal
    assert "host.toml:3  upstream.hosts" in refusal
    assert "host.toml:5  secrets.X" in refusal
    assert "exactly one of env, file, keyring, command" in refusal


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("x = [", "host.toml:1"),
        ("\x00", "host.toml"),
        ('[secrets]\n"A B" = { env = "X" }', "secrets"),
        ("[secrets]\nA = { command = [] }", "command is empty"),
        ('[upstream]\nhosts = { "a.example" = "10.0.0.1:99999" }', "no IP address"),
        ('runtime = "podman"', "runtime"),
    ],
)
def test_refused(text: str, word: str) -> None:
    assert word in _refusal(text)


def test_where_it_is_looked_for(tmp_path: Path) -> None:
    assert config_path({"BOTTLEGEN_HOST_CONFIG": "/x.toml"}, tmp_path) == Path("/x.toml")
    assert config_path({"XDG_CONFIG_HOME": "/c"}, tmp_path) == Path("/c/bottlegen/host.toml")
    assert config_path({}, tmp_path) == tmp_path / ".config/bottlegen/host.toml"
    assert load_host({}, tmp_path) == HostConfig()
    with pytest.raises(HostError, match="which is not there"):
        load_host({"BOTTLEGEN_HOST_CONFIG": str(tmp_path / "absent.toml")}, tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.5", ("203.0.113.5", 443)),
        ("203.0.113.5:8443", ("203.0.113.5", 8443)),
        ("2001:db8::1", ("2001:db8::1", 443)),
        ("[2001:db8::1]:8443", ("2001:db8::1", 8443)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert split_address(text) == expected


def test_places_of_rootfs_are_absolute() -> None:
    config = parse_host(b'[rootfs]\n"images/a.tar" = "/srv/a.tar"\nroot = "~/root"\n', "host.toml")
    assert config.rootfs == {"images/a.tar": "/srv/a.tar", "root": "~/root"}
    with pytest.raises(HostError, match=r"'a/b' of 'root' does not begin with / or ~/") as caught:
        parse_host(b'[rootfs]\nroot = "a/b"\n', "host.toml")
    assert str(caught.value.problems[0].where).startswith("host.toml:1  rootfs")
