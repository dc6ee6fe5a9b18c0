"""What a command line of bwrap mounts, as mountinfo has to tell it: nothing more, but for what this host has there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtime.bubblewrap.kernel import Mount, mounts

_OPERANDS = {
    "--ro-bind": 2, "--bind": 2, "--symlink": 2, "--tmpfs": 1, "--proc": 1, "--dev": 1, "--remount-ro": 1, "--dir": 1,
    "--perms": 1, "--size": 1, "--hostname": 1, "--info-fd": 1, "--seccomp": 1, "--cap-add": 1, "--cap-drop": 1,
    "--chdir": 1, "--uid": 1, "--gid": 1, "--userns": 1,
}  # fmt: skip
"""Words that follow an option of bwrap(1), of those that our command lines have."""

_NODES = ("null", "zero", "full", "random", "urandom", "tty")
_COVERED = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")
"""What bwrap itself covers read-only where it could be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One mount: of a `kind` of file system, or of what lies at `source`."""

    kind: str = ""
    source: str = ""
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """By path. What is mounted at or below a source on this host comes along with it."""

    places: Mapping[str, Place]
    hosts: Mapping[str, Mount]

    def comes_along(self, path: str, mount: Mount) -> bool:
        """Whether the host has a mount of the same kind there too, which a bind brings; or bwrap covers it itself."""
        if path in _COVERED:
            return mount.read_only
        above = max((each for each in self.places if path.startswith(f"{each}/")), key=len, default="")
        place = self.places.get(above)
        if not place or not place.source or (place.read_only and not mount.read_only):
            return False
        its = self.hosts.get(place.source.rstrip("/") + path[len(above) :])
        return its is not None and its.kind == mount.kind


def mounted(argv: Sequence[str]) -> Expected:
    """What has to be mounted when bwrap was started so."""
    places: dict[str, Place] = {}
    words = iter(argv[1 : argv.index("--")])
    for option in words:
        operands = [next(words) for _ in range(_OPERANDS.get(option, 0))]
        match option, operands:
            case (("--ro-bind" | "--bind"), [source, target]):
                places[target] = Place(source=source, read_only=option == "--ro-bind")
            case "--tmpfs", [target]:
                places[target] = Place(kind="tmpfs")
            case "--proc", [target]:
                places[target] = Place(kind="proc")
            case "--dev", [target]:
                places[target] = Place(kind="tmpfs", read_only=True)  # remounted so once it is filled
                places |= {f"{target}/{name}": Place(source=f"/dev/{name}") for name in _NODES}
                places[f"{target}/pts"] = Place(kind="devpts")
    return Expected(places, {mount.path: mount for mount in mounts("self")})
