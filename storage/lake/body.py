"""The SHA-256 of a body that comes in pieces, over restarts. Pure.

A hash under way cannot be stored (nothing in the standard library gives out its state), so a decoded one
knows how much it had and wants those bytes once more from the log. The trap: a hash over anything but the
whole body must never come out; a hole, or bytes that did not come again, make it None.
"""

import hashlib

import msgspec


class BodyState(msgspec.Struct, frozen=True, array_like=True):
    """hashed: a hash is wanted and nothing is missing so far."""

    hashed: bool
    length: int


class BodyHash:
    """One body. length: its bytes so far, hashed or not."""

    def __init__(self, *, hashed: bool, state: BodyState | None = None) -> None:
        state = state or BodyState(hashed, 0)
        self.length = state.length
        self._hash = hashlib.sha256() if state.hashed else None
        self._fed = 0  # behind length: the beginning has not come again yet

    def state(self) -> BodyState:
        return BodyState(self._hash is not None, self.length)

    @property
    def wants_beginning(self) -> bool:
        """Whether bytes hashed before the restart must come again."""
        return self._hash is not None and self._fed < self.length

    def feed(self, offset: int, data: bytes) -> None:
        """The next bytes of the body."""
        if offset != self.length or self._fed != self.length:
            self._hash = None
        self.length = max(self.length, offset + len(data))
        if self._hash is not None:
            self._hash.update(data)
            self._fed = self.length

    def feed_again(self, offset: int, data: bytes) -> None:
        """Bytes of the beginning, in order, once more; others are ignored."""
        if self._hash is not None and offset == self._fed < self.length:
            self._hash.update(data)
            self._fed += len(data)

    def hex(self) -> str | None:
        if self._hash is None or not self.length or self._fed != self.length:
            return None
        return self._hash.hexdigest()
