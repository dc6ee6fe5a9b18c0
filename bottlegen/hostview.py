"""What a provider may see of the host when a bottle starts, and what it hands back: never part of a bundle."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bottlegen.plan import AgentFile
from bottlegen.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """The host as an argument: `now` in seconds since the epoch; `read` gives a file's bytes, None when there is no
    such file, and raises OSError when there is one that cannot be read. `repr` shows none of it but `home`."""

    env: Mapping[str, str]
    home: str
    now: int
    read: Callable[[str], bytes | None]

    def __repr__(self) -> str:
        return f"HostView(home={self.home!r}, …)"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostProvision:
    """`env` (provisioned_env) wins over the host's variables when tokens are resolved; `files` hold dummies only.
    `expires` says of secrets in `env` when they end, in seconds since the epoch, where that is known."""

    env: tuple[tuple[str, Secret], ...] = ()
    files: tuple[AgentFile, ...] = ()
    expires: tuple[tuple[str, int], ...] = ()
