"""A Python program and all that it imports, as one pin: packages that are unpacked, and none that would be built."""

from dataclasses import dataclass
from typing import cast

from bottlegen.lock import LockedFile
from bottlegen.plan import Artifact, Layout, Platform
from bottlegen.wheels import distribution, normal
from bottlegen.wording import shown


@dataclass(frozen=True, kw_only=True)
class WheelSet:
    """A Python program and all that it imports, as wheels in `target`, for CPython `python` (`3.12`).

    `sources` pairs a package that is published as source alone with the folder of its archive that is imported: nothing
    is built.
    """

    name: str
    package: str
    python: str
    target: str
    sources: tuple[tuple[str, str], ...] = ()

    def artifact(self, file: LockedFile) -> Artifact:
        """A file that `problem` finds nothing wrong with."""
        told = distribution(file.name)
        assert told is not None  # the lock has read it
        layout: Layout = "plain" if told.is_source else "wheel"
        members = ("lib/", self.target)
        if told.is_source:
            folder = dict(self.sources)[told.package]
            members = (f"{file.name.removesuffix('.tar.gz')}/{folder}/", f"{self.target}/{folder}")
        return Artifact(
            platform=cast("Platform", file.platform), source="pypi", package=told.package, version=told.version,
            filename=file.name, integrity=file.integrity, members=(members,), layout=layout,
        )  # fmt: skip

    def problem(self, file: LockedFile) -> str:
        """Why `file` cannot be of this set; empty when it can."""
        told = distribution(file.name)
        if told is None or (told.is_source and told.package not in dict(self.sources)):
            return f"{shown(file.name)} would have to be built, and nothing is built here"
        if not told.runs_with(self.python):
            wanted = f"{shown(told.package)} for {'.'.join(told.pythons)}"  # whole names look like random text
            return f"{wanted} does not run with Python {self.python}, which '{self.name}' has"
        return ""

    def is_of(self, version: str, file: LockedFile) -> bool:
        """Whether `file` is the program itself in `version`."""
        told = distribution(file.name)
        return told is not None and (told.package, told.version) == (normal(self.package), version)
