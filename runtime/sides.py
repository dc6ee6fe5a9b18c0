"""What a comparison or a picture is of: a profile as it stands or stood, or a bundle in a folder."""

from dataclasses import dataclass
from pathlib import Path

from bottlegen.authority import Authority, authority, authority_of, enforces_its_routes
from bottlegen.bundle import MANIFEST, Bundle, read
from bottlegen.errors import BundleError, UsageError
from bottlegen.locate import SUFFIXES, Place, locate
from bottlegen.pins import Pins
from bottlegen.pins import project as project_pins
from bottlegen.pipeline import Preview, load_profile, preview
from runtime.build import pins_of, shown
from runtime.revision import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One side. `made` is None for a bottle that is not there; its bundle is rendered only when asked for."""

    label: str
    made: Preview | Bundle | None

    @property
    def bundle(self) -> Bundle | None:
        return self.made.bundle if isinstance(self.made, Preview) else self.made

    @property
    def hash(self) -> str:
        """Empty for a bottle that is not there."""
        bundle = self.bundle
        return bundle.hash if bundle else ""

    def is_alike(self, other: "Made") -> bool:
        """Whether both bundles are the same bytes; two that are made now are, when what they are rendered from is."""
        mine, theirs = self.made, other.made
        if isinstance(mine, Preview) and isinstance(theirs, Preview):
            return (mine.routes, dict(mine.unrouted.files)) == (theirs.routes, dict(theirs.unrouted.files))
        return self.hash == other.hash

    @property
    def authority(self) -> Authority | None:
        if isinstance(self.made, Preview):
            return authority_of(self.made)
        return authority(self.made) if self.made else None


def given(asked: str, cwd: Path) -> Made:
    """A folder with a bundle as it is; everything else is a profile, by name or path."""
    folder = cwd / asked
    if (folder / MANIFEST).is_file():
        return Made(label=shown(folder), made=_sound(read(folder), shown(folder)))
    return as_it_is(locate(asked, cwd))


def as_it_is(place: Place) -> Made:
    return Made(label=shown(place.profile), made=preview(load_profile(shown(place.profile)), pins_of(place)))


def as_it_was(past: Revision, place: Place) -> Made:
    """The profile of that place as it was, in whichever form it was written then."""
    path = place.profile.resolve()
    try:
        inside = path.relative_to(past.root.resolve())
    except ValueError:
        raise UsageError(f"'{path}' is outside of '{past.root}'", fix="compare: --from A --to B") from None
    spellings = (inside, *(inside.with_suffix(suffix) for suffix in SUFFIXES))
    then = next((name for name in spellings if past.holds(name.as_posix())), None)
    label = f"{inside.as_posix()} at {past.label}"
    if then is None:
        return Made(label=f"nothing: no {label}", made=None)
    return Made(label=label, made=preview(load_profile(then.as_posix(), past.read), _pins_then(past, place)))


def _pins_then(past: Revision, place: Place) -> Pins:
    """The lock as it was: an agent or image that was moved since is part of the difference."""
    folder, root = place.lock.parent.resolve(), past.root.resolve()
    if not folder.is_relative_to(root):
        return pins_of(place)  # of a folder around the repository: it has no history here

    def read(path: str) -> bytes:
        if not past.holds(path):
            raise FileNotFoundError(path)
        return past.read(path)

    return project_pins((folder.relative_to(root) / place.lock.name).as_posix(), read)


def _sound(bundle: Bundle, label: str) -> Bundle:
    """`bundle`, whose routes can be believed: what enforces them is made of them."""
    authority(bundle)  # refuses files that cannot be understood
    if not enforces_its_routes(bundle):
        raise BundleError(
            f"the sidecar's config in '{label}' is not what this bottlegen makes of its routes.json",
            fix="bottlegen build, or compare profiles: --profile NAME --against REVISION",
        )
    return bundle
