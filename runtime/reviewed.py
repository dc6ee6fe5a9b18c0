"""What this host asks of a bundle before it runs: `[review] require` of host.toml, judged by hash against git's store.

It holds against what nobody reviewed, not against who can write the repository itself: see docs/review.md.
"""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

from bottlegen.bundle import Bundle
from bottlegen.errors import BundleError, UsageError
from bottlegen.locate import Place, shipped
from bottlegen.plan import RenderedFile
from bottlegen.wording import seen
from runtime.revision import Revision, named

_MERGED = "merged:"
_SHOWN = 30
_WORDS = {"widens": "WIDENS", "narrows": "narrows", "other": "other"}


def check_allowed(require: str, *, dev: bool) -> None:
    """UsageError for --dev on a host that asks for more than that a bundle is built."""
    if dev and require != "built":
        raise UsageError(
            f'--dev runs what nobody reviewed, and this host asks for require = "{require}"',
            fix='build, review and commit it; or set [review] require = "built" in host.toml',
        )


def check_reviewed(require: str, place: Place, bundle: Bundle) -> None:
    """BundleError when `bundle`, which is that of `place`, is not the one in the commit that this host asks for.

    A profile that comes with bottlegen was reviewed with it.
    """
    if require == "built" or place.profile.parent == shipped() / "profiles":
        return
    folder = place.bundle.resolve()
    past = named(folder, "HEAD" if require == "committed" else require.removeprefix(_MERGED))
    try:
        inside = folder.relative_to(past.root.resolve())
    except ValueError:
        raise UsageError(f"'{folder}' is outside of '{past.root}'", fix="keep bundles in the repository") from None
    there, trouble = _bundle_at(past, inside)
    if there and there.digest == bundle.digest:
        return
    what = "is not the one" if there else "is not"
    lines = "".join(f"\n      {line}" for line in _differences(there, bundle, trouble))
    raise BundleError(
        f"bundle '{place.bundle}' {what} in {past.label}, and this host asks for require = \"{require}\":{lines}",
        fix=f"bottlegen diff --profile {place.name} --against {past.name} --files, then have it reviewed and "
        + ("commit it" if require == "committed" else f"merged into {past.name}"),
    )


def _bundle_at(past: Revision, inside: Path) -> tuple[Bundle | None, str]:
    """The bundle as the commit has it, unverified: its hash is all that is believed. Or why there is none."""
    try:
        found = past.tree(inside.as_posix())
    except OSError as e:
        return None, e.strerror or str(e)
    files = {
        name: RenderedFile(path=name, data=data, mode=0o755 if run else 0o644) for name, (run, data) in found.items()
    }
    return (Bundle(MappingProxyType(files)), "") if files else (None, "")


def _differences(there: Bundle | None, bundle: Bundle, trouble: str) -> Iterator[str]:
    """What the change lets the agent do; where the other bundle cannot be understood, the files that differ."""
    from bottlegen.authority import authority  # only who is refused waits for the model of what bundles permit
    from bottlegen.diff import compare

    if trouble:
        yield trouble
    try:
        old = authority(there) if there else None
    except (BundleError, ValueError, KeyError):  # made by another bottlegen, or by nobody's
        yield "the bundle there cannot be compared by what it permits"
    else:
        changes = compare(old, authority(bundle))
        yield from (f"{_WORDS[change.kind]:8} {change.area}: {seen(change.text)}" for change in changes[:_SHOWN])
        if len(changes) > _SHOWN:
            yield f"and {len(changes) - _SHOWN} more"
        if changes:
            return
        yield "it permits the same, in other bytes"
    files = there.files if there else {}
    mine = {path: (file.data, file.mode & 0o100) for path, file in bundle.files.items()}
    theirs = {path: (file.data, file.mode & 0o100) for path, file in files.items()}
    names = sorted(path for path in {*mine, *theirs} if mine.get(path) != theirs.get(path))
    yield from (f"~ {seen(name)}" for name in names[:_SHOWN])
