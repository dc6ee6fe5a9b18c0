"""The `build` and `hash` tasks: profiles of a folder into bundles beside it."""

import json
import sys
from pathlib import Path

from bottlegen.bundle import Bundle, differences, write
from bottlegen.errors import BottlegenError, BundleError, Problem, UsageError
from bottlegen.locate import Place, locate, places, project_profiles
from bottlegen.pins import load as load_pins
from bottlegen.pipeline import build, load_profile


def build_place(place: Place) -> Bundle:
    """The bundle of a profile file as it stands on disk."""
    return build(load_profile(shown(place.profile)), load_pins())


def hash_of(asked: str, cwd: Path) -> str:
    """SRI hash of the bundle that the profile `asked` builds now."""
    return build_place(place_of(asked, cwd)).hash


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
    bundles = _build_all(wanted)
    results = [_settle(place, bundle, _target(place, out, cwd), check) for place, bundle in bundles]
    _report(results, as_json)
    stale = [result for result in results if result["state"] == "stale"]
    if check and stale:
        raise BundleError(_stale_problem(result) for result in stale)
    return 0


def _build_all(wanted: tuple[Place, ...]) -> list[tuple[Place, Bundle]]:
    problems: list[Problem] = []
    first: BottlegenError | None = None
    bundles = []
    for place in wanted:
        try:
            bundles.append((place, build_place(place)))
        except BottlegenError as e:
            problems.extend(e.problems)
            first = first or e
    if first:
        raise type(first)(problems)
    return bundles


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
    return {
        "profile": place.name,
        "hash": bundle.hash,
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
        print(f"{result['state']!s:9}  {result['bundle']!s:{width}}  {result['hash']}")


def _stale_problem(result: dict[str, object]) -> Problem:
    changes = result["changes"]
    lines = [str(change) for change in changes] if isinstance(changes, list) else []
    listed = "\n".join(f"      {line}" for line in lines[:20]) + ("\n      …" if len(lines) > 20 else "")
    return Problem(
        what=f"bundle '{result['bundle']}' is stale or altered:\n{listed}",
        fix=f"bottlegen build --profile {result['profile']}, then review and commit the change",
    )
