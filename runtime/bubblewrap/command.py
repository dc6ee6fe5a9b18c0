"""The command lines of bwrap: everything that a bottle sees of this host stands here, and nothing else is visible."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bottlegen.plan import HOME, MATERIAL
from runtime.bubblewrap import inside, keeper
from runtime.bubblewrap.own_python import OwnPython, own_python
from runtime.bubblewrap.tools import Tools, user
from runtime.rootfs_view import TRUST, parts
from runtime.workspace import Bind

SOCKETS = {"bottle": "/run/doors", "chain": "/run/chain"}
"""Where a service finds the sockets of a network; one that it is not on, it does not see."""

DENIED = "/run/denied"
_INSIDE = "runtime.bubblewrap.inside"
CODE = "/opt/bottle"
LAUNCH = f"{CODE}/launch.json"
ROOTS = f"{CODE}/system-roots.crt"
MATERIAL_SIZE = 32 * 1024 * 1024
HOME_SIZE = 2 * 1024 * 1024 * 1024
_SHM = 64 * 1024 * 1024

_PROGRAMS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_LOADER = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives")
_PLAIN = ("/etc/localtime", "/etc/protocols", "/etc/services", "/etc/terminfo", "/etc/mime.types")
_RESOLVER = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services")
_HOSTS = "/etc/hosts"
_TRUST = ("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem", "/etc/pki/tls/certs/ca-bundle.crt")
_BUNDLE = f"{MATERIAL}/ca-bundle.crt"
_OPEN = ("/etc", "/home", "/opt", CODE, "/run", "/var")
"""Folders that all may pass: bwrap would close those that it makes on the way to a closed one."""

_RIGHTS_OF_ROOT = ("CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
"""What a first process that root starts has until it has become its user; what it starts has none of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What one service sees. `rootfs` is the tree that is its root, or None for what this host has below /usr."""

    tools: Tools
    hostname: str
    uid: int
    gid: int
    launch: Path
    programs: Path
    tmpfs: Mapping[str, int]
    rootfs: Path | None = None


def sidecar(room: Room, sockets: Mapping[str, Path], own: Iterable[Bind], hosts: Path | None) -> list[str]:
    """A sidecar: this host's resolver (with other `hosts`, when given), its own memory, what is its `own` on disk, and
    the folders of the networks that it is on."""
    shared = (part for network, folder in sockets.items() for part in ("--bind", str(folder), SOCKETS[network]))
    return [
        *_walls(room),
        *_system(room, [name for name in _RESOLVER if not (hosts and name == _HOSTS)]),
        *(_read_only(hosts, _HOSTS) if hosts else ()),
        *_read_only(room.programs, f"/opt/{room.hostname}"),
        *shared,
        *_passable(own),
        *_binds(own),
        *_end(room, "sidecar"),
    ]  # fmt: skip


def agent(room: Room, doors: Path, etc: Path, binds: Iterable[Bind]) -> list[str]:
    """The agent: made-up names and users, the workspace, its home. Its keeper has made the network that it is in."""
    return [
        *_walls(room),
        *(_tree(room, room.rootfs) if room.rootfs else [*_system(room, _PLAIN), *_trust_folders()]),
        *(part for path in sorted(etc.iterdir()) for part in _read_only(path, f"/etc/{path.name}")),
        *(part for path in (TRUST if room.rootfs else _TRUST) for part in ("--symlink", _BUNDLE, path)),
        *_read_only(room.programs / "agent", "/opt/agent"),
        *_read_only(doors, SOCKETS["bottle"]),
        *_binds(binds),
        *_end(room, "agent"),
    ]  # fmt: skip


def _trust_folders() -> list[str]:
    """Links' parents: bwrap makes them for root alone, and OpenSSL ends a program that may not look there."""
    folders = {str(folder) for path in _TRUST for folder in Path(path).parents if folder.is_relative_to("/etc")}
    return [part for folder in sorted(folders) for part in ("--perms", "0755", "--dir", folder)]


def _passable(binds: Iterable[Bind]) -> list[str]:
    """Folders on the way to the binds, which bwrap would close to the sidecar's user."""
    passed = dict.fromkeys(str(path) for bind in binds for path in reversed(Path(bind.target).parents[:-1]))
    return [part for path in passed for part in ("--perms", "0755", "--dir", path)]


def _binds(binds: Iterable[Bind]) -> list[str]:
    return [
        part for bind in binds for part in ("--ro-bind" if bind.read_only else "--bind", str(bind.source), bind.target)
    ]


def interceptor(room: Room, doors: Path, denied: Path) -> list[str]:
    """Who stands on this host for a microVM's agent: no network, the egress's doors, a folder for what it refused."""
    return [
        *_walls(room),
        "--unshare-net",
        *_system(room, ()),
        *_read_only(doors, SOCKETS["bottle"]),
        "--bind", str(denied), DENIED,
        *_end(room, "interceptor"),
    ]  # fmt: skip


def _walls(room: Room) -> list[str]:
    rights = _RIGHTS_OF_ROOT if room.tools.privileged else ()
    return [
        str(room.tools.bwrap), "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try",
        *user(room.tools, room.uid, room.gid), "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv",
        "--cap-drop", "ALL", *(part for right in rights for part in ("--cap-add", right)),
        "--hostname", room.hostname, "--info-fd", str(keeper.INFO), "--seccomp", str(keeper.FILTER),
    ]  # fmt: skip


def _system(room: Room, etc: Iterable[str]) -> list[str]:
    """Programs and libraries of this host, and what is the bottle's own."""
    prefix = room.tools.prefix
    argv = _folders((*_OPEN, "/nix", *(str(path) for path in (reversed(prefix.parents[:-1]) if prefix else ()))))
    argv += ["--ro-bind", "/usr", "/usr"]
    for folder in map(Path, (*_PROGRAMS, "/nix/store")):
        if folder.is_symlink():
            argv += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            argv += _read_only(folder, str(folder))
    for name in (*_LOADER, *etc):
        if Path(name).exists():
            argv += _read_only(Path(name), name)
    return argv + _own(room) + (_read_only(prefix, str(prefix)) if prefix else [])


def _tree(room: Room, tree: Path) -> list[str]:
    """A verified tree and nothing of this host but the Python of the first process; and what is the bottle's own."""
    argv = []
    for part in parts(tree):
        if part.target:
            argv += ["--symlink", part.target, part.path]
        else:
            argv += _read_only(part.source, part.path) if part.source else _folders((part.path,))
    files = _python(room).files
    passed = {str(folder) for _, target in files for folder in Path(target).parents if folder.is_relative_to(CODE)}
    argv += _folders((*_OPEN, *sorted(passed)))
    for source, target in files:
        argv += _read_only(source, target)
    return argv + _own(room)


def _python(room: Room) -> OwnPython:
    return own_python(room.tools, CODE, f"{_INSIDE}.agent")


def _folders(paths: Iterable[str]) -> list[str]:
    return [part for path in paths for part in ("--perms", "0755", "--dir", path)]


def _own(room: Room) -> list[str]:
    """/proc and /dev of the bottle's own, its memory-backed folders, and what its first process reads."""
    argv = ["--proc", "/proc", "--dev", "/dev", *_memory("/dev/shm", _SHM), "--remount-ro", "/dev"]  # noqa: S108
    for path, size in sorted(room.tmpfs.items()):
        argv += _memory(path, size)
    package = Path(inside.__file__).parent
    code = f"{CODE}/runtime/bubblewrap"
    argv += _read_only(package.parents[1] / "__init__.py", f"{CODE}/runtime/__init__.py")
    argv += _read_only(package.parent / "__init__.py", f"{code}/__init__.py")
    argv += _read_only(package, f"{code}/inside")
    argv += _read_only(room.launch, LAUNCH)
    return argv + _read_only(room.tools.roots, ROOTS)


def _memory(path: str, size: int) -> list[str]:
    shared = path in ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - paths inside the bottle
    return ["--perms", "1777" if shared else "0700", "--size", str(size), "--tmpfs", path]


def _read_only(source: Path, target: str) -> list[str]:
    return ["--ro-bind", str(source), target]


def _end(room: Room, module: str) -> list[str]:
    begin = f"import sys; sys.path.insert(0, {CODE!r}); from {_INSIDE}.{module} import main; main()"
    python = _python(room).argv if room.rootfs else (str(room.tools.python),)
    return ["--remount-ro", "/", "--chdir", "/", "--", *python, "-I", "-S", "-B", "-c", begin, LAUNCH]


def home(kept: Path | None) -> tuple[Bind, ...]:
    """The agent's home where it is a folder of this host."""
    return (Bind(source=kept, target=HOME),) if kept else ()
