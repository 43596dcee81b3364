"""A store that can be away, hide entries, or fail in the middle of reading: a real one inside."""

from collections.abc import Callable

from gateway.state.store import StateStore, StateUnavailable, Stored


class FaultyStore:
    """`StateStore`. away: nothing answers. deaf: no nudge comes. hides: entries from here on are not read."""

    def __init__(self, inside: StateStore) -> None:
        self.inside = inside
        self.away = self.deaf = False
        self.hides: int | None = None
        self.pages_until_failure: int | None = None
        self.closed = False

    def append(self, encoded: bytes, signature: bytes, *, unique: str = "", expires_ns: int = 0) -> int:
        self._check()
        return self.inside.append(encoded, signature, unique=unique, expires_ns=expires_ns)

    def read_after(self, seq: int, limit: int) -> list[Stored]:
        self._check()
        if self.pages_until_failure is not None:
            if self.pages_until_failure == 0:
                raise StateUnavailable("the store failed while it was read")
            self.pages_until_failure -= 1
        return [
            row for row in self.inside.read_after(seq, limit) if self.hides is None or row.seq < self.hides
        ]

    def read_alive(self, now_ns: int) -> list[Stored]:
        self._check()
        return self.inside.read_alive(now_ns)

    def last_seq(self) -> int:
        self._check()
        return self.inside.last_seq()

    def version(self) -> object:
        self._check()
        return self.inside.version()

    def clock_ns(self) -> int:
        self._check()
        return self.inside.clock_ns()

    def listen(self, callback: Callable[[], None]) -> bool:
        return not self.deaf and self.inside.listen(callback)

    def delete_expired(self, now_ns: int) -> int:
        self._check()
        return self.inside.delete_expired(now_ns)

    def close(self) -> None:
        self.closed = True

    def _check(self) -> None:
        if self.away:
            raise StateUnavailable("the store is away")
