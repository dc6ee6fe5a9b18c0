"""What the probes of `verify` make of what was tried: nothing disturbed, left out or merely silent is green."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile
from runtime import probes
from runtime.base import Endpoints, Finding, LaunchSpec, Run, Surroundings

DOOR = ("10.9.0.2", 3128)


class Bottle:
    """A runtime whose agent says what it is told to; `answers` are by command line."""

    def __init__(self, *answers: tuple[int, bytes], **change: Any) -> None:
        self.answers = [*answers]
        self.change = change
        self.around = Surroundings(doors=(DOOR,), pythons=(("own",), ("python3",)))
        self.asked: list[str] = []

    def surroundings(self, _: Run) -> Surroundings:
        return self.around

    def place(self, *_: Any) -> None:
        """No sidecar here."""

    def capture(self, _: str, argv: Sequence[str]) -> tuple[int, bytes]:
        self.asked.append(argv[0])
        return self.answers.pop(0) if self.answers else (0, json.dumps(self._shut(json.loads(argv[-1]))).encode())

    def _shut(self, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        """As a bottle whose walls hold would say, but for what was to be changed."""
        tried = {name: "connected" if name.startswith("door") else "unreachable" for name, *_ in wanted["attempts"]}
        told: dict[str, Any] = {
            "control": {"tcp": "answered", "udp": "answered", "icmp": "answered"}, "attempts": tried,
            "neighbours": [DOOR[0]], "scan": {DOOR[0]: [DOOR[1]]}, "writable": [],
            "canary": {"control": True, "found": []},
        }  # fmt: skip
        attempts = tried | self.change.get("attempts", {})
        dropped = {name: result for name, result in attempts.items() if result}
        return told | {**self.change, "attempts": dropped}


def _felt(bottle: Any) -> list[Finding]:
    spec = LaunchSpec(
        bottle="b", session="s", bundle=build(load_profile("profiles/shell.toml"), load_pins()), command=(), tty=False,
        interactive=False, workspace=None, home=None, base_image="", outside_network="", terminal_env=(),
    )  # fmt: skip
    run = Run(
        spec=spec,
        endpoints=Endpoints(addresses={}, listens={}),
        names=(),
        settings={},
        static_hosts={},
        extra_trust=b"",
    )
    return probes.probe(run, bottle, addresses=("10.0.0.1",))


def _red(bottle: Bottle) -> dict[str, str]:
    return {each.check: each.state for each in _felt(bottle) if each.state != "equal"}


def test_walls_that_hold() -> None:
    assert _red(Bottle()) == {}


@pytest.mark.parametrize(
    ("attempt", "result", "row"),
    [
        ("tcp 192.0.2.1", "refused", "tcp outside"),
        ("tcp 192.0.2.1", "silence", "tcp outside"),
        ("udp 192.0.2.1", "answered", "udp outside"),
        ("icmp 198.51.100.7", "answered", "icmp outside"),
        ("dns 198.51.100.7", "no answer", "dns"),
        ("dns 127.0.0.11", "answered", "dns"),
        ("ipv6 tcp", "connected", "ipv6"),
        ("metadata 169.254.169.254", "refused", "metadata"),
        ("host 10.0.0.1", "refused", "host"),
        ("door 10.9.0.2:3128", "refused", "doors"),
        ("host 10.0.0.1", "", "host"),
    ],
)
def test_each_way_has_its_row(attempt: str, result: str, row: str) -> None:
    """The last is an attempt that was asked for and of which nothing is said."""
    assert _red(Bottle(attempts={attempt: result})) == {row: "differs"}


def test_silence_counts_only_where_nobody_could_have_taken_the_packet() -> None:
    silent = {"udp 192.0.2.1": "silence", "icmp 192.0.2.1": "silence"}
    assert _red(Bottle(attempts=silent)) == {}
    crowded = Bottle(attempts=silent, neighbours=[DOOR[0], "10.9.0.1"])
    assert _red(crowded) == {"udp outside": "differs", "icmp outside": "differs"}


def test_a_monitor_may_end_connections_and_answer_names_itself() -> None:
    """As a microVM's does; what stays open, or is answered, is as red as anywhere."""
    refusing = {
        "tcp 192.0.2.1": "refused", "udp 192.0.2.1": "silence", "dns 192.0.2.1": "no such name",
        "metadata 169.254.169.254": "closed", "port 10.9.0.2:9901": "closed",
    }  # fmt: skip

    def seen(**change: str) -> dict[str, str]:
        bottle = Bottle(attempts=refusing | change, neighbours=["10.9.0.1"], scan={})
        bottle.around = replace(bottle.around, refused=True)
        return _red(bottle)

    assert seen() == {}
    assert seen(**{"dns 192.0.2.1": "answered"}) == {"dns": "differs"}
    assert seen(**{"port 10.9.0.2:9901": "connected"}) == {"sidecar ports": "differs"}
    assert seen(**{"tcp 192.0.2.1": "silence"}) == {"tcp outside": "differs"}
    assert _red(Bottle(attempts=refusing)).keys() == {"tcp outside", "dns", "metadata", "sidecar ports"}


def test_a_control_that_fails_leaves_its_rows_unknown() -> None:
    told = {"tcp": "answered", "udp": "silence", "icmp": "answered"}
    assert _red(Bottle(control=told)) == {"udp outside": "unknown", "dns": "unknown"}
    assert _red(Bottle(canary={"control": False, "found": []})) == {"canary": "unknown"}


def test_what_else_is_found() -> None:
    assert _red(Bottle(scan={DOOR[0]: [DOOR[1], 9901]})) == {"sidecar ports": "differs"}
    assert _red(Bottle(writable=["/workspace/.git/config"])) == {"read-only": "differs"}
    assert _red(Bottle(canary={"control": True, "found": ["/tmp/x"]})) == {"canary": "differs"}


@pytest.mark.parametrize(
    "answers",
    [
        [(127, b""), (127, b"")],
        [(0, b"not json"), (127, b"")],
        [(0, b"{}")],
        [(0, b"[1]"), (0, b"[1]")],
        [(137, b""), (1, b"")],
    ],
)
def test_probes_that_were_disturbed_are_unknown(answers: list[tuple[int, bytes]]) -> None:
    (only,) = _felt(Bottle(*answers))
    assert (only.check, only.state) == ("probes", "unknown")


def test_the_next_python_is_asked_where_the_first_is_not_there() -> None:
    bottle = Bottle((127, b""))
    assert _red(bottle) == {}
    assert bottle.asked == ["own", "python3"]
