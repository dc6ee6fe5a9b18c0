"""Names of images in their parts, by the rules of Docker: `debian:12` is library/debian of Docker Hub."""

from dataclasses import dataclass

_HUB = "docker.io"
_HUB_REGISTRY = "registry-1.docker.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """`name` as it was written, without tag and digest; both empty when not given."""

    name: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> "ImageReference":
        """`registry:5000/a/b:tag@sha256:…` in its parts."""
        rest, _, digest = text.partition("@")
        name, colon, tag = rest.rpartition(":")
        if not colon or "/" in tag:
            name, tag = rest, ""
        return cls(name=name, tag=tag, digest=digest)

    @property
    def hub(self) -> bool:
        """Whether Docker Hub is meant: the first part of any other name is that of a registry."""
        first, slash, _ = self.name.partition("/")
        return not slash or first == _HUB or not ("." in first or ":" in first or first == "localhost")

    @property
    def registry(self) -> str:
        """Host, with a port where one is given, that answers for this name."""
        return _HUB_REGISTRY if self.hub else self.name.partition("/")[0]

    @property
    def repository(self) -> str:
        """The name within the registry."""
        if not self.hub:
            return self.name.partition("/")[2]
        path = self.name.removeprefix(f"{_HUB}/")
        return path if "/" in path else f"library/{path}"


def mirrored(text: str, mirror: str) -> str:
    """`text` as `mirror` names it when it is one of Docker Hub's, else as it is."""
    reference = ImageReference.parse(text)
    if not mirror or not reference.hub:
        return text
    # A mirror is asked by digest where there is one: that alone says that it has the same.
    which = f"@{reference.digest}" if reference.digest else f":{reference.tag}" if reference.tag else ""
    return f"{mirror}/{reference.repository}{which}"
