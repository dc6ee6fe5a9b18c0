"""A value that must not be seen: it shows itself only to who asks by name."""

from typing import Never


class Secret:
    """Holds a credential; `repr`, `str`, pickling and formatting never show it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself; call it only where the value leaves for the sidecar."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> Never:
        raise TypeError("a secret is not pickled")
