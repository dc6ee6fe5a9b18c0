"""A login that an agent left on the host: it is read when a bottle starts, and no word of it is in a message."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from bottlegen.errors import Problem, SecretError, Where
from bottlegen.hostview import HostView
from bottlegen.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginFile:
    """The file at `path`. `what` is the login in messages, `fix` what to type for one, `fix_missing` where there is
    none yet."""

    path: str
    what: str
    fix: str
    fix_missing: str = ""

    def read(
        self, host: HostView, form: str = "JSON", parse: Callable[[bytes], object] = json.loads
    ) -> Mapping[str, object]:
        """The file's object, in the `form` that `parse` reads; SecretError where there is none. What `parse` raises is
        dropped: it would carry the text, which holds the tokens."""
        document = self._parsed(self._bytes(host), parse)
        if not isinstance(document, dict):
            raise self.refusal(f"the host's {self.what} is not a {form} object")
        return cast("Mapping[str, object]", document)

    def refusal(self, what: str) -> SecretError:
        return SecretError(Problem(what=what, where=Where(file=self.path), fix=self.fix))

    def secret(self, value: object) -> Secret:
        """The token itself; SecretError when there is none."""
        if not isinstance(value, str) or not value:
            raise self.refusal(f"the host's {self.what} holds no access token")
        return Secret(value)

    def lasts(self, expires: object, now: int, margin: int) -> int:
        """When it ends, in seconds since the epoch; SecretError unless `expires`, in milliseconds, is more than
        `margin` seconds after `now`."""
        if not isinstance(expires, int) or expires // 1000 <= now + margin:
            raise self.refusal(f"the host's {self.what} has expired")
        return expires // 1000

    def _bytes(self, host: HostView) -> bytes:
        try:
            data = host.read(self.path)
        except OSError as e:
            raise self.refusal(f"cannot read the host's {self.what}: {e.strerror}") from e
        if data is None:
            fix = self.fix_missing or self.fix
            raise SecretError(Problem(what=f"no {self.what} on this host", where=Where(file=self.path), fix=fix))
        return data

    @staticmethod
    def _parsed(data: bytes, parse: Callable[[bytes], object]) -> object:
        try:
            return parse(data)
        except (ValueError, RecursionError):
            return None
