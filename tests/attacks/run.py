"""Makes attempts and tells how each ended: by what the bottle says, and by what arrived outside of it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.attacks import supply
from tests.attacks.attempts import Attempt, Step
from tests.attacks.scene import Scene, fingerprint
from tests.attacks.upstream import MARK, TOKEN_A, TOKEN_B, Request

SCRIPT = (Path(__file__).parent / "inside.py").read_text()
AT_ONCE = 12
_REACHES = ("tls", "h2", "raw", "twice", "fetch")
"""Drivers whose success is what arrives, not what they see themselves."""

_WAITS = ("drip", "twice")
"""Begun first: what takes its time whatever the machine."""

_FREE = (
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "--uts",
    "--net",
    "--ipc",
    "--pid",
    "--fork",
    "--mount-proc",
)
"""A namespace of this user's own, with all rights in it and none of a bottle's walls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one step ended: `through` when it got what it wanted, with the reason in words."""

    through: bool
    answer: str
    why: str


def as_expected(attempt: Attempt, ended: Ended) -> bool:
    """Whether it ended as the attempt says: held or not, and with one of its answers."""
    answered = not attempt.answers or ended.answer in attempt.answers.split("|")
    return ended.through is bool(attempt.passes) and answered


def run(scene: Scene, attempts: Iterable[Attempt], *, with_controls: bool = True) -> Mapping[str, Ended]:
    """Every attempt and every control of them, by name."""
    wanted = tuple(attempts)
    controls = {attempt.control.name: attempt.control for attempt in wanted if with_controls}
    steps = [*(attempt.step for attempt in wanted), *controls.values()]
    inside = [step for step in steps if step.does not in _HERE]
    told = _inside(scene, inside)
    arrived = _arrived(scene)
    found = {
        step.name: _judged(step, told[step.name], arrived.get(step.name, []), is_control=step in controls.values())
        for step in inside
    }
    return found | {step.name: _HERE[step.does](scene, step) for step in steps if step.does in _HERE}


def on_host(attempts: Iterable[Attempt], folder: Path) -> Mapping[str, Ended]:
    """Those that no runtime sees."""
    wanted = tuple(attempts)
    steps = {step.name: step for attempt in wanted for step in (attempt.step, attempt.control)}
    found = {}
    for name, step in steps.items():
        through, why = supply.tried(folder / name, dict(step.settings)["spoil"])
        found[name] = Ended(through=through, answer="", why=why)
    return found


def _inside(scene: Scene, steps: Iterable[Step]) -> dict[str, dict[str, Any]]:
    steps = sorted(steps, key=lambda step: step.does not in _WAITS)
    orders = {
        "at_once": AT_ONCE,
        "together": [step.order() for step in steps if not step.alone],
        "alone": [step.order() for step in steps if step.alone],
    }
    port = scene.net.upstream.port if scene.net else 0
    text = json.dumps(orders).replace("{port}", str(port)).replace("{host}", str(scene.folder))
    status, output = scene.bottle.run("python3", "-c", SCRIPT, data=text.encode())
    assert status == 0, output
    told: dict[str, dict[str, Any]] = json.loads(output.splitlines()[-1])
    return told


def _arrived(scene: Scene) -> dict[str, list[Request]]:
    by_mark: dict[str, list[Request]] = {}
    if not scene.net:
        return by_mark
    time.sleep(0.1)  # what is on its way
    for request in scene.net.seen:
        by_mark.setdefault(request.mark, []).append(request)
    for name in scene.net.names.asked:
        for mark in MARK.findall(name.encode()):
            asked = Request(mark=mark.decode(), server_name=name, at="", wrong=(f"a name server was asked for {name}",))
            by_mark.setdefault(asked.mark, []).append(asked)
    return by_mark


def _judged(step: Step, told: Mapping[str, Any], arrived: list[Request], *, is_control: bool) -> Ended:
    answer, said = str(told.get("answer", "")), str(told.get("said", ""))
    wrong = [reason for request in arrived for reason in request.wrong]
    shown = [token for token in (TOKEN_A, TOKEN_B) if token in said]
    if is_control and step.does in _REACHES:
        return Ended(
            through=bool(arrived) and not wrong, answer=answer, why=f"{wrong or arrived or answer} {said[:200]}"
        )
    through = bool(wrong or shown or (step.does not in _REACHES and told.get("through")))
    reasons = [*wrong, *(f"the agent read {token}" for token in shown)]
    return Ended(through=through, answer=answer, why="; ".join(reasons) or said[:400])


def _free(scene: Scene, step: Step) -> Ended:
    done = subprocess.run(
        [*_FREE, "sh", "-c", dict(step.settings)["run"]], capture_output=True, text=True, check=False, cwd="/tmp"
    )
    return Ended(through=done.returncode == 0, answer="", why=done.stderr)


def _plain(scene: Scene, step: Step) -> Ended:
    """The very same program as a process of this host, without any wall."""
    argv = [sys.executable, "-c", dict(step.settings)["run"]]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/tmp")
    return Ended(through=done.returncode == 0, answer="", why=done.stderr)


def _untouched(scene: Scene, step: Step) -> Ended:
    changed = sorted(set(scene.before.items()) ^ set(fingerprint(scene.work).items()))
    return Ended(through=bool(changed), answer="", why=f"changed: {changed}")


_HERE = {"free": _free, "plain": _plain, "untouched": _untouched}
