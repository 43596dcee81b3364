"""A value that must not be shown: not in a log, a traceback, an error or a record."""

from typing import Final

_HIDDEN: Final = "Secret(...)"


class Secret:
    """Bytes whose `repr` and `str` hide them. `reveal` is the one way to them, easy to search for."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return _HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be pickled or copied into a dump")
