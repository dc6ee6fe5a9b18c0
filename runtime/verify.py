"""The `verify` task: what lies there is a whole bundle, every file as its manifest says, and this is its hash."""

from pathlib import Path

from bottlegen.bundle import read
from bottlegen.errors import UsageError


def verified_hash(asked: str) -> str:
    """SRI hash of the bundle in the folder `asked`, a path of a Nix store or a link to one included."""
    if not asked:
        raise UsageError("nothing to verify", fix="bottlegen verify bundles/NAME, or a path in the Nix store")
    return read(Path(asked)).hash
