"""The `build` and `hash` tasks: profiles of a folder into bundles beside it."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bottlegen import nar
from bottlegen.bundle import Bundle, differences, write
from bottlegen.errors import BottlegenError, BundleError, Problem, UsageError
from bottlegen.locate import Place, locate, places, project_profiles
from bottlegen.source import read_file
from runtime.build_index import BuildIndex, Made, Recorder

if TYPE_CHECKING:
    from bottlegen.pins import Pins


def build_place(place: Place, read: Callable[[str], bytes] = read_file) -> Bundle:
    """The bundle of a profile file as it stands on disk."""
    from bottlegen.pipeline import build, load_profile  # late: to find everything unchanged takes no models

    return build(load_profile(shown(place.profile), read), pins_of(place, read))


def pins_of(place: Place, read: Callable[[str], bytes] = read_file) -> "Pins":
    """What the lock beside the profile pins, or the lock that ships with bottlegen where there is none."""
    from bottlegen.pins import project

    return project(shown(place.lock), read)


def with_lines(problem: Problem, place: Place) -> Problem:
    """`problem` with the line of the profile where the field stands that a runtime names: it knows none itself."""
    from bottlegen.pipeline import load_profile

    if problem.where is None or problem.where.file != place.name or not problem.where.field:
        return problem
    where = load_profile(shown(place.profile)).where(*problem.where.field.split("."))
    return replace(problem, where=where)


def asked_hash(profile: str, path: str, *, nix: bool, cwd: Path) -> str:
    """The hash of the bundle that `profile` builds now, or of what lies at `path`; with `nix` also as Nix has it."""
    if profile and path:
        raise UsageError("--profile and --path contradict each other", fix="give one of them")
    if path:
        digest, name = _digest_of(path, cwd), (cwd / path).name
    else:
        place = place_of(profile, cwd)
        digest, name = build_place(place).digest, place.name
    if not nix:
        return nar.sri(digest)
    lines = (
        f"sri     {nar.sri(digest)}",
        f"base32  sha256:{nar.base32(digest)}",
        f"path    {nar.store_path(digest, name)}",
    )
    return "\n".join(lines)


def _digest_of(asked: str, cwd: Path) -> bytes:
    """What a profile would have to declare for the rootfs at `asked`; a link to it is followed."""
    from runtime import tree
    from runtime.progress import make_progress

    path = (cwd / asked).resolve()
    if not path.exists():
        raise UsageError(f"there is nothing at '{asked}'", fix="--path with a folder, or an archive")
    with make_progress().step(f"hash {asked}") as step:
        return tree.digest(path, tell=step.advance)


def place_of(asked: str, cwd: Path) -> Place:
    """`locate`, with an error that teaches when nothing was asked for."""
    if not asked:
        names = ", ".join(place.name for place in places(project_profiles(cwd)))
        raise UsageError("no profile given", fix=f"--profile NAME; here: {names}")
    return locate(asked, cwd)


def build_bundles(asked: str, *, check: bool, out: str, as_json: bool, cwd: Path) -> int:
    """Build one or all; with `check` only compare. The exit status: 0, or BundleError's when something is stale.

    Every profile is built before the first bundle is written, so that a mistake in one leaves all as they were.
    """
    wanted = (locate(asked, cwd),) if asked else places(project_profiles(cwd))
    if not wanted:
        raise UsageError("no profiles found", fix="make profiles/NAME.toml, or --profile PATH")
    targets = {place: _target(place, out, cwd) for place in wanted}
    index = BuildIndex.of(targets[wanted[0]].parent, os.environ)
    known = {} if check else {place: index.known(place.profile, target) for place, target in targets.items()}
    built = _build_all(tuple(place for place in wanted if not known.get(place)))
    results = [
        _settle(place, built[place][0], target, check)
        if place in built
        else _result(place, known[place], target, "unchanged")
        for place, target in targets.items()
    ]
    if not check:
        for place, (_, made) in built.items():
            index.learn(place.profile, targets[place], made)
        index.save()
    _report(results, as_json)
    stale = [result for result in results if result["state"] == "stale"]
    if check and stale:
        raise BundleError(_stale_problem(result) for result in stale)
    return 0


def stale(wanted: Iterable[Place]) -> list[Problem]:
    """One problem for each profile whose committed bundle is not what it builds now."""
    built = _build_all(tuple(wanted))
    results = [_settle(place, bundle, place.bundle, check=True) for place, (bundle, _) in built.items()]
    return [_stale_problem(result) for result in results if result["state"] == "stale"]


def _build_all(wanted: tuple[Place, ...]) -> dict[Place, tuple[Bundle, Made]]:
    problems: list[Problem] = []
    first: BottlegenError | None = None
    built = {}
    for place in wanted:
        read = Recorder(read_file)
        try:
            bundle = build_place(place, read)
        except BottlegenError as e:
            problems.extend(e.problems)
            first = first or e
        else:
            built[place] = (bundle, read.made(bundle.files, bundle.hash))
    if first:
        raise type(first)(problems)
    return built


def _target(place: Place, out: str, cwd: Path) -> Path:
    return cwd / out / place.name if out else place.bundle


def _settle(place: Place, bundle: Bundle, target: Path, check: bool) -> dict[str, object]:
    changes = differences(bundle, target)
    if check:
        state = "stale" if changes else "current"
    elif write(bundle, target):
        state = "written"
    else:
        state = "unchanged"
    return _result(place, bundle.hash, target, state, changes)


def _result(
    place: Place, bundle_hash: str, target: Path, state: str, changes: tuple[str, ...] = ()
) -> dict[str, object]:
    return {
        "profile": place.name,
        "hash": bundle_hash,
        "bundle": shown(target),
        "state": state,
        "changes": list(changes),
    }


def shown(path: Path) -> str:
    """`path` as a user here would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _report(results: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        json.dump(results, sys.stdout, indent=2)
        print()
        return
    width = max(len(str(result["bundle"])) for result in results)
    for result in results:
        print(f"{result['state']!s:9}  {result['bundle']!s:{width}} {result['hash']}")


def _stale_problem(result: dict[str, object]) -> Problem:
    changes = result["changes"]
    lines = [str(change) for change in changes] if isinstance(changes, list) else []
    listed = "\n".join(f"      {line}" for line in lines[:20]) + ("\n      …" if len(lines) > 20 else "")
    return Problem(
        what=f"bundle '{result['bundle']}' is stale or altered:\n{listed}",
        fix=f"bottlegen build --profile {result['profile']}, then review and commit the change",
    )
