"""Published holes of what bottles stand on, as data: which versions were the first without each, by whom it is said.

`fixed` has one version a maintained series, as the source gives them; a series that it does not name and that is older
than the newest of them counts as open. Distributions put fixes into older versions: what is reported here is what a
program says of itself, and runtime/doctor/backports.py looks whether its package says more.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """`component` as in runtime/doctor/versions.py. `needs` is a circumstance without which it is no hole here; `wall`
    is whether it is in what keeps an agent in: the rest concerns this host beside bottles. `since` is the first version
    that has it."""

    component: str
    name: str
    fixed: tuple[str, ...]
    why: str
    source: str
    wall: bool = False
    needs: str = ""
    since: str = ""


HOLES: Final[tuple[Hole, ...]] = (
    Hole(
        component="docker engine",
        name="CVE-2024-29018",
        fixed=("23.0.11", "25.0.5", "26.0.0"),
        why="names asked for on an internal network leave through the engine's resolver; a bottle sets another",
        source="https://github.com/moby/moby/security/advisories/GHSA-mq39-4gv4-mvpx",
        needs="a resolver on loopback",
    ),
    Hole(
        component="docker engine",
        name="CVE-2024-41110",
        fixed=("20.10.28", "23.0.15", "24.0.10", "25.0.6", "26.0.3", "26.1.5", "27.0.4", "27.1.1"),
        why="a request without a body passes authorization plugins, so who may talk to the engine may do anything",
        source="https://github.com/moby/moby/security/advisories/GHSA-v23v-6jw2-98fq",
        needs="an authorization plugin",
    ),
    Hole(
        component="docker engine",
        name="CVE-2026-34040",
        fixed=("29.3.1",),
        why="an oversized request passes authorization plugins",
        source="https://github.com/moby/moby/security/advisories/GHSA-x744-4wpc-v9h2",
        needs="an authorization plugin",
    ),
    Hole(
        component="docker engine",
        name="CVE-2024-24557",
        fixed=("24.0.9", "25.0.2"),
        why="an image that was pulled can pose as a cached step of the classic builder, which makes bottles' images",
        source="https://github.com/moby/moby/security/advisories/GHSA-xw73-rw38-6vjc",
    ),
    Hole(
        component="docker engine",
        name="CVE-2025-54410",
        fixed=("25.0.13", "28.0.0"),
        why="after firewalld reloads, containers of different networks reach each other; a bottle's own is internal",
        source="https://github.com/moby/moby/security/advisories/GHSA-4vq8-7jfc-9cvp",
        needs="firewalld",
    ),
    Hole(
        component="docker engine",
        name="CVE-2026-41567",
        fixed=("29.5.1",),
        why="`docker cp` into a container runs a program of that container on the host; bottlegen never does that",
        source="https://github.com/moby/moby/security/advisories/GHSA-x86f-5xw2-fm2r",
    ),
    # BuildKit inside the engine shows no version of its own: the engine's release that brought 0.12.5 stands here.
    Hole(
        component="docker engine",
        name="CVE-2024-23651, -23652, -23653 (BuildKit)",
        fixed=("25.0.2",),
        why="a hostile Dockerfile or frontend reaches the host's files while it is built",
        source="https://github.com/moby/moby/releases/tag/v24.0.9 (which says where they are fixed)",
    ),
    Hole(
        component="runc",
        name="CVE-2024-21626",
        fixed=("1.1.12",),
        why="a leaked descriptor of the host's file system lets a container out",
        source="https://github.com/opencontainers/runc/security/advisories/GHSA-xr7r-f8xq-vfvv",
        wall=True,
        since="1.0.0",
    ),
    Hole(
        component="runc",
        name="CVE-2024-45310",
        fixed=("1.1.14", "1.2.0"),
        why="a container can make empty files and folders on the host",
        source="https://github.com/opencontainers/runc/security/advisories/GHSA-jfvp-7x6p-h2pv",
    ),
    Hole(
        component="runc",
        name="CVE-2025-31133",
        fixed=("1.2.8", "1.3.3", "1.4.0"),
        why="masked paths of /proc can be written from a container",
        source="https://github.com/opencontainers/runc/security/advisories/GHSA-9493-h29p-rfm2",
        wall=True,
    ),
    Hole(
        component="runc",
        name="CVE-2025-52565",
        fixed=("1.2.8", "1.3.3", "1.4.0"),
        why="the mount of /dev/console can be led to files of /proc that must not be written",
        source="https://github.com/opencontainers/runc/security/advisories/GHSA-qw9x-cqr3-wc7r",
        wall=True,
        since="1.0.0",
    ),
    Hole(
        component="runc",
        name="CVE-2025-52881",
        fixed=("1.2.8", "1.3.3", "1.4.0"),
        why="what runc writes to /proc can be led elsewhere, past AppArmor and SELinux",
        source="https://github.com/opencontainers/runc/security/advisories/GHSA-cgrx-mc8f-2prm",
        wall=True,
    ),
    Hole(
        component="runc",
        name="CVE-2026-41579",
        fixed=("1.3.6", "1.4.3", "1.5.0"),
        why="an image with a link at /dev can write a little of the host's file system",
        source="https://github.com/opencontainers/runc/security/advisories/GHSA-xjvp-4fhw-gc47",
    ),
    Hole(
        component="containerd",
        name="CVE-2024-40635",
        fixed=("1.6.38", "1.7.27", "2.0.4"),
        why="a container whose user number is too large runs as root; bottles' numbers are the workspace owner's",
        source="https://github.com/containerd/containerd/security/advisories/GHSA-265r-hfxg-fhmg",
    ),
    Hole(
        component="containerd",
        name="CVE-2024-25621",
        fixed=("1.7.29", "2.0.7", "2.1.5", "2.2.0"),
        why="other users of this host can enter containerd's folders",
        source="https://github.com/containerd/containerd/security/advisories/GHSA-pwhc-rpq9-4c8w",
    ),
    Hole(
        component="containerd",
        name="CVE-2026-53488",
        fixed=("1.7.33", "2.0.10", "2.1.9", "2.2.5", "2.3.2"),
        why="a label of a hostile image runs a command on a host that is a Kubernetes node",
        source="https://github.com/containerd/containerd/security/advisories/GHSA-xhf5-7wjv-pqxp",
        needs="Kubernetes",
    ),
    Hole(
        component="gVisor",
        name="CVE-2025-2713",
        fixed=("20250319.0",),
        why="users of this host could read files that only root may",
        source="https://www.cve.org/CVERecord?id=CVE-2025-2713",
    ),
    # The record names the commit, of 2026-08-17; the first release whose notes begin after it stands here.
    Hole(
        component="gVisor",
        name="CVE-2026-96812",
        fixed=("20260831.0",),
        why="an image with a device file for CUSE reaches the host's device and with it root",
        source="https://www.cve.org/CVERecord?id=CVE-2026-96812",
        wall=True,
        needs="CUSE",
    ),
    Hole(
        component="bubblewrap",
        name="GHSA-pxhw-h44j-8pfx",
        fixed=("0.12.0",),
        why="mount points made behind a link can come to lie outside of the sandbox; bottles refuse such links before",
        source="https://github.com/containers/bubblewrap/releases/tag/v0.12.0",
    ),
    Hole(
        component="bubblewrap",
        name="CVE-2026-41163",
        fixed=("0.11.2",),
        why="a bwrap with the setuid bit can be made to mount what its caller may not",
        source="https://github.com/containers/bubblewrap/security/advisories/GHSA-xq78-7hw4-5jvp",
        needs="setuid",
        since="0.11.0",
    ),
    Hole(
        component="git",
        name="CVE-2024-32002",
        fixed=("2.39.4", "2.40.2", "2.41.1", "2.42.2", "2.43.4", "2.44.1", "2.45.1"),
        why="cloning a hostile repository with its submodules runs its hooks, on a file system that ignores case",
        source="https://github.com/git/git/security/advisories/GHSA-8h77-4q3w-gfgv",
    ),
    Hole(
        component="git",
        name="CVE-2024-32004, -32465",
        fixed=("2.39.4", "2.40.2", "2.41.1", "2.42.2", "2.43.4", "2.44.1", "2.45.1"),
        why="reading a repository that somebody else wrote, such as an agent's copy of one, can run what it says",
        source="https://github.com/git/git/blob/master/Documentation/RelNotes/2.45.1.txt",
    ),
    Hole(
        component="git",
        name="CVE-2025-48384",
        fixed=("2.43.7", "2.44.4", "2.45.4", "2.46.4", "2.47.3", "2.48.2", "2.49.1", "2.50.1"),
        why="a submodule's path that ends in a carriage return puts a hook where git will run it",
        source="https://github.com/git/git/security/advisories/GHSA-vwqx-4fm8-6qc9",
    ),
    Hole(
        component="git",
        name="CVE-2026-111760",
        fixed=("2.50.2", "2.51.3", "2.56.1"),
        why="a recursive clone of a hostile repository can run what that repository says",
        source="https://github.com/git/git/blob/master/Documentation/RelNotes/2.51.3.adoc",
    ),
)


def numbers(version: str) -> Version:
    """The leading numbers: `v20.10.24+dfsg1` as (20, 10, 24); empty when there are none."""
    found = re.match(r"(?:release-|v)?(\d+(?:\.\d+)*)", version.strip())
    return tuple(map(int, found[1].split(".")[:4])) if found and len(found[1]) < 40 else ()


def open_holes(component: str, version: str, here: Collection[str]) -> Iterator[Hole]:
    """The holes of that component that this version has by its number; `here` are the circumstances of this host."""
    own = numbers(version)
    if own:
        for hole in HOLES:
            if hole.component == component and (not hole.needs or hole.needs in here) and _open(hole, own):
                yield hole


def _open(hole: Hole, own: Version) -> bool:
    if hole.since and own < numbers(hole.since):
        return False
    fixed = [numbers(version) for version in hole.fixed]
    return own < max(fixed) and not any(own[:2] == first[:2] and own >= first for first in fixed)
